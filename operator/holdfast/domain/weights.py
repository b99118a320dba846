"""Where the bytes of a revision are on their way into a pod, whose they are, and when a Job has to fetch them anew. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from holdfast.api.deployment import CacheType, ModelDeploymentStatus, RevisionWeights, Serving, WeightsKept
from holdfast.api.names import weights_claim_name, weights_job_name
from holdfast.api.revision import ResolvedModel, ResolvedSource
from holdfast.domain.artifacts import Artifact, artifacts
from holdfast.domain.snapshot import FetchView, PodView, Snapshot

RETRY: Final = timedelta(seconds=60)
"""How long a Job that failed is left before another one takes its place. Within a Job the kubelet restarts with growing delays."""
_ORIGIN_MAX: Final = 256
"""Characters of a message that name where bytes come from; what people declare may be longer."""


class Place(StrEnum):
    """How an artifact gets into a pod."""

    CACHE = "Cache"  # fetched into the cache, which holds one entry for each list of files
    IMAGE = "Image"  # an image volume, which the kubelet pulls
    VOLUME = "Volume"  # the owner's own claim


def place(artifact: Artifact, serving: Serving) -> Place:
    """Return how an artifact gets into pods.

    Serving may change while older revisions live, so every source has a place under every type of cache: what cannot be an image
    volume is fetched.
    """
    if artifact.source.volume is not None:
        return Place.VOLUME
    if artifact.source.oci is not None and serving.cache is not None and serving.cache.type is CacheType.IMAGE:
        return Place.IMAGE
    return Place.CACHE


def placed(model: ResolvedModel, serving: Serving, where: Place) -> tuple[Artifact, ...]:
    """Return the artifacts of a model that get into its pods this way."""
    return tuple(artifact for artifact in artifacts(model) if place(artifact, serving) is where)


def is_fetched_by_job(model: ResolvedModel, serving: Serving) -> bool:
    """Whether a Job fetches files of the model once for all its pods; otherwise each pod fetches for itself."""
    claim = serving.cache is not None and serving.cache.type is CacheType.PERSISTENT_VOLUME_CLAIM
    return claim and bool(placed(model, serving, Place.CACHE))


def is_fetched_by_pod(model: ResolvedModel, serving: Serving) -> bool:
    """Whether each pod fetches files of the model for itself, and must be let out for that."""
    return bool(placed(model, serving, Place.CACHE)) and not is_fetched_by_job(model, serving)


def kept(snapshot: Snapshot, status: ModelDeploymentStatus) -> tuple[RevisionWeights, ...]:
    """Return where the bytes of every revision are kept that serves, may serve soon, or is proposed."""
    spec = snapshot.deployment.spec
    if spec is None:
        return tuple(status.weights or ())
    numbers = {role.revision for role in (status.stable, status.last_known_good, status.candidate, status.desired) if role}
    if status.fallback is not None and status.fallback.revision is not None:
        numbers.add(status.fallback.revision)
    views = sorted((view for view in snapshot.revisions if view.spec.number in numbers), key=lambda view: view.spec.number)
    return tuple(_kept(snapshot, view.spec.number, view.spec.model, spec.serving or Serving()) for view in views)


def failures(snapshot: Snapshot) -> tuple[PodView, ...]:
    """Return the pods whose weights container reported a failure that nothing has made good since, in the order of their names."""
    done = {fetch.revision for fetch in snapshot.fetches if fetch.succeeded and not _is_lost(snapshot, fetch)}
    fetching = (pod for pod in snapshot.fetchers if pod.revision not in done)
    return tuple(pod for pod in _by_name((*snapshot.pods, *fetching)) if pod.weights_reason is not None and not pod.deleting)


def to_renew(snapshot: Snapshot, now: datetime) -> tuple[int, ...]:
    """Return the revisions whose Job has to go so that another one fetches.

    It failed; or its claim is not the one of today; or a pod found since that what it fetched is not what was approved any more.
    """
    return tuple(
        fetch.revision
        for fetch in snapshot.fetches
        if _is_lost(snapshot, fetch) or _is_spoilt(snapshot, fetch) or (_failed(fetch) and now >= _retry(fetch))
    )


def next_wake(snapshot: Snapshot) -> datetime | None:
    """Return when the next failed Job is due."""
    return min((_retry(fetch) for fetch in snapshot.fetches if _failed(fetch)), default=None)


def _by_name(pods: Iterable[PodView]) -> list[PodView]:
    return sorted(pods, key=lambda pod: pod.name)


def _failed(fetch: FetchView) -> bool:
    return fetch.ended_at is not None and not fetch.succeeded


def _retry(fetch: FetchView) -> datetime:
    return (fetch.ended_at or fetch.created) + RETRY


def _is_spoilt(snapshot: Snapshot, fetch: FetchView) -> bool:
    """Whether a pod failed on the cache after the Job had filled it. The kubelet tries again with growing delays, so this does too."""
    if not fetch.succeeded or fetch.ended_at is None:
        return False
    pods = (pod for pod in snapshot.pods if pod.revision == fetch.revision and not pod.deleting)
    return any(pod.cache_failed_at is not None and pod.cache_failed_at > fetch.ended_at for pod in pods)


def _is_lost(snapshot: Snapshot, fetch: FetchView) -> bool:
    """Whether the Job filled a claim that is gone. A Job is made after its claim."""
    return snapshot.claim_created is not None and fetch.created < snapshot.claim_created


def _kept(snapshot: Snapshot, number: int, model: ResolvedModel, serving: Serving) -> RevisionWeights:
    name = snapshot.deployment.meta.key.name
    foreign = [artifact.source for artifact in artifacts(model) if artifact.source.volume is None]
    if not foreign:
        return RevisionWeights(revision=number, kept=WeightsKept.DURABLE, message="on volumes of the owner")
    mirror = urlsplit(serving.mirror).netloc if serving.mirror else None
    origin = (mirror or ", ".join(dict.fromkeys(_origin(source) for source in foreign)))[:_ORIGIN_MAX]
    if not is_fetched_by_job(model, serving):
        told = f"only at {origin}: when it is gone from there, no new pod starts; keep it with cache type {CacheType.PERSISTENT_VOLUME_CLAIM}"
        return RevisionWeights(revision=number, kept=WeightsKept.UPSTREAM, message=told)
    fetch = next((fetch for fetch in snapshot.fetches if fetch.revision == number), None)
    if fetch is not None and fetch.succeeded and not _is_lost(snapshot, fetch):
        told = f"in the claim {weights_claim_name(name)}"
        return RevisionWeights(revision=number, kept=WeightsKept.DURABLE, message=told)
    told = f"only at {origin} until the Job {weights_job_name(name, number)} has fetched them"
    return RevisionWeights(revision=number, kept=WeightsKept.UPSTREAM, message=told)


def _origin(source: ResolvedSource) -> str:
    """Return where bytes come from, for people."""
    if source.hugging_face is not None:
        return f"{urlsplit(source.hugging_face.endpoint).netloc}/{source.hugging_face.repository}"
    return source.oci.reference.split("@", 1)[0] if source.oci is not None else ""
