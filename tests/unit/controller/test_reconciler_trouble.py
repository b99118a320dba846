"""The loop when something is in the way, refused, unreadable or restless."""

from datetime import datetime

import standins
from builders import NAME, NAMESPACE
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.cluster.errors import Rejected, Transient
from holdfast.domain.plan import Plan, WriteStatus
from holdfast.domain.snapshot import Snapshot
from holdfast.render import deployment as real_renderer
from model.fake_cluster import Call, FakeCluster
from process import engine_names, run_engines
from unit.controller.objects import Manifest
from unit.controller.scenes import KEY, declare, serving, started, status, texts


async def test_what_is_in_the_way_reaches_the_status_and_a_restart_does_not_take_it_back(cluster: FakeCluster) -> None:
    cluster.put(kinds.SERVICE, {"metadata": {"namespace": NAMESPACE, "name": NAME}, "spec": {"selector": {"app": "mine"}}})
    declare(cluster)
    process = await started(cluster)
    await process.settle(run_engines)
    assert "Stalled=NameConflict" in texts(cluster)
    before = len([call for call in cluster.writes() if call.kind in kinds.OWN])
    again = await started(cluster)
    await again.settle(run_engines)
    assert len([call for call in cluster.writes() if call.kind in kinds.OWN]) == before


async def test_what_was_in_the_way_and_is_gone_is_noticed_without_an_event(cluster: FakeCluster) -> None:
    cluster.put(kinds.SERVICE, {"metadata": {"namespace": NAMESPACE, "name": NAME}, "spec": {"selector": {"app": "mine"}}})
    declare(cluster)
    process = await started(cluster)
    await process.settle(run_engines)
    cluster.remove(kinds.SERVICE, KEY)
    cluster.advance(60)
    await process.settle(run_engines)
    assert "Stalled=NameConflict" not in texts(cluster)
    assert cluster.read(kinds.SERVICE, KEY) is not None


async def test_what_the_server_refuses_reaches_the_status(cluster: FakeCluster) -> None:
    declare(cluster)
    cluster.inject("before", Rejected("exceeded quota: services"), verb="create", kind=kinds.SERVICE)
    process = await started(cluster)

    def refuse_always(call: Call) -> None:
        if (call.verb, call.kind) == ("create", kinds.SERVICE):
            cluster.inject("before", Rejected("exceeded quota: services"), verb="create", kind=kinds.SERVICE)

    cluster.before_call = refuse_always
    await process.settle(run_engines)
    stalled = [each for each in status(cluster)["conditions"] if each["type"] == "Stalled"]
    assert "exceeded quota: services" in stalled[0]["message"]


async def test_the_engine_behind_a_squatted_service_is_not_ready(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    cluster.remove(kinds.SERVICE, Key(NAMESPACE, f"{NAME}-1"))
    cluster.put(kinds.SERVICE, {"metadata": {"namespace": NAMESPACE, "name": f"{NAME}-1"}, "spec": {"selector": {"app": "evil"}}})
    await process.settle(run_engines)
    assert "Ready=NotServing" in texts(cluster)
    assert "Stalled=NameConflict" in texts(cluster)


async def test_a_history_that_cannot_be_read_stops_everything_for_its_deployment_alone(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    cluster.edit(kinds.MODEL_REVISION, Key(NAMESPACE, f"{NAME}-1"), lambda found: found["spec"].update(fromTheFuture=1))
    declare(cluster, "b")
    await process.settle(run_engines)
    assert len(cluster.every(kinds.MODEL_REVISION)) == 1
    assert engine_names(cluster) == [f"{NAME}-1"]
    stalled = [each for each in status(cluster)["conditions"] if each["type"] == "Stalled"]
    assert f"ModelRevision {NAME}-1: spec.fromTheFuture" in stalled[0]["message"]


async def test_a_status_that_cannot_be_read_is_not_overwritten(cluster: FakeCluster) -> None:
    declare(cluster)
    cluster.set_status(kinds.MODEL_DEPLOYMENT, KEY, {"phase": "FromTheFuture"})
    process = await started(cluster)
    await process.settle(run_engines)
    assert status(cluster) == {"phase": "FromTheFuture"}


async def test_two_rules_that_undo_each_other_do_not_spin(cluster: FakeCluster) -> None:
    declare(cluster)

    def restless(snapshot: Snapshot, now: datetime) -> Plan:
        before = snapshot.deployment.status
        return Plan(write=WriteStatus(status=before.model_copy(update={"ready_replicas": 1 - (before.ready_replicas or 0)})))

    process = await started(cluster, decide=restless)
    process.controller.queue.add(KEY)
    await process.work()
    assert process.outcomes.count("Transient") == 1
    assert len(cluster.writes()) == 50
    cluster.advance(59)
    process.hear()
    assert await process.work() == 0


async def test_races_that_are_lost_again_and_again_give_others_their_turn(cluster: FakeCluster) -> None:
    declare(cluster)
    process = await started(cluster)

    def always_first(call: Call) -> None:
        if call.is_write and call.kind is kinds.MODEL_DEPLOYMENT:
            cluster.edit(
                kinds.MODEL_DEPLOYMENT,
                KEY,
                lambda found: found["metadata"].setdefault("labels", {}).update(n=str(len(cluster.calls))),
            )

    cluster.before_call = always_first
    process.controller.queue.add(KEY)
    await process.work()
    assert "Transient" in process.outcomes
    assert len(cluster.writes()) <= 10


async def test_a_role_without_its_revision_is_told_and_the_engine_left_alone(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    cluster.remove(kinds.MODEL_REVISION, Key(NAMESPACE, f"{NAME}-1"))
    await process.settle(run_engines)
    assert engine_names(cluster) == [f"{NAME}-1"]
    stalled = [each["message"] for each in status(cluster)["conditions"] if each["type"] == "Stalled"]
    assert stalled
    assert "its ModelRevision is gone" in stalled[0]


async def test_a_revision_that_this_operator_cannot_render_is_told(cluster: FakeCluster) -> None:
    await serving(cluster)

    class Older:
        shared_objects = staticmethod(real_renderer.shared_objects)
        problems = staticmethod(real_renderer.problems)

        @staticmethod
        def engine_objects(*_: object) -> list[Manifest]:
            raise ValueError("render version 2 is newer than this operator")

    process = await started(cluster, renderer=Older())
    await process.settle(run_engines)
    assert set(process.outcomes) == {"Settled"}
    assert engine_names(cluster) == [f"{NAME}-1"]
    stalled = [each["message"] for each in status(cluster)["conditions"] if each["type"] == "Stalled"]
    assert "newer than this operator" in stalled[0]


async def test_a_key_that_gets_on_is_not_slowed_down_by_single_failures(cluster: FakeCluster) -> None:
    process = await started(cluster)
    declare(cluster)
    process.hear()
    waited = 0.0
    for _ in range(12):
        cluster.inject("before", Transient("busy"), skip=1)
        await process.work()
        due = process.controller.queue.next_due()
        waited = max(waited, (due or 0) - process.clock())
        cluster.advance(10)
        cluster.heal()
        process.hear()
        if process.controller.queue.failures(KEY) == 0:
            break
    assert 0 < waited <= 0.2, "each failure is the first in a row"


async def test_what_keeps_the_gateway_from_serving_is_told_on_the_deployment(cluster: FakeCluster) -> None:
    declare(cluster)
    text = "Deployment holdfast-gateway exists and is not Holdfast's; delete or rename it"

    process = await started(cluster, make_gateway=lambda *, mirror, **_: standins.Gateway(mirror, trouble=(text,)))
    await process.settle(run_engines)
    assert "Stalled=ChildRefused" in texts(cluster)
    stalled = [each for each in status(cluster)["conditions"] if each["type"] == "Stalled"]
    assert text in stalled[0]["message"]


async def test_a_refusal_in_other_words_each_time_is_tried_once_a_minute_and_no_more_often(cluster: FakeCluster) -> None:
    """As of a webhook that names the request, or a quota that others use as well."""
    declare(cluster)
    process = await started(cluster)
    refused = 0

    def refuse(call: Call) -> None:
        nonlocal refused
        if (call.verb, call.kind) == ("create", kinds.SERVICE):
            refused += 1
            cluster.inject("before", Rejected(f"denied; request {refused}"), verb="create", kind=kinds.SERVICE)

    cluster.before_call = refuse
    await process.settle(run_engines)
    at_first, before = refused, len(cluster.writes())
    assert at_first <= 6
    for _ in range(10):
        cluster.advance(61)
        await process.settle(run_engines)
    assert refused - at_first == 10
    assert len(cluster.writes()) - before <= 20
    assert "Transient" not in process.outcomes
    assert f"request {refused - 1}" in str(status(cluster)["conditions"]), "what is told is at most a minute old"


async def test_a_refused_revision_is_told_where_people_look_until_it_is_made(cluster: FakeCluster) -> None:
    """As by a quota of objects: a new revision is made of each model that anybody proposes."""
    process = await serving(cluster)
    refusing = True

    def refuse(call: Call) -> None:
        if refusing and (call.verb, call.kind) == ("create", kinds.MODEL_REVISION):
            cluster.inject("before", Rejected("exceeded quota: revisions"), verb="create", kind=kinds.MODEL_REVISION)

    cluster.before_call = refuse
    declare(cluster, "b")
    await process.settle(run_engines)
    stalled = [each["message"] for each in status(cluster)["conditions"] if each["type"] == "Stalled"]
    assert stalled == ["exceeded quota: revisions"]
    before = [call for call in cluster.writes() if call.kind is kinds.MODEL_DEPLOYMENT]
    for _ in range(5):
        cluster.advance(61)
        await process.settle(run_engines)
    assert [call for call in cluster.writes() if call.kind is kinds.MODEL_DEPLOYMENT] == before
    refusing = False
    cluster.advance(61)
    await process.settle(run_engines)
    assert "Stalled=ChildRefused" not in texts(cluster)
    assert status(cluster)["phase"] == "AwaitingApproval"
