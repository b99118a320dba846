"""Is what runs what was rendered: by controller, spec, image, what the weights containers said, and the mark of quarantine?"""

import json
from collections.abc import Iterator
from typing import Any, Final

from holdfast.api import names
from holdfast.api.reasons import Reason
from holdfast.api.revision import ModelRevisionSpec
from holdfast.cli.cluster import Cluster
from holdfast.cli.verify.finding import Check, DifferenceError, Verified
from holdfast.cluster import kinds
from holdfast.cluster.diff import pod_difference
from holdfast.domain.pin import short_digest
from holdfast.domain.snapshot import DeploymentView, RevisionView

Object = dict[str, Any]
ENGINE: Final = "engine"
"""The container that answers."""
_WEIGHTS: Final = "weights"


def running(pods: list[Object]) -> list[Object]:
    """Return those whose engine runs and that stay."""
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and _runs(pod)]


def check(
    cluster: Cluster,
    deployment: DeploymentView,
    revisions: dict[int, RevisionView],
    engines: dict[int, Object],
    found: list[Object],
) -> Iterator[Verified]:
    """Check every pod that could be sent a request, and put it into `found`.

    Raises:
        DifferenceError: a pod is not what was rendered for its revision, or what serves has no pod.
    """
    selector = f"{names.LABEL_DEPLOYMENT}={deployment.meta.key.name},{names.LABEL_COMPONENT}={names.COMPONENT_ENGINE}"
    sets: dict[str, str | None] = {}
    for pod in cluster.listed(kinds.POD, selector):
        name = pod["metadata"]["name"]
        engine = _engine(cluster, pod, engines, sets)
        difference = pod_difference(engine["spec"]["template"], pod)
        if difference is not None:
            raise _difference(name, difference)
        mark = (pod["metadata"].get("annotations") or {}).get(names.ANNOTATION_QUARANTINE)
        if mark:
            raise _difference(name, f"it is kept out of traffic: {mark}")
        found.append(pod)
        if not _runs(pod):
            yield _verified(name, "it does not run yet; what it is about to run is what was rendered")
            continue
        revision = revisions[int(engine["metadata"]["labels"][names.LABEL_REVISION])]
        image = _image(pod, revision.spec)
        weights = _weights(pod)
        yield _verified(name, f"runs {short_digest(image)} as rendered; {weights}")
    _serves(deployment, engines, found)


def _engine(cluster: Cluster, pod: Object, engines: dict[int, Object], sets: dict[str, str | None]) -> Object:
    """Return the Deployment that a pod is of, by its controllers."""
    name = pod["metadata"]["name"]
    owner = _controller(pod)
    if owner.get("kind") != "ReplicaSet":
        raise _difference(name, f"it is labelled as an engine, and {owner.get('kind') or 'nobody'} controls it")
    key = str(owner.get("name"))
    if key not in sets:
        replica_set = cluster.replica_set(key)
        ours = replica_set is not None and replica_set["metadata"]["uid"] == owner.get("uid")
        sets[key] = _controller(replica_set).get("uid") if replica_set is not None and ours else None
    label = pod["metadata"]["labels"].get(names.LABEL_REVISION)
    for number, engine in engines.items():
        if engine["metadata"]["uid"] == sets[key]:
            if str(number) != label:
                raise _difference(name, f"it is labelled as revision {label}, and is a pod of revision {number}")
            return engine
    raise _difference(name, f"ReplicaSet {key}, which controls it, is of no engine of this deployment")


def _image(pod: Object, revision: ModelRevisionSpec) -> str:
    """Return the digest of the image that the engine runs from (core/v1 ContainerStatus.imageID)."""
    name = pod["metadata"]["name"]
    statuses: list[Object] = pod["status"].get("containerStatuses") or []
    status = next((each for each in statuses if each["name"] == ENGINE), {})
    running = str(status.get("imageID") or "").rpartition("@")[2]
    pinned = revision.model.engine.image.rpartition("@")[2]
    platforms = (revision.recorded.image_platforms if revision.recorded else None) or ()
    # A node may report the digest of its platform's image: without a record of those, only the reference can be compared.
    if running not in {pinned, *(platform.digest for platform in platforms)} and (platforms or not running):
        raise _difference(name, f"the engine runs from the image {running or 'that nobody knows'}, and {pinned} is pinned")
    return running


def _weights(pod: Object) -> str:
    """Return what the containers said that verified the bytes before the engine started."""
    name = pod["metadata"]["name"]
    statuses = [each for each in pod["status"].get("initContainerStatuses") or () if each["name"].split("-")[0] == _WEIGHTS]
    if not statuses:
        raise _difference(name, "no container verified its bytes")
    told: list[str] = []
    for status in statuses:
        ended = (status.get("state") or {}).get("terminated")
        if not ended or ended.get("exitCode") != 0:
            raise _difference(name, f"its engine runs, and its container {status['name']} has not ended well")
        try:
            said = json.loads(ended.get("message") or "{}")
        except ValueError:
            said = {}  # the kubelet's own words: the node no longer knows the container
        if isinstance(said, dict) and said.get("reason") not in (None, Reason.VERIFIED):
            raise _difference(name, f"its container {status['name']} said {said.get('reason')}: {said.get('message')}")
        told.append(str(said.get("message")) if isinstance(said, dict) and said.get("message") else "verified before its start")
    return "; ".join(told)


def _serves(deployment: DeploymentView, engines: dict[int, Object], found: list[Object]) -> None:
    stable = deployment.status.stable
    if stable is None or deployment.status.fallback is not None:
        return
    engine = engines[stable.revision]
    label = str(stable.revision)
    mine = [pod for pod in running(found) if pod["metadata"]["labels"][names.LABEL_REVISION] == label]
    if engine["spec"]["replicas"] and not mine:
        raise DifferenceError(
            Check.PODS, f"Deployment {engine['metadata']['name']}", "no pod of it runs, and its revision serves"
        )


def _controller(manifest: Object) -> Object:
    owners: list[Object] = manifest["metadata"].get("ownerReferences") or []
    return next((each for each in owners if each.get("controller")), {})


def _runs(pod: Object) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return any(each["name"] == ENGINE and "running" in (each.get("state") or {}) for each in statuses)


def _verified(name: str, message: str) -> Verified:
    return Verified(check=Check.PODS, about=f"Pod {name}", message=message)


def _difference(name: str, message: str) -> DifferenceError:
    return DifferenceError(Check.PODS, f"Pod {name}", message)
