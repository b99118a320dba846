"""What a namespace's gateway is told, what it reports, and how both are written down.

The gateway's ConfigMaps carry, beside Envoy's files, the state that these were rendered from. It is the only memory: a restarted
operator reads it, finds nothing to change, and writes nothing.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from holdfast.domain import routing
from holdfast.domain.snapshot import GatewayReport, GatewayView, Published


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The route of one deployment."""

    serial: int
    """Serial of the publication in which the arms last changed."""
    arms: Mapping[str, int]
    """Parts of 10000 by arm; empty while nothing is approved."""
    header: str
    """Request header that names the user who stays on one arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The routes of all deployments of a namespace, as published or as a gateway pod reports them."""

    serial: int = 0
    """Grows with every publication."""
    routes: Mapping[str, Route] = field(default_factory=dict)

    def text(self) -> str:
        """Return the JSON that is published as ``state.json`` and that every gateway pod answers on ``/config``."""
        routes = {
            name: {"serial": route.serial, "arms": dict(sorted(route.arms.items())), "header": route.header}
            for name, route in sorted(self.routes.items())
        }
        return _json({"serial": self.serial, "deployments": routes})

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `text` wrote.

        Raises:
            ValueError: it is not of that form.
        """
        try:
            value = json.loads(text)
            routes = {
                str(name): Route(
                    serial=int(route["serial"]),
                    arms={str(arm): int(weight) for arm, weight in route["arms"].items()},
                    header=str(route["header"]),
                )
                for name, route in value["deployments"].items()
            }
            return cls(serial=int(value["serial"]), routes=routes)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the state of a gateway: {error!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class External:
    """An endpoint outside the cluster, as one deployment declares it."""

    name: str
    url: str
    model: str | None = None
    """Model name to send; None leaves what the client sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """What the gateway knows of one deployment's targets, whether or not a route leads to them."""

    revisions: frozenset[int] = frozenset()
    failover: Mapping[int, int] = field(default_factory=dict)
    """The revision that answers when the key's revision does not: the stable one for the candidate, and no other."""
    externals: tuple[External, ...] = ()

    def external(self, name: str) -> External | None:
        """Return the definition of an external by its name."""
        return next((external for external in self.externals if external.name == name), None)


def clusters_text(clusters: Mapping[str, Clusters]) -> str:
    """Return the JSON that is published beside the clusters."""
    return _json(
        {
            name: {
                "revisions": sorted(entry.revisions),
                "failover": {str(revision): other for revision, other in sorted(entry.failover.items())},
                "externals": [_external_value(external) for external in entry.externals],
            }
            for name, entry in sorted(clusters.items())
        }
    )


def parse_clusters(text: str) -> dict[str, Clusters]:
    """Read what `clusters_text` wrote.

    Raises:
        ValueError: it is not of that form.
    """
    try:
        return {
            str(name): Clusters(
                revisions=frozenset(int(revision) for revision in entry["revisions"]),
                failover={int(revision): int(other) for revision, other in entry["failover"].items()},
                externals=tuple(
                    External(name=str(value["name"]), url=str(value["url"]), model=value.get("model"))
                    for value in entry["externals"]
                ),
            )
            for name, entry in json.loads(text).items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the clusters of a gateway: {error!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPod:
    """A pod of the gateway."""

    name: str
    uid: str
    ready: bool
    """Ready and not leaving: it gets new connections."""
    running: bool
    """Its Envoy runs: it may hold connections, whether ready or not."""
    starting: bool = False
    """It is on a node, and its Envoy does not run, yet or again: it begins with the files that the kubelet has put there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodReport:
    """What one gateway pod said last."""

    routing: Routing
    clusters: Mapping[str, int]
    """Healthy endpoints by Envoy cluster; a cluster that it does not know is absent."""


def revision_cluster(deployment: str, revision: int) -> str:
    """Name of the Envoy cluster of a revision's pods."""
    return f"{deployment}/{revision}"


def arm_cluster(deployment: str, arm: str) -> str:
    """Name of the Envoy cluster that a route names for an arm."""
    external = routing.arm_external(arm)
    return f"{deployment}/arm-{arm}" if external is None else f"{deployment}/external-{external}"


def origin_cluster(deployment: str, external: External) -> str:
    """Name of the Envoy cluster behind the hop to an external. Another definition is another cluster, so the two never mix."""
    definition = hashlib.sha256(_json(_external_value(external)).encode()).hexdigest()[:8]
    return f"{deployment}/external-{external.name}/{definition}"


def cluster_names(clusters: Mapping[str, Clusters]) -> frozenset[str]:
    """Return the names of all Envoy clusters of a namespace."""
    names = set()
    for deployment, targets in clusters.items():
        for revision in targets.revisions:
            names |= {revision_cluster(deployment, revision), arm_cluster(deployment, routing.revision_arm(revision))}
        for external in targets.externals:
            names |= {arm_cluster(deployment, routing.external_arm(external.name)), origin_cluster(deployment, external)}
    return frozenset(names)


def arm_health(report: PodReport, deployment: str, arm: str, clusters: Clusters) -> int | None:
    """Return how many healthy endpoints a pod sees for an arm, or None if it does not know all clusters of the arm.

    An external that the pod knows counts as one: whether it answers is not probed.
    """
    if arm_cluster(deployment, arm) not in report.clusters:
        return None
    name = routing.arm_external(arm)
    if name is None:
        return report.clusters.get(f"{deployment}/{arm}")
    external = clusters.external(name)
    return 1 if external is not None and origin_cluster(deployment, external) in report.clusters else None


def gateway_view(
    deployment: str,
    published: Routing,
    pods: tuple[GatewayPod, ...],
    reports: Mapping[str, PodReport],
    silent: frozenset[str] = frozenset(),
    coming: Sequence[Routing] = (),
) -> GatewayView:
    """Return the gateway as far as one deployment is concerned.

    Args:
        deployment: its name.
        published: the routing as last written.
        pods: the gateway's pods.
        reports: last report by the pod's uid.
        silent: uids of the pods that did not answer when they were last asked.
        coming: routings that are being written, or perhaps were.
    """
    route = published.routes.get(deployment)
    others = [known.routes[deployment].arms for known in coming if deployment in known.routes]
    ready = frozenset(pod.uid for pod in pods if pod.ready)
    return GatewayView(
        ready_pods=ready,
        other_pods=frozenset(pod.uid for pod in pods if pod.running) - ready,
        starting_pods=frozenset(pod.uid for pod in pods if pod.starting),
        reports=tuple(
            replace(_report(pod.uid, deployment, reports[pod.uid]), silent=pod.uid in silent)
            for pod in sorted(pods, key=lambda pod: pod.uid)
            if pod.uid in reports
        ),
        published=None if route is None else Published(serial=route.serial, arms=route.arms),
        coming=tuple(arms for arms in others if route is None or arms != route.arms),
    )


def _report(uid: str, deployment: str, report: PodReport) -> GatewayReport:
    route = report.routing.routes.get(deployment, Route(serial=0, arms={}, header=""))
    return GatewayReport(
        pod=uid,
        serial=route.serial,  # the deployment's own: what is published for others is no news for this one
        arms=route.arms,
    )


def _external_value(external: External) -> dict[str, str]:
    value = {"name": external.name, "url": external.url}
    return value if external.model is None else {**value, "model": external.model}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
