"""The loop: one write at a time on what was seen, then children, and nothing taken away on an old picture."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

import standins
from builders import NAME, NAMESPACE
from holdfast.api.names import Key
from holdfast.api.reasons import Reason
from holdfast.cluster import kinds
from holdfast.cluster.errors import Conflict, Rejected, Transient
from holdfast.controller.keys import GatewayKey
from holdfast.domain.decide import decide
from holdfast.domain.plan import EngineIntent, Plan, WriteStatus
from holdfast.domain.snapshot import Snapshot
from model.fake_cluster import Call, Crash, FakeCluster
from process import OperatorProcess, engine_names, run_engines
from unit.controller.objects import Manifest
from unit.controller.scenes import KEY, approve, declare, serving, started, status


async def test_a_model_is_served_once_its_owner_approved_it(cluster: FakeCluster) -> None:
    declare(cluster)
    process = await started(cluster)
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "AwaitingApproval"
    assert engine_names(cluster) == []
    approve(cluster)
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "Stable"
    assert engine_names(cluster) == [f"{NAME}-1"]
    assert set(process.outcomes) == {"Settled"}


async def test_a_second_revision_takes_over_and_the_first_stands_by(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    rollout = {"steps": [{"weight": 50, "holdSeconds": 60}]}
    declare(cluster, "b", rollout=rollout)
    await process.settle(run_engines)
    approve(cluster)
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "Soaking"
    cluster.advance(61)
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "AwaitingPromotion"
    approve(cluster, "Promote")
    await process.settle(run_engines)
    cluster.advance(60)
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "Stable"
    assert status(cluster)["stable"]["revision"] == 2
    assert status(cluster)["lastKnownGood"]["revision"] == 1
    assert engine_names(cluster) == [f"{NAME}-1", f"{NAME}-2"]


async def test_a_restart_with_everything_in_place_writes_nothing(cluster: FakeCluster) -> None:
    await serving(cluster)
    before = len(cluster.writes())
    again = await started(cluster)
    await again.settle(run_engines)
    assert again.outcomes
    assert cluster.writes()[before:] == ()


async def test_an_operator_with_another_image_changes_no_pod_template(cluster: FakeCluster) -> None:
    await serving(cluster)
    before, templates = len(cluster.writes()), cluster.every(kinds.DEPLOYMENT)

    def upgraded(snapshot: Snapshot, now: datetime) -> Plan:
        newer = replace(snapshot.settings, weights_image="registry.example/holdfast@sha256:" + "9" * 64)
        return decide(replace(snapshot, settings=newer), now)

    again = await started(cluster, decide=upgraded)
    await again.settle(run_engines)
    assert cluster.writes()[before:] == ()
    assert cluster.every(kinds.DEPLOYMENT) == templates


async def test_nothing_is_decided_before_the_gateway_was_looked_at(cluster: FakeCluster) -> None:
    declare(cluster)
    views: list[bool] = []

    class Unseen(standins.Gateway):
        def view(self, key: Key) -> None:
            views.append(True)

    process = await started(cluster, make_gateway=lambda *, mirror, **_: Unseen(mirror))
    await process.settle()
    assert views
    assert cluster.writes() == ()


async def test_nothing_is_done_for_an_object_that_is_being_deleted(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    cluster.edit(kinds.MODEL_DEPLOYMENT, KEY, lambda found: found["metadata"].update(finalizers=["x/y"]))
    cluster.remove(kinds.MODEL_DEPLOYMENT, KEY)
    cluster.remove(kinds.SERVICE, Key(NAMESPACE, f"{NAME}-1"))
    before = len(cluster.writes())
    await process.settle(run_engines)
    assert cluster.writes()[before:] == ()


async def test_a_status_is_never_written_over_what_was_not_seen(cluster: FakeCluster) -> None:
    """Somebody changes the spec between the look and the write: the decision is taken anew."""
    declare(cluster)
    process = await started(cluster)
    touched: list[str] = []

    def touch(call: Call) -> None:
        if call.verb == "update" and call.kind is kinds.MODEL_DEPLOYMENT and not touched:
            touched.append("once")
            declare(cluster, "b")

    cluster.before_call = touch
    await process.settle(run_engines)
    assert touched
    found = cluster.read(kinds.MODEL_DEPLOYMENT, KEY)
    assert found is not None
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert status(cluster)["phase"] == "AwaitingApproval"
    revisions = cluster.every(kinds.MODEL_REVISION).values()
    assert [each["spec"]["model"]["source"]["huggingFace"]["commit"][0] for each in revisions][-1] == "b"


async def test_a_lost_race_is_looked_into_without_waiting_for_the_watch(cluster: FakeCluster) -> None:
    declare(cluster)
    process = await started(cluster)
    declare(cluster, "b")
    process.controller.queue.add(KEY)
    await process.work()
    found = cluster.read(kinds.MODEL_DEPLOYMENT, KEY)
    assert found is not None
    assert found["status"]["observedGeneration"] == 2
    assert set(process.outcomes) == {"Settled"}


async def test_a_revision_that_exists_already_is_taken_up(cluster: FakeCluster) -> None:
    """The answer to the create was lost: the next look finds it."""
    declare(cluster)
    cluster.inject("after", Transient("timeout"), verb="create", kind=kinds.MODEL_REVISION)
    process = await started(cluster)
    await process.settle(run_engines)
    cluster.advance(5)
    await process.settle(run_engines)
    assert len(cluster.every(kinds.MODEL_REVISION)) == 1
    assert status(cluster)["phase"] == "AwaitingApproval"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_at_any_write_ends_in_the_same_state(when: Any) -> None:
    calm = FakeCluster()
    await serving(calm)
    for number in range(len([call for call in calm.writes() if call.kind is not kinds.EVENT])):
        cluster = FakeCluster()
        cluster.inject(when, Crash(), skip=number)
        try:
            await serving(cluster)
        except Crash:
            process = await started(cluster)
            await process.settle(run_engines)
            if "phase" in status(cluster) and status(cluster)["phase"] == "AwaitingApproval":
                if not cluster.every(kinds.MODEL_APPROVAL):
                    approve(cluster)
                await process.settle(run_engines)
        assert _end(cluster) == _end(calm), f"killed {when} write {number}"


def _end(cluster: FakeCluster) -> Manifest:
    found = dict(status(cluster))
    return {
        "phase": found["phase"],
        "stable": found["stable"],
        "request": found["request"],
        "engines": engine_names(cluster),
        "decisions": [
            [(d["approval"], d["decision"]) for d in each["status"]["decisions"]]
            for each in cluster.every(kinds.MODEL_REVISION).values()
        ],
        "approvals": [each["status"]["state"] for each in cluster.every(kinds.MODEL_APPROVAL).values()],
        "children": sorted(key.name for kind in kinds.CHILDREN for key in cluster.every(kind)),
    }


async def test_before_taking_anything_away_the_deployment_is_read_again(cluster: FakeCluster) -> None:
    """An operator that was cut off and is behind must not scale down what serves by now."""
    process = await serving(cluster)

    def remove_everything(snapshot: Snapshot, now: datetime) -> Plan:
        return Plan(remove=(1,))

    behind = OperatorProcess(cluster, decide=remove_everything)
    await behind.start()
    cluster.edit(kinds.MODEL_DEPLOYMENT, KEY, lambda found: found["spec"]["serving"].update(replicas=2))
    seen: list[list[str]] = []

    def look(call: Call) -> None:
        seen.append([call.verb, call.kind.kind])

    cluster.before_call = look
    behind.controller.queue.add(KEY)
    await behind.work()
    deletes = [index for index, call in enumerate(seen) if call[0] == "delete"]
    reads = [index for index, call in enumerate(seen) if call == ["get", "ModelDeployment"]]
    assert reads[0] < deletes[0]
    assert len(reads) >= 2, "the first read showed a change, so it was decided anew"
    del process


async def test_engines_are_scaled_down_only_on_a_fresh_picture(cluster: FakeCluster) -> None:
    await serving(cluster)
    cluster.edit(kinds.MODEL_DEPLOYMENT, KEY, lambda found: found["spec"]["serving"].update(replicas=3))
    process = await started(cluster)
    await process.settle(run_engines)
    cluster.calls.clear()
    cluster.edit(kinds.MODEL_DEPLOYMENT, KEY, lambda found: found["spec"]["serving"].update(replicas=1))
    await process.settle(run_engines)
    verbs = [(call.verb, call.kind.kind) for call in cluster.calls]
    assert verbs.index(("get", "ModelDeployment")) < verbs.index(("update", "Deployment"))


async def test_a_removed_engine_goes_with_everything_of_its_revision(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    rollout = {"steps": [{"weight": 50, "holdSeconds": 60}]}
    declare(cluster, "b", rollout=rollout)
    await process.settle(run_engines)
    approve(cluster)
    await process.settle(run_engines)
    assert engine_names(cluster) == [f"{NAME}-1", f"{NAME}-2"]
    declare(cluster, "a", rollout=rollout)
    await process.settle(run_engines)
    assert engine_names(cluster) == [f"{NAME}-1"]
    left = [key.name for kind in (kinds.SERVICE, kinds.CONFIG_MAP) for key in cluster.every(kind)]
    assert not [name for name in left if name.endswith("-2")]


async def test_a_changed_status_is_the_gateways_business_at_once(cluster: FakeCluster) -> None:
    declare(cluster)
    visits: list[GatewayKey] = []

    class Listening(standins.Gateway):
        async def reconcile(self, key: GatewayKey) -> None:
            visits.append(key)

    process = await started(cluster, make_gateway=lambda *, mirror, **_: Listening(mirror))
    await process.work()
    visits.clear()
    cluster.advance(1)
    process.controller.queue.add(KEY)
    cluster.edit(kinds.MODEL_DEPLOYMENT, KEY, lambda found: found["spec"]["serving"].update(replicas=2))
    process.hear()
    await process.work()
    assert GatewayKey(NAMESPACE) in visits


async def test_an_event_tells_of_each_transition_once(cluster: FakeCluster) -> None:
    await serving(cluster)
    events = list(cluster.every(kinds.EVENT).values())
    assert [each["reason"] for each in events if each["reason"] == "Proposed"] == ["Proposed"]
    found = cluster.read(kinds.MODEL_DEPLOYMENT, KEY)
    assert found is not None
    assert {each["regarding"]["uid"] for each in events} == {found["metadata"]["uid"]}


async def test_an_event_that_cannot_be_written_holds_nothing_up(cluster: FakeCluster) -> None:
    for _ in range(10):
        cluster.inject("before", Rejected("no events here"), verb="create", kind=kinds.EVENT)
    process = await serving(cluster)
    assert set(process.outcomes) == {"Settled"}


async def test_time_wakes_a_deployment(cluster: FakeCluster) -> None:
    declare(cluster)
    asked: list[datetime] = []

    def patient(snapshot: Snapshot, now: datetime) -> Plan:
        asked.append(now)
        return Plan(wake_at=now + timedelta(seconds=30))

    process = await started(cluster, decide=patient)
    await process.work()
    count = len(asked)
    cluster.advance(29)
    await process.work()
    assert len(asked) == count
    cluster.advance(2)
    await process.work()
    assert len(asked) == count + 1


async def test_a_wake_up_in_the_past_does_not_spin(cluster: FakeCluster) -> None:
    declare(cluster)
    process = await started(cluster, decide=lambda snapshot, now: Plan(wake_at=now - timedelta(hours=1)))
    assert await process.work() < 10


async def test_an_intent_is_acted_on_only_after_it_was_written(cluster: FakeCluster) -> None:
    declare(cluster)

    def eager(snapshot: Snapshot, now: datetime) -> Plan:
        status = snapshot.deployment.status
        write = None if status.ready_replicas == 7 else WriteStatus(status=status.model_copy(update={"ready_replicas": 7}))
        return Plan(write=write, engines=(EngineIntent(revision=1, replicas=1),))

    process = await started(cluster, decide=eager)
    cluster.inject("before", Transient("no"), verb="update")
    process.controller.queue.add(KEY)
    await process.work()
    assert cluster.every(kinds.SERVICE) == {}


async def test_a_deleted_deployment_is_forgotten(cluster: FakeCluster) -> None:
    hub = standins.Hub()
    declare(cluster)
    process = await started(cluster, resolver=hub)
    process.controller.queue.add(KEY)
    await process.work()
    cluster.remove(kinds.MODEL_DEPLOYMENT, KEY)
    cluster.collect_garbage()
    await process.settle(run_engines)
    assert process.controller.queue.next_due() is None
    assert [key for kind in kinds.CHILDREN for key in cluster.every(kind)] == []


async def test_lost_conflicts_do_not_count_as_failures(cluster: FakeCluster) -> None:
    declare(cluster)
    cluster.inject("before", Conflict("changed"), verb="update")
    process = await started(cluster)
    await process.settle(run_engines)
    assert set(process.outcomes) == {"Settled"}
    assert Reason.PROPOSED in {each["reason"] for each in cluster.every(kinds.EVENT).values()}
