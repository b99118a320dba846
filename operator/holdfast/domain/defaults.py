"""What the absent parts of a spec mean. One place, so that the documentation, the command line and the decisions agree."""

from datetime import timedelta
from typing import Final

from holdfast.api.approval import ModelApprovalSpec
from holdfast.api.deployment import ModelDeploymentSpec
from holdfast.api.rollout import Rollout, Step

DEFAULT_STEPS: Final = (
    Step(weight=5, hold_seconds=600),
    Step(weight=25, hold_seconds=1800),
    Step(weight=50, hold_seconds=3600),
)
DEFAULT_STICKINESS_HEADER: Final = "x-user-id"
DEFAULT_LOAD_DEADLINE_SECONDS: Final = 2700
DEFAULT_DRAIN_SECONDS: Final = 30
DEFAULT_TTL_SECONDS: Final = 86_400
DEFAULT_UPSTREAM_CHECK_SECONDS: Final = 21_600
UNREADY_GRACE: Final = timedelta(seconds=30)
"""How long a candidate that takes traffic may be without a ready pod before it is aborted: a replaced pod is not a failure."""


def replicas(spec: ModelDeploymentSpec) -> int:
    """Pods of the revision that serves."""
    if spec.serving is None or spec.serving.replicas is None:
        return 1
    return spec.serving.replicas


def standby_replicas(spec: ModelDeploymentSpec) -> int:
    """Pods of the last known good revision while it has no traffic."""
    if spec.fallback is None or spec.fallback.standby_replicas is None:
        return replicas(spec)
    return spec.fallback.standby_replicas


def drain_time(spec: ModelDeploymentSpec) -> timedelta:
    """How long a revision that lost its traffic keeps its pods for running streams."""
    if spec.serving is None or spec.serving.drain_seconds is None:
        return timedelta(seconds=DEFAULT_DRAIN_SECONDS)
    return timedelta(seconds=spec.serving.drain_seconds)


def upstream_check(spec: ModelDeploymentSpec | None) -> timedelta | None:
    """How often what is published upstream is compared with what is pinned; None for never."""
    if spec is None or spec.upstream is None or spec.upstream.check_seconds is None:
        return timedelta(seconds=DEFAULT_UPSTREAM_CHECK_SECONDS)
    return timedelta(seconds=spec.upstream.check_seconds) if spec.upstream.check_seconds else None


def steps(rollout: Rollout | None) -> tuple[Step, ...]:
    """Steps of a canary."""
    if rollout is None or rollout.steps is None:
        return DEFAULT_STEPS
    return tuple(rollout.steps)


def load_deadline(rollout: Rollout | None) -> timedelta:
    """How long a candidate may take to become ready."""
    if rollout is None or rollout.load_deadline_seconds is None:
        return timedelta(seconds=DEFAULT_LOAD_DEADLINE_SECONDS)
    return timedelta(seconds=rollout.load_deadline_seconds)


def time_to_live(approval: ModelApprovalSpec) -> timedelta:
    """How long an unused decision is good for."""
    return timedelta(seconds=approval.ttl_seconds if approval.ttl_seconds is not None else DEFAULT_TTL_SECONDS)
