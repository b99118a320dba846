"""What to tell a namespace's gateway next. Pure.

Every change has two phases: the gateway pods get to know a target (clusters) before a route leads to it, and forget it only after
each of them was seen without that route. Each deployment waits for its own targets only, so that nothing can hold up the kill
switch of another.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from holdfast.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus
from holdfast.api.names import NAME_MAX_LENGTH
from holdfast.domain import defaults, routing
from holdfast.domain.gateway import Clusters, External, GatewayPod, PodReport, Route, Routing, arm_health

_ROUTABLE: Final = re.compile(r"(?!holdfast-)[a-z0-9]([a-z0-9-]*[a-z0-9])?")
"""A DNS label (RFC 1123) outside the names of our own objects: its virtual host can meet no other's domain."""

_HOST_LENGTH: Final = 253
_LABEL_LENGTH: Final = 63
"""RFC 1035, 2.3.4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one deployment asks of the gateway."""

    name: str
    spec: ModelDeploymentSpec | None
    """None when it could not be read: what is published about externals and stickiness then stays."""
    status: ModelDeploymentStatus | None
    """None when it could not be read: everything that is published about the deployment then stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is known of a gateway."""

    routing: Routing | None
    """As published; None when that was lost or never was."""
    clusters: Mapping[str, Clusters]
    """As published."""
    pods: Sequence[GatewayPod] = ()
    reports: Mapping[str, PodReport] = field(default_factory=dict)
    """Last report by the pod's uid, from after the last publication; a pod that does not answer is absent."""
    doubtful: bool = False
    """Whether something else than `routing` may have been published, or may be yet: publishing anew rules that out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPlan:
    """What to publish, and what is still to come."""

    routing: Routing
    clusters: Mapping[str, Clusters]
    waiting: Mapping[str, str]
    """By deployment: why the route that it asks for is not published yet."""
    problems: Mapping[str, str]
    """By deployment: what the gateway cannot do as it is declared."""
    unobserved: frozenset[str]
    """Deployments whose published route was not yet seen in every pod that is ready or answers."""
    clusters_first: bool
    """Whether a published route leads to clusters that were not published before."""


def routable(name: str) -> bool:
    """Say whether a deployment's name can be a host name in the gateway."""
    return len(name) <= NAME_MAX_LENGTH and _ROUTABLE.fullmatch(name) is not None


def plan_gateway(deployments: Sequence[Wanted], world: World) -> GatewayPlan:
    """Return the next routing and clusters of a namespace. Publishing exactly what is published already changes nothing."""
    base = world.routing if world.routing is not None else _recovered(world)
    routes: dict[str, Route] = {}
    clusters: dict[str, Clusters] = {}
    waiting: dict[str, str] = {}
    problems: dict[str, str] = {}
    unobserved = set()
    for wanted in sorted(deployments, key=lambda wanted: wanted.name):
        if (problem := _problem(wanted)) is not None:
            problems[wanted.name] = problem
        if not routable(wanted.name):
            continue
        before = base.routes.get(wanted.name)
        if wanted.status is None:
            routes |= {} if before is None else {wanted.name: before}
            clusters |= {wanted.name: world.clusters[wanted.name]} if wanted.name in world.clusters else {}
            continue
        targets = _targets(wanted, wanted.status, before, world)
        arms = routing.intended_arms(wanted.status)
        current = {} if before is None else before.arms
        forced = wanted.status.fallback is not None
        reason = _hold(wanted.name, current, arms, targets, world, forced=forced)
        if reason is not None:
            waiting[wanted.name] = reason
            arms = dict(current)
        route = _route(wanted, before, arms, base.serial + 1)
        routes[wanted.name] = route
        asked = [pod for pod in world.pods if pod.ready or (pod.running and pod.uid in world.reports)]
        seen = before == route and _seen(wanted.name, route, asked, world)
        if not seen:
            unobserved.add(wanted.name)
        clusters[wanted.name] = _kept(wanted.name, route, targets, world)
    unchanged = routes == dict(base.routes) and world.routing is not None and not world.doubtful
    serial = base.serial if unchanged else base.serial + 1
    clusters.update(_leaving(routes, base, serial, world))
    return GatewayPlan(
        routing=Routing(serial=serial, routes=routes),
        clusters=clusters,
        waiting=waiting,
        problems=problems,
        unobserved=frozenset(unobserved),
        clusters_first=any(not set(route.arms) <= _arms(world.clusters.get(name, Clusters())) for name, route in routes.items()),
    )


def reachable(url: str) -> bool:
    """Say whether a URL has a scheme, host and port that a connection can be made to."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    labels = host.removesuffix(".").split(".")
    named = len(host) <= _HOST_LENGTH and all(0 < len(label) <= _LABEL_LENGTH for label in labels)
    return parts.scheme in ("http", "https") and named and port != 0


def _problem(wanted: Wanted) -> str | None:
    if not routable(wanted.name):
        return f"the name {wanted.name} cannot be a host name in the gateway; choose one that is a DNS label and not holdfast-*"
    bad = [each for each in _externals(wanted.spec) if not reachable(each.url)] if wanted.spec is not None else []
    if not bad:
        return None
    return f"spec.fallback.external[{bad[0].name}].url: nothing can be reached at {bad[0].url}; correct its host or port"


def _recovered(world: World) -> Routing:
    """Return the newest routing that a pod reported: when the published state is lost, the pods still answer by it."""
    return max((report.routing for report in world.reports.values()), key=lambda known: known.serial, default=Routing())


def _hold(
    name: str, current: Mapping[str, int], target: Mapping[str, int], clusters: Clusters, world: World, *, forced: bool
) -> str | None:
    """Return why a deployment's route cannot change yet, or None.

    Arms that get requests already may get more or fewer at any time. Another arm must be known to every ready pod and have a
    healthy endpoint there. A person's fallback does not wait for pods that do not answer, nor for an endpoint where the present
    arms have none either.
    """
    if set(target) <= set(current) or (world.routing is None and not world.reports):
        return None
    published = world.clusters.get(name, Clusters())
    unknown = [arm for arm in sorted(target) if arm not in _arms(published)]
    for pod in sorted((pod for pod in world.pods if pod.ready), key=lambda pod: pod.name):
        report = world.reports.get(pod.uid)
        if report is None:
            if forced:
                continue
            return f"gateway pod {pod.name} does not answer"
        dead = not any(arm_health(report, name, arm, clusters) for arm in current)
        for arm in sorted(target):
            health = arm_health(report, name, arm, clusters)
            if health is None or arm in unknown:  # what a pod still knows of a target that was taken away, it may lose
                return f"gateway pod {pod.name} does not know {_title(arm)} yet"
            if health == 0 and not (forced and dead):
                return f"gateway pod {pod.name} sees no healthy endpoint of {_title(arm)} yet"
    return None


def _title(arm: str) -> str:
    name = routing.arm_external(arm)
    return f"revision {arm}" if name is None else f"external {name}"


def _route(wanted: Wanted, before: Route | None, arms: Mapping[str, int], serial: int) -> Route:
    """Return the next route. While users are split, the header that splits them stays: another would move them."""
    header = _header(wanted, before)
    if before is None:
        return Route(serial=serial, arms=arms, header=header)
    split = len(before.arms) > 1 and len(arms) > 1
    return Route(
        serial=before.serial if dict(before.arms) == dict(arms) else serial,
        arms=arms,
        header=before.header if split else header,
    )


def _header(wanted: Wanted, before: Route | None) -> str:
    if wanted.spec is None:
        return defaults.DEFAULT_STICKINESS_HEADER if before is None else before.header
    rollout = wanted.spec.rollout
    if rollout is None or rollout.stickiness is None:
        return defaults.DEFAULT_STICKINESS_HEADER
    return rollout.stickiness.header


def _targets(wanted: Wanted, status: ModelDeploymentStatus, before: Route | None, world: World) -> Clusters:
    """Return what the gateway should know of a deployment, but for what it must not forget yet."""
    published = world.clusters.get(wanted.name, Clusters())
    used = set(routing.intended_arms(status)) | (set() if before is None else set(before.arms))
    arms = routing.live_arms(status, wanted.spec) | used
    settled = before is not None and _settled(wanted.name, before, world)
    declared = {external.name: external for external in published.externals}
    if wanted.spec is not None:
        declared = {external.name: external for external in _externals(wanted.spec) if reachable(external.url)}
    for external in published.externals:
        if not settled or routing.external_arm(external.name) in used:
            declared[external.name] = external  # who gets requests, or may still, is not exchanged under way
    candidate, stable = status.candidate, status.stable
    failover = {}
    if candidate is not None and stable is not None and routing.revision_arm(candidate.revision) != _forced(status):
        failover[candidate.revision] = stable.revision
    revisions = {revision for arm in arms if (revision := routing.arm_revision(arm)) is not None}
    return Clusters(
        revisions=frozenset(revisions),
        failover={revision: other for revision, other in failover.items() if revision != other},
        externals=tuple(sorted(declared.values())),
    )


def _externals(spec: ModelDeploymentSpec) -> list[External]:
    specified = spec.fallback.external if spec.fallback is not None else None
    return [External(name=item.name, url=item.url, model=item.model) for item in specified or ()]


def _forced(status: ModelDeploymentStatus) -> str | None:
    return next(iter(routing.intended_arms(status)), None) if status.fallback is not None else None


def _kept(name: str, route: Route, targets: Clusters, world: World) -> Clusters:
    """Return the targets and what a running pod may still route to."""
    published = world.clusters.get(name)
    if published is None or _settled(name, route, world):
        return targets
    gone = published.revisions - targets.revisions
    kept = {revision: other for revision, other in published.failover.items() if revision in gone}
    return Clusters(
        revisions=targets.revisions | published.revisions,
        failover={**kept, **targets.failover},
        externals=targets.externals,
    )


def _leaving(routes: Mapping[str, Route], base: Routing, serial: int, world: World) -> dict[str, Clusters]:
    """Return the clusters of deployments that are gone and that a running pod may still route to."""
    running = [pod for pod in world.pods if pod.running or pod.starting]
    reports = [world.reports.get(pod.uid) for pod in running]
    forgotten = serial == base.serial and all(report is not None and report.routing.serial >= serial for report in reports)
    return {
        name: entry
        for name, entry in world.clusters.items()
        if name not in routes
        and not (forgotten and all(report is None or name not in report.routing.routes for report in reports))
    }


def _settled(name: str, route: Route, world: World) -> bool:
    """Say whether no running pod can be on another route than this one."""
    return _seen(name, route, [pod for pod in world.pods if pod.running or pod.ready or pod.starting], world)


def _seen(name: str, route: Route, pods: Sequence[GatewayPod], world: World) -> bool:
    for pod in pods:
        report = world.reports.get(pod.uid)
        reported = None if report is None else report.routing.routes.get(name)
        if reported is None or reported.serial < route.serial or dict(reported.arms) != dict(route.arms):
            return False
    return True


def _arms(clusters: Clusters) -> set[str]:
    return {routing.revision_arm(revision) for revision in clusters.revisions} | {
        routing.external_arm(external.name) for external in clusters.externals
    }
