"""News reach the queue, watches that go deaf are noticed, and lists find what watches did not tell."""

import logging

import pytest

from builders import NAME, NAMESPACE
from holdfast.api.names import Key
from holdfast.api.reasons import Reason
from holdfast.cluster import kinds
from holdfast.cluster.errors import NotFound, Rejected, Transient
from holdfast.controller.keys import GatewayKey
from holdfast.controller.observer import Observer
from holdfast.controller.queue import Priority
from model.fake_cluster import FakeCluster
from process import OperatorProcess, run_engines
from unit.controller.objects import Manifest, pod
from unit.controller.scenes import KEY, approve, declare, serving, started, status

SERVICE = Key(NAMESPACE, f"{NAME}-1")


def failed(version: int, uid: str = "pod-1", reason: str = "WeightsMismatch") -> Manifest:
    message = f'{{"reason": "{reason}", "message": "model.gguf differs"}}'
    state = {"terminated": {"exitCode": 3, "message": message}}
    return pod(version, uid=uid, initContainerStatuses=[{"name": "weights", "state": state}])


class Failures(Observer):
    def __init__(self) -> None:
        self.seen: list[Reason] = []

    def weights_failed(self, reason: Reason) -> None:
        self.seen.append(reason)


async def test_a_decision_of_a_person_overtakes(cluster: FakeCluster) -> None:
    declare(cluster)
    process = await started(cluster)
    await process.settle(run_engines)
    other = Key(NAMESPACE, "another")
    process.controller.queue.add(other)
    approve(cluster)
    process.hear()
    assert process.controller.queue.pop() == KEY


async def test_a_failure_of_weights_is_counted_once_per_failure(cluster: FakeCluster, caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures()
    process = OperatorProcess(cluster, observer=failures)
    feed = process.controller.feed
    feed.event(kinds.POD, failed(1))
    feed.event(kinds.POD, failed(2))
    feed.event(kinds.POD, failed(3, uid="pod-2"))
    feed.event(kinds.POD, pod(4, uid="pod-3"))
    assert failures.seen == [Reason.WEIGHTS_MISMATCH, Reason.WEIGHTS_MISMATCH]
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2


async def test_a_deletion_in_a_gap_of_the_watch_is_found_by_the_next_list(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    cluster.remove(kinds.SERVICE, SERVICE)
    assert cluster.lose(kinds.SERVICE) == 1
    for event in cluster.relist(kinds.SERVICE):
        process.controller.feed.event(kinds.SERVICE, event.object)
        process.controller.resync.soon(kinds.SERVICE)
    await process.settle(run_engines)
    assert cluster.read(kinds.SERVICE, SERVICE) is None, "kopf alone does not tell"
    cluster.advance(2)
    await process.controller.resync.sweep()
    await process.settle(run_engines)
    assert cluster.read(kinds.SERVICE, SERVICE) is not None


async def test_a_list_again_finds_nothing_new_and_writes_nothing(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    before = len(cluster.writes())
    cluster.advance(1000)
    await process.controller.resync.sweep()
    await process.settle(run_engines)
    assert cluster.writes()[before:] == ()


async def test_every_kind_is_listed_again_within_a_quarter_of_an_hour(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    cluster.advance(2)
    await process.controller.resync.sweep()
    cluster.calls.clear()
    cluster.advance(15 * 60)
    await process.controller.resync.sweep()
    listed = {call.kind for call in cluster.calls if call.verb == "list"}
    assert listed == set(kinds.WATCHED)


async def test_a_sweep_looks_at_every_deployment_again(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    cluster.advance(1000)
    await process.controller.resync.sweep()
    taken = set()
    while (key := process.controller.queue.pop()) is not None:
        taken.add(key)
    assert taken == {KEY, GatewayKey(NAMESPACE)}


async def test_a_sweep_never_overtakes_a_user(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    cluster.advance(1000)
    await process.controller.resync.sweep()
    user = Key("team-b", "urgent")
    process.controller.queue.add(user, Priority.NORMAL)
    assert process.controller.queue.pop() == user


async def test_a_list_that_fails_is_tried_again_soon(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    cluster.advance(1000)
    cluster.inject("before", Transient("no"), verb="list", kind=kinds.POD)
    await process.controller.resync.sweep()
    cluster.calls.clear()
    cluster.advance(6)
    await process.controller.resync.sweep()
    assert [(call.verb, call.kind) for call in cluster.calls] == [("list", kinds.POD)]


async def test_the_start_names_a_missing_definition_and_the_cure(cluster: FakeCluster) -> None:
    cluster.inject("before", NotFound("404"), verb="list", kind=kinds.MODEL_APPROVAL)
    with pytest.raises(Rejected, match=r"does not know modelapprovals\.holdfast\.dev: install Holdfast's CRDs"):
        await started(cluster)


async def test_the_start_names_a_missing_right_and_the_cure(cluster: FakeCluster) -> None:
    cluster.inject("before", Rejected("cannot list pods"), verb="list", kind=kinds.POD)
    with pytest.raises(Rejected, match="cannot list pods; check the operator's RBAC"):
        await started(cluster)


async def test_nothing_is_done_before_everything_was_listed(cluster: FakeCluster) -> None:
    await serving(cluster)
    before = len(cluster.writes())
    cluster.inject("before", Rejected("no"), verb="list", kind=kinds.POD)
    process = OperatorProcess(cluster)
    with pytest.raises(Rejected):
        await process.start()
    assert cluster.writes()[before:] == ()


async def test_a_watch_that_delivers_what_a_list_shows_is_not_deaf(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    assert process.controller.feed.deaf(process.clock()) == {}


async def test_a_watch_that_does_not_deliver_what_a_list_shows_is_deaf(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    declare(cluster, "b")
    cluster.lose(kinds.MODEL_DEPLOYMENT)
    cluster.advance(1000)
    await process.controller.resync.sweep()
    cluster.advance(70)
    assert process.controller.feed.deaf(process.clock()) == {kinds.MODEL_DEPLOYMENT: 70}
    assert status(cluster)["phase"] == "Stable"


async def test_an_object_that_is_gone_before_its_watch_told_of_it_makes_nobody_deaf(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    other = {"metadata": {"namespace": NAMESPACE, "name": "short-lived"}, "spec": {}}
    cluster.put(kinds.MODEL_DEPLOYMENT, other)
    cluster.advance(1000)
    await process.controller.resync.sweep()
    cluster.remove(kinds.MODEL_DEPLOYMENT, Key(NAMESPACE, "short-lived"))
    cluster.lose(kinds.MODEL_DEPLOYMENT)
    process.controller.resync.soon(kinds.MODEL_DEPLOYMENT)
    cluster.advance(2)
    await process.controller.resync.sweep()
    assert process.controller.feed.deaf(process.clock()) == {}
