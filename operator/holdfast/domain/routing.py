"""Which revision gets which share of the users, and what the gateway is known to do about it. Pure.

An *arm* is one target of a route: a revision's number as text ("2"), or ``external/NAME`` for an endpoint outside the cluster.
The weights of a route's arms always sum to `TOTAL_WEIGHT`; a route without arms answers 503.
"""

from collections.abc import Mapping
from typing import Final

from holdfast.api.decision import FallbackTargetType
from holdfast.api.deployment import FallbackStatus, ModelDeploymentSpec, ModelDeploymentStatus
from holdfast.api.names import TOTAL_WEIGHT
from holdfast.api.reasons import Phase
from holdfast.domain.snapshot import GatewayReport, GatewayView

_EXTERNAL: Final = "external/"
_WITHDRAWN: Final = frozenset({Phase.ABORTING, Phase.ABORTED})


def revision_arm(revision: int) -> str:
    """Return the arm of a revision."""
    return str(revision)


def external_arm(name: str) -> str:
    """Return the arm of an external endpoint by its name under ``spec.fallback.external``."""
    return f"{_EXTERNAL}{name}"


def arm_revision(arm: str) -> int | None:
    """Return the revision behind an arm, or None for an external endpoint."""
    return None if arm.startswith(_EXTERNAL) else int(arm)


def arm_external(arm: str) -> str | None:
    """Return the name of the external endpoint behind an arm, or None for a revision."""
    return arm.removeprefix(_EXTERNAL) if arm.startswith(_EXTERNAL) else None


def intended_arms(status: ModelDeploymentStatus) -> dict[str, int]:
    """Return the route that the status asks for: parts of 10000 by arm, none of them 0; empty when nothing is approved.

    A fallback in force takes everything. Otherwise the candidate has its intended weight, nothing while it is being withdrawn,
    and everything once it is being promoted; the stable revision has the rest. A candidate without a stable revision (the first
    of its deployment) gets nothing before its promotion.
    """
    if status.fallback is not None:
        arm = _fallback_arm(status.fallback, status)
        return {} if arm is None else {arm: TOTAL_WEIGHT}
    weight = _candidate_weight(status)
    arms: dict[str, int] = {}
    if status.candidate is not None and weight > 0:
        arms[revision_arm(status.candidate.revision)] = weight
    if status.stable is not None and weight < TOTAL_WEIGHT:
        stable = revision_arm(status.stable.revision)
        arms[stable] = arms.get(stable, 0) + TOTAL_WEIGHT - weight
    return arms


def _candidate_weight(status: ModelDeploymentStatus) -> int:
    candidate = status.candidate
    if candidate is None or candidate.failed is not None or status.phase in _WITHDRAWN:
        return 0
    if status.phase is Phase.PROMOTING:
        return TOTAL_WEIGHT
    return candidate.weight_intent if status.stable is not None else 0


def _fallback_arm(fallback: FallbackStatus, status: ModelDeploymentStatus) -> str | None:
    if fallback.type is FallbackTargetType.EXTERNAL:
        return None if fallback.external is None else external_arm(fallback.external)
    if fallback.revision is not None:
        return revision_arm(fallback.revision)
    return None if status.last_known_good is None else revision_arm(status.last_known_good.revision)


def live_arms(status: ModelDeploymentStatus, spec: ModelDeploymentSpec | None) -> frozenset[str]:
    """Return the arms whose clusters every gateway pod must know, so that a fallback to any of them changes routes only.

    These are the stable, candidate and last known good revisions, the target of a fallback in force, and the declared externals.
    """
    roles = (status.stable, status.last_known_good, status.candidate)
    arms = {revision_arm(role.revision) for role in roles if role is not None}
    if status.fallback is not None and (target := _fallback_arm(status.fallback, status)) is not None:
        arms.add(target)
    if spec is not None and spec.fallback is not None:
        arms.update(external_arm(external.name) for external in spec.fallback.external or ())
    return frozenset(arms)


def served_by(status: ModelDeploymentStatus) -> dict[str, str]:
    """Return what an answer of each arm is marked with: ``stable``, ``candidate`` or ``fallback``.

    An arm that is none of these, such as an external, is ``fallback``: nothing else can be answering.
    """
    marks = {}
    if status.last_known_good is not None:
        marks[revision_arm(status.last_known_good.revision)] = "fallback"
    if status.candidate is not None:
        marks[revision_arm(status.candidate.revision)] = "candidate"
    if status.stable is not None:
        marks[revision_arm(status.stable.revision)] = "stable"
    if status.fallback is not None and (target := _fallback_arm(status.fallback, status)) is not None:
        marks[target] = "fallback"
    return marks


def observed(view: GatewayView, arms: Mapping[str, int]) -> bool:
    """Say whether every ready gateway pod reported that it routes by exactly these arms. False when no pod is ready.

    A report from before the publication never counts, also when its arms were the same at that time. A pod that is leaving or
    unready, and answers by another route, still does so for the clients that are connected to it: then it is not observed either.
    Nor is a route while another one is on its way.
    """
    published = view.published
    if published is None or dict(published.arms) != dict(arms) or not view.ready_pods or view.coming:
        return False
    reports = _reports(view)
    if any(pod in reports and not reports[pod].silent and not _current(view, reports[pod]) for pod in view.other_pods):
        return False
    return all(pod in reports and _current(view, reports[pod]) for pod in view.ready_pods)


def possible_weight(view: GatewayView, revision: int) -> int:
    """Return the most that any running gateway pod may route to the revision: 0 only when none can.

    A pod that has not reported the published route may be at any route since its last report: it counts whole. A route that is
    on its way counts as if it were in force: what is taken away before it arrives is missing when it does.
    """
    weights = [_possible(view, pod, revision) for pod in view.ready_pods | view.other_pods]
    routes = [view.published.arms, *view.coming] if view.published is not None else view.coming
    return max((*weights, *(arms.get(revision_arm(revision), 0) for arms in routes)), default=0)


def removable(view: GatewayView, revision: int) -> bool:
    """Say whether no gateway pod can route to the revision, nor will when it has started, so that its pods may go."""
    return possible_weight(view, revision) == 0 and all(_possible(view, pod, revision) == 0 for pod in view.starting_pods)


def _reports(view: GatewayView) -> dict[str, GatewayReport]:
    return {report.pod: report for report in view.reports}


def _current(view: GatewayView, report: GatewayReport) -> bool:
    """Say whether a pod reported the published route: by serial, and by content in case serials were ever lost."""
    published = view.published
    return published is not None and report.serial >= published.serial and dict(report.arms) == dict(published.arms)


def _possible(view: GatewayView, pod: str, revision: int) -> int:
    report = _reports(view).get(pod)
    if report is None or not _current(view, report):
        return TOTAL_WEIGHT
    return report.arms.get(revision_arm(revision), 0)
