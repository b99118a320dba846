"""The two ConfigMaps that change at run time: routes and clusters, each with the state that it was rendered from.

They are two so that Envoy re-reads routes alone, which takes milliseconds, when only a route changes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from holdfast.domain.gateway import Clusters, Routing, clusters_text, parse_clusters
from holdfast.domain.gateway_plan import GatewayPlan
from holdfast.render.gateway.clusters import cluster_resources
from holdfast.render.gateway.layout import CLUSTERS_FILE, EXTERNAL_ROUTES_FILE, ROUTES_FILE, STATE_FILE, Json, Layout
from holdfast.render.gateway.routes import Marked, external_route_resources, route_resources

SIZE_LIMIT: Final = 1_000_000
"""Bytes of one ConfigMap's data. The API server's limit is 1 MiB (kubernetes.io, ConfigMaps), names and quotes included."""

Data = Mapping[str, str]
"""The data of a ConfigMap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What the two ConfigMaps should hold."""

    routing: Routing
    clusters: Mapping[str, Clusters]
    routes_data: Data
    clusters_data: Data
    refused: Mapping[str, str]
    """Deployments for which there is no more room, with a message for people."""


def published_routing(data: Data | None) -> Routing | None:
    """Return the routing that the routes ConfigMap holds, or None when it is missing or not ours."""
    try:
        return Routing.parse((data or {})[STATE_FILE])
    except (KeyError, ValueError):
        return None


def published_clusters(data: Data | None) -> dict[str, Clusters]:
    """Return what the clusters ConfigMap holds; nothing when it is missing or not ours."""
    try:
        return parse_clusters((data or {})[STATE_FILE])
    except (KeyError, ValueError):
        return {}


def publication(
    plan: GatewayPlan,
    marks: Mapping[str, Mapping[str, str]],
    layout: Layout,
    *,
    routes: Data | None,
    clusters: Data | None,
    limit: int = SIZE_LIMIT,
) -> Publication:
    """Return what to publish, given what the ConfigMaps hold now.

    A file that differs without a change of any route, as after an upgrade of the operator, is a publication with a serial of its
    own. What does not fit is left out: first what the newcomers ask, then every change of clusters; what is published stays.

    Args:
        plan: what to tell the gateway.
        marks: by deployment, what the answers of each arm are marked with.
        layout: where things are.
        routes: data of the routes ConfigMap now.
        clusters: data of the clusters ConfigMap now.
        limit: bytes that each ConfigMap may have.
    """
    before = published_clusters(clusters)
    targets, full = _fitting_clusters(plan.clusters, before, layout, limit)
    routing, routes_data = _routes(plan.routing, marks, targets, layout, routes)
    refused = dict.fromkeys(full, "there is no room for its clusters")
    if _size(routes_data) > limit:
        known = published_routing(routes) or Routing()
        kept = {name: route for name, route in plan.routing.routes.items() if name in known.routes}
        refused |= dict.fromkeys(plan.routing.routes.keys() - kept.keys(), "there is no room for its route")
        routing, routes_data = _routes(replace(plan.routing, routes=kept), marks, targets, layout, routes)
    reason = f"the gateway's configuration in namespace {layout.namespace} is full ({limit} bytes for each ConfigMap)"
    return Publication(
        routing=routing,
        clusters=targets,
        routes_data=routes_data,
        clusters_data=_clusters_data(targets, layout),
        refused={name: f"{reason}: {what}; move ModelDeployments to another namespace" for name, what in refused.items()},
    )


def _fitting_clusters(
    wanted: Mapping[str, Clusters], before: Mapping[str, Clusters], layout: Layout, limit: int
) -> tuple[Mapping[str, Clusters], set[str]]:
    if _size(_clusters_data(wanted, layout)) <= limit:
        return wanted, set()
    known = {name: entry for name, entry in wanted.items() if name in before}
    if _size(_clusters_data(known, layout)) <= limit:
        return known, wanted.keys() - known.keys()
    frozen = {name: before[name] for name in known}
    return frozen, {name for name, entry in wanted.items() if frozen.get(name) != entry}


def _routes(
    routing: Routing,
    marks: Mapping[str, Mapping[str, str]],
    clusters: Mapping[str, Clusters],
    layout: Layout,
    live: Data | None,
) -> tuple[Routing, Data]:
    data = _routes_data(routing, marks, clusters, layout)
    published = published_routing(live)
    if live is None or published is None or data == dict(live) or routing.serial > published.serial:
        return routing, data
    later = replace(routing, serial=routing.serial + 1)
    return later, _routes_data(later, marks, clusters, layout)


def _routes_data(
    routing: Routing, marks: Mapping[str, Mapping[str, str]], clusters: Mapping[str, Clusters], layout: Layout
) -> Data:
    marked = {name: Marked(route=route, served_by=marks.get(name, {})) for name, route in routing.routes.items()}
    return {
        ROUTES_FILE: compact(route_resources(routing.serial, marked, layout)),
        EXTERNAL_ROUTES_FILE: compact(external_route_resources(clusters)),
        STATE_FILE: routing.text(),
    }


def _clusters_data(clusters: Mapping[str, Clusters], layout: Layout) -> Data:
    return {CLUSTERS_FILE: compact(cluster_resources(clusters, layout)), STATE_FILE: clusters_text(clusters)}


def compact(value: Json) -> str:
    """Return JSON without spaces and with sorted keys: the same configuration is the same text."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _size(data: Data) -> int:
    return sum(len(key) + len(text.encode()) for key, text in data.items())
