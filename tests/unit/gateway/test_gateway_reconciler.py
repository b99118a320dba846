"""The gateway of a namespace over its life: created, changed, watched, repaired and removed, with kills in between."""

import json
from typing import Literal

import pytest

from holdfast.api import names
from holdfast.api.deployment import ModelDeploymentStatus
from holdfast.api.names import Key
from holdfast.api.reasons import Phase
from holdfast.cluster import kinds
from holdfast.cluster.errors import Conflict, Transient
from holdfast.domain.routing import observed, possible_weight
from model.fake_cluster import Crash
from unit.gateway.namespace import GATEWAY, NAMESPACE, Namespace
from unit.gateway.states import fallback, spec, status

CHAT = Key(NAMESPACE, "chat")
ALL = {
    ("ConfigMap", "holdfast-gateway-bootstrap"),
    ("ConfigMap", "holdfast-gateway-clusters"),
    ("ConfigMap", "holdfast-gateway-routes"),
    ("Deployment", "holdfast-gateway"),
    ("NetworkPolicy", "holdfast-gateway"),
    ("PodDisruptionBudget", "holdfast-gateway"),
    ("Service", "holdfast-gateway"),
}


async def serving(state: ModelDeploymentStatus | None = None) -> Namespace:
    """Return a namespace whose gateway serves, settled."""
    made = Namespace()
    made.deployment(state or status(stable=1))
    await made.settle()
    made.queued()
    return made


async def test_the_first_deployment_brings_a_gateway() -> None:
    namespace = Namespace()
    namespace.deployment(ModelDeploymentStatus())
    await namespace.settle()
    assert namespace.objects() == ALL
    assert namespace.arms() == {}


async def test_configuration_is_there_before_the_pods_that_mount_it() -> None:
    namespace = Namespace()
    namespace.deployment(status(stable=1))
    await namespace.visit()
    created = [call.key.name for call in namespace.cluster.writes() if call.verb == "create" and call.key is not None]
    assert created[-1] == names.GATEWAY_NAME
    assert created[:2] == [names.GATEWAY_CLUSTERS, names.GATEWAY_ROUTES], "a route never leads to clusters that are not there"


async def test_nothing_is_decided_before_the_gateway_was_looked_at() -> None:
    namespace = await serving()
    namespace.start()
    assert namespace.reconciler.view(CHAT) is None
    await namespace.visit()
    assert namespace.reconciler.view(CHAT) is not None
    assert CHAT in namespace.queued()


async def test_a_gateway_in_order_is_not_written() -> None:
    namespace = await serving()
    before = namespace.cluster.writes()
    await namespace.settle()
    assert namespace.cluster.writes() == before


async def test_a_restart_writes_nothing_and_sees_everything_at_once() -> None:
    namespace = await serving(status(Phase.SOAKING, stable=1, candidate=2, weight=500))
    before = namespace.cluster.writes()
    namespace.start()
    await namespace.visit()
    view = namespace.reconciler.view(CHAT)
    assert view is not None
    assert observed(view, {"1": 9500, "2": 500})
    assert namespace.cluster.writes() == before


async def test_a_canary_is_published_and_observed_in_one_visit() -> None:
    namespace = await serving(status(Phase.PREPARING, stable=1, candidate=2))
    namespace.deployment(status(Phase.SHIFTING, stable=1, candidate=2, weight=500))
    await namespace.visit()
    assert namespace.arms() == {"1": 9500, "2": 500}
    view = namespace.reconciler.view(CHAT)
    assert view is not None
    assert observed(view, {"1": 9500, "2": 500})
    assert CHAT in namespace.queued()


async def test_a_kill_switch_is_published_and_observed_in_one_visit() -> None:
    namespace = await serving(status(stable=2, good=1))
    namespace.deployment(status(Phase.FALLBACK, stable=2, good=1, fallback=fallback(revision=1)))
    before = len(namespace.cluster.writes())
    await namespace.visit()
    view = namespace.reconciler.view(CHAT)
    assert view is not None
    assert observed(view, {"1": 10000})
    writes = namespace.cluster.writes()[before:]
    assert [(call.kind.kind, call.key.name if call.key else None) for call in writes] == [
        ("ConfigMap", "holdfast-gateway-routes"),
        ("Pod", "holdfast-gateway-a"),
        ("Pod", "holdfast-gateway-b"),
    ]


async def test_a_kill_switch_changes_no_clusters() -> None:
    namespace = await serving(status(Phase.SOAKING, stable=2, good=1, candidate=3, weight=500))
    clusters = namespace.data(names.GATEWAY_CLUSTERS)
    namespace.deployment(status(Phase.FALLBACK, stable=2, good=1, candidate=3, weight=500, fallback=fallback(revision=1)))
    await namespace.visit()
    assert namespace.arms() == {"1": 10000}
    assert namespace.data(names.GATEWAY_CLUSTERS) == clusters


async def test_routes_are_written_before_clusters_that_they_do_not_need() -> None:
    """A person waits for the route; the clusters of the declared external can come after it."""
    namespace = await serving(status(stable=2, good=1))
    declared = spec(externals={"desk": "https://desk.test/v1"})
    namespace.deployment(status(Phase.FALLBACK, stable=2, good=1, fallback=fallback(revision=1)))
    namespace.cluster.edit(kinds.MODEL_DEPLOYMENT, CHAT, lambda live: live.update(spec=declared.wire()))
    before = len(namespace.cluster.writes())
    await namespace.visit()
    written = [call.key.name for call in namespace.cluster.writes()[before:] if call.kind is kinds.CONFIG_MAP and call.key]
    assert written == [names.GATEWAY_ROUTES, names.GATEWAY_CLUSTERS]


async def test_what_waits_is_looked_at_soon_and_what_is_calm_is_not() -> None:
    namespace = await serving(status(Phase.PREPARING, stable=1, candidate=2))
    for envoy in namespace.envoys.values():
        envoy.dead = {"chat/2"}
    namespace.clock.time += 10
    await namespace.visit()
    namespace.deployment(status(Phase.SHIFTING, stable=1, candidate=2, weight=500))
    await namespace.visit()
    due = namespace.queue.next_due()
    assert due is not None
    assert due - namespace.clock.time <= 0.25
    assert namespace.arms() == {"1": 10000}
    assert namespace.reconciler.problems(CHAT) == (), "what only takes time is nobody's problem"
    for envoy in namespace.envoys.values():
        envoy.dead = set()
    namespace.clock.time += 0.25
    namespace.queued()
    await namespace.visit()
    assert namespace.arms() == {"1": 9500, "2": 500}
    due = namespace.queue.next_due()
    assert due is not None
    assert due - namespace.clock.time == 10


async def test_calm_gateways_are_not_asked_at_every_visit() -> None:
    namespace = await serving()
    before = namespace.asked
    await namespace.visit()
    assert namespace.asked == before
    namespace.clock.time += 10
    await namespace.visit()
    assert namespace.asked == before + 2


async def test_a_pod_that_does_not_show_the_news_is_told_again_ever_more_rarely() -> None:
    namespace = await serving(status(stable=2, good=1))
    namespace.envoys["a"].attentive = False
    namespace.deployment(status(Phase.FALLBACK, stable=2, good=1, fallback=fallback(revision=1)))
    told: list[float] = []
    begin = namespace.clock.time
    annotation = None
    for _ in range(200):
        await namespace.visit()
        if namespace.envoys["a"].annotation != annotation:
            annotation = namespace.envoys["a"].annotation
            told.append(round(namespace.clock.time - begin, 1))
        namespace.clock.time += 0.1
    assert told == pytest.approx([0.0, 1.0, 3.0, 7.0, 15.0], abs=0.3)
    view = namespace.reconciler.view(CHAT)
    assert view is not None
    assert not observed(view, {"1": 10000})
    assert possible_weight(view, 2) == 10000
    namespace.envoys["a"].attentive = True
    namespace.clock.time += 60
    await namespace.visit()
    view = namespace.reconciler.view(CHAT)
    assert view is not None
    assert observed(view, {"1": 10000})


async def test_a_new_pod_is_not_told_what_it_has_read_itself() -> None:
    namespace = await serving()
    before = namespace.cluster.writes()
    namespace.add_pod("c")
    await namespace.settle()
    assert namespace.cluster.writes() == before


async def test_a_pod_that_falls_silent_keeps_what_it_said() -> None:
    """A route that was seen does not go away because a pod does not answer for a second."""
    namespace = await serving()
    namespace.envoys["a"].silent = True
    namespace.clock.time += 10
    await namespace.visit()
    view = namespace.reconciler.view(CHAT)
    assert view is not None
    assert observed(view, {"1": 10000})


async def test_a_pod_that_does_not_answer_keeps_no_worker_from_other_gateways() -> None:
    """Each look at it lasts until it is given up, and a zone that is lost has many."""
    namespace = await serving()
    namespace.envoys["a"].silent = True
    namespace.clock.time += 10
    namespace.queued()
    for _ in range(3):
        await namespace.visit()
        due = namespace.queue.next_due()
        assert due is not None
        assert due - namespace.clock.time >= 2
        namespace.clock.time = due
        namespace.queued()
    namespace.envoys["a"].silent = False
    await namespace.visit()
    due = namespace.queue.next_due()
    assert due is not None
    assert due - namespace.clock.time == 10


async def test_a_deployment_hears_of_its_own_news_only() -> None:
    namespace = Namespace()
    namespace.deployment(status(stable=1))
    namespace.deployment(status(stable=2, good=1), name="other")
    await namespace.settle()
    namespace.queued()
    namespace.deployment(status(Phase.FALLBACK, stable=2, good=1, fallback=fallback(revision=1)), name="other")
    await namespace.visit()
    assert namespace.arms("other") == {"1": 10000}
    assert CHAT not in namespace.queued()


async def test_a_deleted_deployment_leaves_no_trace() -> None:
    namespace = Namespace()
    namespace.deployment(status(stable=1))
    namespace.deployment(status(stable=1), name="other")
    await namespace.settle()
    namespace.cluster.remove(kinds.MODEL_DEPLOYMENT, CHAT)
    await namespace.settle()
    assert set(namespace.routing().routes) == {"other"}
    assert all(name.startswith("other/") for name in namespace.envoys["a"].clusters)


async def test_the_last_deployment_takes_the_gateway_with_it() -> None:
    namespace = await serving()
    namespace.cluster.remove(kinds.MODEL_DEPLOYMENT, CHAT)
    await namespace.settle()
    assert namespace.objects() == set()


async def test_a_gateway_is_not_removed_because_the_mirror_is_behind() -> None:
    namespace = await serving()
    live = namespace.cluster.read(kinds.MODEL_DEPLOYMENT, CHAT)
    assert live is not None
    namespace.mirror.observe(kinds.MODEL_DEPLOYMENT, live, deleted=True)
    with pytest.raises(Conflict):
        await namespace.reconciler.reconcile(GATEWAY)
    assert namespace.objects() == ALL


async def test_somebody_elses_change_is_repaired() -> None:
    namespace = await serving()
    published = namespace.data(names.GATEWAY_ROUTES)
    assert published is not None

    def spoil(live: dict[str, dict[str, str]]) -> None:
        live["data"]["rds.json"] = "{}"

    namespace.cluster.edit(kinds.CONFIG_MAP, namespace.key(names.GATEWAY_ROUTES), spoil)
    await namespace.settle()
    data = namespace.data(names.GATEWAY_ROUTES)
    assert data is not None
    assert len(json.loads(data["rds.json"])["resources"]) == 1
    assert data["rds-external.json"] == published["rds-external.json"]
    assert namespace.arms() == {"1": 10000}


async def test_a_lost_routes_config_map_is_made_anew_from_what_the_pods_answer_by() -> None:
    namespace = await serving(status(Phase.SOAKING, stable=1, candidate=2, weight=500))
    serial = namespace.routing().serial
    namespace.cluster.remove(kinds.CONFIG_MAP, namespace.key(names.GATEWAY_ROUTES))
    namespace.start()
    await namespace.settle()
    assert namespace.arms() == {"1": 9500, "2": 500}
    assert namespace.routing().serial == serial + 1


async def test_a_serial_never_overwrites_a_later_one() -> None:
    """Another operator published in between: the write fails, and the next visit goes on from there."""
    namespace = await serving(status(stable=2, good=1))
    namespace.deployment(status(Phase.FALLBACK, stable=2, good=1, fallback=fallback(revision=1)))
    namespace.run_world()
    other = dict(namespace.data(names.GATEWAY_ROUTES) or {})
    serial = namespace.routing().serial
    other["state.json"] = other["state.json"].replace(f'"serial":{serial}}}', f'"serial":{serial + 7}}}')

    def publish(live: dict[str, dict[str, str]]) -> None:
        live["data"] = other

    namespace.cluster.edit(kinds.CONFIG_MAP, namespace.key(names.GATEWAY_ROUTES), publish)
    with pytest.raises(Conflict):
        await namespace.reconciler.reconcile(GATEWAY)
    await namespace.visit()
    assert namespace.routing().serial == serial + 8
    assert namespace.arms() == {"1": 10000}


async def test_a_squatted_name_is_told_of() -> None:
    namespace = Namespace()
    namespace.stranger(names.GATEWAY_ROUTES)
    namespace.deployment(status(stable=1))
    await namespace.visit()
    assert namespace.reconciler.problems(CHAT) == (
        "ConfigMap holdfast-gateway-routes exists and is not Holdfast's; delete or rename it",
    )
    assert ("Deployment", "holdfast-gateway") not in namespace.objects()
    assert (namespace.data(names.GATEWAY_ROUTES) or {}) == {"x": "y"}


async def test_a_pod_that_goes_away_while_it_is_told_is_no_trouble() -> None:
    namespace = await serving(status(stable=2, good=1))
    namespace.deployment(status(Phase.FALLBACK, stable=2, good=1, fallback=fallback(revision=1)))
    namespace.run_world()
    namespace.cluster.remove(kinds.POD, namespace.key("holdfast-gateway-a"))
    await namespace.reconciler.reconcile(GATEWAY)
    assert namespace.arms() == {"1": 10000}


STORY = (
    ModelDeploymentStatus(),
    status(Phase.PROMOTING, candidate=1),
    status(stable=1),
    status(Phase.PREPARING, stable=1, candidate=2),
    status(Phase.SHIFTING, stable=1, candidate=2, weight=500),
    status(Phase.PROMOTING, stable=1, candidate=2),
    status(Phase.DRAINING, stable=2, good=1),
    status(Phase.FALLBACK, stable=2, good=1, fallback=fallback(external="desk")),
    status(stable=2, good=1),
)


async def told(namespace: Namespace) -> list[str]:
    """Play a life, and return what is published at its end."""
    declared = spec(externals={"desk": "https://desk.test/v1"})
    for state in STORY:
        namespace.deployment(state, declared=declared)
        for _ in range(6):
            before = len(namespace.cluster.writes())
            try:
                await namespace.visit()
            except (Crash, Transient):
                namespace.cluster.heal()
                namespace.start()
                continue
            namespace.clock.time += 1
            if len(namespace.cluster.writes()) == before:
                break
    routes, clusters = namespace.data(names.GATEWAY_ROUTES), namespace.data(names.GATEWAY_CLUSTERS)
    assert routes is not None
    assert clusters is not None
    return [str(namespace.arms()), routes["rds-external.json"], *clusters.values()]


async def test_a_kill_before_or_after_any_write_ends_in_the_same_state() -> None:
    straight = Namespace()
    expected = await told(straight)
    count = len(straight.cluster.writes())
    assert count > 20
    moments: tuple[Literal["before", "after"], ...] = ("before", "after")
    for when in moments:
        for number in range(count):
            namespace = Namespace()
            namespace.cluster.inject(when, Crash("killed"), skip=number)
            assert await told(namespace) == expected, f"killed {when} write {number}"
