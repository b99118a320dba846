"""Statuses, specs and pods as tests of the gateway need them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from holdfast.api.decision import FallbackTargetType
from holdfast.api.deployment import (
    Candidate,
    Fallback,
    FallbackStatus,
    ModelDeploymentSpec,
    ModelDeploymentStatus,
    RevisionRole,
)
from holdfast.api.reasons import Phase
from holdfast.domain.gateway import Clusters, GatewayPod, PodReport, Route, Routing, cluster_names, revision_cluster
from holdfast.domain.gateway_plan import Wanted

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "v1:" + "0" * 64


def role(revision: int | None) -> RevisionRole | None:
    return None if revision is None else RevisionRole(revision=revision, digest=DIGEST)


def status(
    phase: Phase = Phase.STABLE,
    *,
    stable: int | None = None,
    good: int | None = None,
    candidate: int | None = None,
    weight: int = 0,
    fallback: FallbackStatus | None = None,
) -> ModelDeploymentStatus:
    trial = None if candidate is None else Candidate(revision=candidate, digest=DIGEST, started_at=NOW, weight_intent=weight)
    return ModelDeploymentStatus(phase=phase, stable=role(stable), last_known_good=role(good), candidate=trial, fallback=fallback)


def fallback(revision: int | None = None, external: str | None = None) -> FallbackStatus:
    kind = FallbackTargetType.EXTERNAL if external is not None else FallbackTargetType.LAST_KNOWN_GOOD
    return FallbackStatus(type=kind, revision=revision, external=external, since=NOW, by="ann", reason="bad", approval="a")


def spec(*, header: str | None = None, externals: Mapping[str, str] | None = None) -> ModelDeploymentSpec:
    value: dict[str, Any] = {
        "model": {
            "source": {"huggingFace": {"repository": "o/m", "commit": "0" * 40}},
            "engine": {"type": "VLLM", "image": "registry.test/vllm@sha256:" + "0" * 64},
        }
    }
    if header is not None:
        value["rollout"] = {"stickiness": {"header": header}}
    parsed = ModelDeploymentSpec.parse(value)
    if externals is None:
        return parsed
    declared = [{"name": name, "url": url} for name, url in externals.items()]
    return parsed.model_copy(update={"fallback": Fallback.parse({"external": declared})})


def wanted(state: ModelDeploymentStatus | None, *, name: str = "chat", declared: ModelDeploymentSpec | None = None) -> Wanted:
    return Wanted(name=name, spec=declared if declared is not None else spec(), status=state)


def pod(uid: str, *, ready: bool = True, running: bool = True) -> GatewayPod:
    return GatewayPod(name=f"gateway-{uid}", uid=uid, ready=ready, running=running)


def routes(serial: int, **arms: Mapping[str, int]) -> Routing:
    return Routing(
        serial=serial, routes={name: Route(serial=serial, arms=each, header="x-user-id") for name, each in arms.items()}
    )


def report(known: Routing, clusters: Mapping[str, Clusters], *, dead: tuple[tuple[str, int], ...] = ()) -> PodReport:
    """Return the report of a pod in which all endpoints are healthy but those of the dead revisions."""
    lost = {revision_cluster(*each) for each in dead}
    return PodReport(routing=known, clusters={name: 0 if name in lost else 1 for name in cluster_names(clusters)})
