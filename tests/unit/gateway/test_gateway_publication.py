"""The two ConfigMaps that change at run time."""

import json
from collections.abc import Mapping
from typing import Any

from holdfast.domain.gateway import Clusters, External, Route, Routing
from holdfast.domain.gateway_plan import GatewayPlan
from holdfast.render.gateway.layout import Layout
from holdfast.render.gateway.publication import SIZE_LIMIT, Publication, publication, published_clusters, published_routing

LAYOUT = Layout(namespace="team-a")
MARKS = {"chat": {"1": "stable", "2": "candidate"}}


def route(serial: int, **arms: int) -> Route:
    return Route(serial=serial, arms={arm.removeprefix("r"): weight for arm, weight in arms.items()}, header="x-user-id")


def plan(serial: int, routes: Mapping[str, Route], clusters: Mapping[str, Clusters]) -> GatewayPlan:
    routing = Routing(serial=serial, routes=routes)
    return GatewayPlan(routing=routing, clusters=clusters, waiting={}, problems={}, unobserved=frozenset(), clusters_first=False)


def publish(wanted: GatewayPlan, before: Publication | None = None, **more: Any) -> Publication:
    marks = more.pop("marks", MARKS)
    routes = None if before is None else before.routes_data
    clusters = None if before is None else before.clusters_data
    return publication(wanted, marks, LAYOUT, routes=routes, clusters=clusters, **more)


CHAT = plan(3, {"chat": route(3, r1=10000)}, {"chat": Clusters(revisions=frozenset({1}))})


def test_what_was_published_is_read_again() -> None:
    first = publish(CHAT)
    assert published_routing(first.routes_data) == CHAT.routing
    assert published_clusters(first.clusters_data) == CHAT.clusters


def test_the_same_plan_publishes_the_same_bytes() -> None:
    first = publish(CHAT)
    assert publish(CHAT, first) == first


def test_other_marks_are_a_publication_of_their_own() -> None:
    """A promotion swaps roles: the arms stay, the routes' text does not."""
    first = publish(CHAT)
    second = publish(CHAT, first, marks={"chat": {"1": "fallback"}})
    assert (second.routing.serial, second.routing.routes["chat"].serial) == (4, 3)
    assert second.clusters_data == first.clusters_data, "no cluster changes"
    assert publish(plan(4, CHAT.routing.routes, CHAT.clusters), second, marks={"chat": {"1": "fallback"}}) == second


def test_a_route_changes_no_file_of_clusters() -> None:
    clusters = {"chat": Clusters(revisions=frozenset({1, 2}), failover={2: 1})}
    first = publish(plan(3, {"chat": route(3, r1=10000)}, clusters))
    second = publish(plan(4, {"chat": route(4, r1=9500, r2=500)}, clusters), first)
    assert second.clusters_data == first.clusters_data
    assert second.routes_data != first.routes_data


def test_data_that_is_not_ours_is_no_state() -> None:
    assert published_routing({"state.json": "{}"}) is None
    assert published_routing({}) is None
    assert published_clusters({"state.json": "nonsense"}) == {}


def many(count: int) -> tuple[dict[str, Route], dict[str, Clusters]]:
    names = [f"deployment-{number:04}" for number in range(count)]
    return {name: route(3, r1=9500, r2=500) for name in names}, {
        name: Clusters(revisions=frozenset({1, 2}), failover={2: 1}) for name in names
    }


def size(data: Mapping[str, str]) -> int:
    return sum(len(key) + len(text.encode()) for key, text in data.items())


def test_a_hundred_deployments_in_mid_canary_fit() -> None:
    routes, clusters = many(100)
    full = publish(plan(3, routes, clusters))
    assert full.refused == {}
    assert max(size(full.routes_data), size(full.clusters_data)) < SIZE_LIMIT / 1.5


def test_newcomers_are_refused_where_there_is_no_room_for_their_clusters() -> None:
    routes, clusters = many(10)
    first = publish(plan(3, routes, clusters))
    limit = size(first.clusters_data) + 100
    routes["late"], clusters["late"] = route(4, r1=10000), Clusters(revisions=frozenset({1}))
    second = publish(plan(4, routes, clusters), first, limit=limit)
    assert set(second.refused) == {"late"}
    assert "namespace team-a is full" in second.refused["late"]
    assert second.clusters_data == first.clusters_data
    assert second.routing.routes["deployment-0000"] == routes["deployment-0000"]


def test_what_is_published_stays_where_there_is_no_room_for_its_growth() -> None:
    routes, clusters = many(10)
    first = publish(plan(3, routes, clusters))
    limit = size(first.clusters_data) + 100
    clusters["deployment-0003"] = Clusters(revisions=frozenset({1, 2, 3}), failover={3: 2})
    second = publish(plan(3, routes, clusters), first, limit=limit)
    assert set(second.refused) == {"deployment-0003"}
    assert second.clusters["deployment-0003"] == Clusters(revisions=frozenset({1, 2}), failover={2: 1})


def test_a_full_gateway_still_obeys_the_kill_switch() -> None:
    """A newcomer for whose route there is no room holds up nobody else's."""
    routes, clusters = many(10)
    first = publish(plan(3, routes, clusters))
    routes["deployment-0003"], routes["late"] = route(4, r2=10000), route(4)
    second = publish(plan(4, routes, clusters), first, limit=size(first.routes_data) + 10)
    assert set(second.refused) == {"late"}
    assert second.routing.routes["deployment-0003"].arms == {"2": 10000}
    assert second.routing.serial == 4
    assert json.loads(second.routes_data["state.json"])["serial"] == 4


def test_names_and_urls_are_only_ever_values() -> None:
    """Envoy's files are JSON: what people write cannot become configuration."""
    external = External(name="desk", url='http://x/"},{"name":"evil', model='m"}')
    made = publish(plan(3, {"chat": route(3)}, {"chat": Clusters(externals=(external,))}))
    names = [each["name"].rpartition("/")[0] for each in json.loads(made.clusters_data["cds.json"])["resources"]]
    assert names == ["chat", "chat/external-desk"]
