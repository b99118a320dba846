"""A claim is filled by a Job, once for each revision; what comes of it is told, and a Job that is of no use makes room for another."""

from typing import Any

import pytest

from builders import NAME, NAMESPACE
from holdfast.api.names import SEAL_SECRET, Key, weights_claim_name, weights_job_name
from holdfast.cluster import kinds
from holdfast.cluster.errors import Rejected
from model.fake_cluster import FakeCluster
from process import OperatorProcess, run_deployments, run_engines
from unit.controller.objects import Manifest
from unit.controller.scenes import KEY, approve, declare, started, status, texts

CLAIM = Key(NAMESPACE, weights_claim_name(NAME))
JOB = Key(NAMESPACE, weights_job_name(NAME, 1))
SEAL = Key(NAMESPACE, SEAL_SECRET)
CACHE = {"type": "PersistentVolumeClaim", "size": "1Gi"}


def declare_cached(cluster: FakeCluster, letter: str = "a", **serving: Any) -> None:
    declare(cluster, letter, serving={"replicas": 1, "cache": CACHE} | serving)


def end(cluster: FakeCluster, kind: str) -> None:
    """Let the Job end in this condition."""
    stamp = cluster.time.strftime("%Y-%m-%dT%H:%M:%SZ")
    cluster.set_status(kinds.JOB, JOB, {"conditions": [{"type": kind, "status": "True", "lastTransitionTime": stamp}]})


def condition(cluster: FakeCluster, kind: str) -> Manifest:
    return next(each for each in status(cluster)["conditions"] if each["type"] == kind)


def uid(cluster: FakeCluster) -> str:
    found = cluster.read(kinds.JOB, JOB)
    assert found is not None
    return str(found["metadata"]["uid"])


async def approved(cluster: FakeCluster, **serving: Any) -> OperatorProcess:
    """An operator that was told to start revision 1, whose Job has not ended."""
    declare_cached(cluster, **serving)
    process = await started(cluster)
    await process.settle(run_deployments)
    approve(cluster)
    await process.settle(run_deployments)
    return process


async def test_nothing_is_fetched_before_its_owner_approved_it(cluster: FakeCluster) -> None:
    declare_cached(cluster)
    process = await started(cluster)
    await process.settle(run_engines)
    assert cluster.every(kinds.JOB) == {}
    approve(cluster)
    await process.settle(run_engines)
    assert list(cluster.every(kinds.JOB)) == [JOB]


async def test_the_key_of_seals_is_there_before_what_mounts_it(cluster: FakeCluster) -> None:
    await approved(cluster)
    made = [call.kind.kind for call in cluster.writes() if call.verb == "create"]
    assert made.index("Secret") < min(made.index("Job"), made.index("Deployment"))


async def test_the_key_of_seals_is_made_once(cluster: FakeCluster) -> None:
    process = await approved(cluster)
    before = cluster.read(kinds.SECRET, SEAL)
    declare_cached(cluster, "b")
    await process.settle(run_engines)
    approve(cluster)
    await process.settle(run_engines)
    assert len(cluster.every(kinds.JOB)) == 2
    assert cluster.read(kinds.SECRET, SEAL) == before


async def test_no_pod_starts_where_the_key_of_seals_is_refused(cluster: FakeCluster) -> None:
    declare_cached(cluster)
    process = await started(cluster)
    await process.settle(run_engines)
    for _ in range(50):
        cluster.inject("before", Rejected("exceeded quota: secrets"), kind=kinds.SECRET)
    approve(cluster)
    await process.settle(run_engines)
    assert "exceeded quota: secrets" in condition(cluster, "Stalled")["message"]
    assert cluster.every(kinds.JOB) == cluster.every(kinds.DEPLOYMENT) == {}
    cluster.heal()
    cluster.advance(61)
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "Stable"


async def test_status_says_what_depends_on_the_hub_until_it_is_fetched(cluster: FakeCluster) -> None:
    process = await approved(cluster)
    (found,) = status(cluster)["weights"]
    assert (found["revision"], found["kept"]) == (1, "Upstream")
    assert JOB.name in found["message"]
    assert (condition(cluster, "Durable")["status"], condition(cluster, "Durable")["reason"]) == ("False", "WeightsUpstream")
    end(cluster, "Complete")
    await process.settle(run_engines)
    (found,) = status(cluster)["weights"]
    assert (found["kept"], found["message"]) == ("Durable", f"in the claim {CLAIM.name}")
    assert "Durable=WeightsOwned" in texts(cluster)


async def test_it_is_said_before_the_start_is_approved(cluster: FakeCluster) -> None:
    declare(cluster)
    process = await started(cluster)
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "AwaitingApproval"
    told = condition(cluster, "Durable")
    assert (told["status"], told["reason"]) == ("False", "WeightsUpstream")
    assert "hub.example/holdfast/tiny-chat-GGUF" in told["message"]


async def test_a_restart_after_the_fetch_writes_nothing(cluster: FakeCluster) -> None:
    process = await approved(cluster)
    await process.settle(run_engines)
    before = len(cluster.writes())
    again = await started(cluster)
    await again.settle(run_engines)
    assert again.outcomes
    assert cluster.writes()[before:] == ()


async def test_what_the_pod_of_a_job_found_is_told_like_what_a_pod_of_the_engine_found(cluster: FakeCluster) -> None:
    process = await approved(cluster)
    message = '{"reason": "WeightsMismatch", "message": "tiny.gguf: expected aa, found bb"}'
    failed = {"name": "weights", "state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 3, "message": message}}}
    labels = {"holdfast.dev/component": "weights", "holdfast.dev/deployment": NAME, "holdfast.dev/revision": "1"}
    pod = Key(NAMESPACE, "fetcher")
    cluster.put(kinds.POD, {"metadata": {"namespace": NAMESPACE, "name": pod.name, "labels": labels}, "spec": {}})
    cluster.set_status(kinds.POD, pod, {"containerStatuses": [failed]})
    await process.settle(run_deployments)
    told = condition(cluster, "Pinned")
    assert (told["status"], told["reason"]) == ("False", "WeightsMismatch")
    assert told["message"] == "pod fetcher: tiny.gguf: expected aa, found bb"
    end(cluster, "Complete")  # another pod of the Job made it good
    await process.settle(run_engines)
    assert condition(cluster, "Pinned")["status"] == "True"


async def test_a_job_that_failed_makes_room_for_another_after_a_while(cluster: FakeCluster) -> None:
    process = await approved(cluster)
    first = uid(cluster)
    end(cluster, "Failed")
    await process.settle(run_deployments)
    cluster.advance(59)
    await process.settle(run_deployments)
    assert uid(cluster) == first
    cluster.advance(2)
    await process.settle(run_deployments)
    cluster.advance(6)
    await process.settle(run_deployments)
    second = uid(cluster)
    assert second != first
    cluster.advance(600)
    await process.settle(run_deployments)
    assert uid(cluster) == second


async def test_a_job_that_ended_is_left_as_it_was_when_serving_changes(cluster: FakeCluster) -> None:
    process = await approved(cluster)
    await process.settle(run_engines)
    before = cluster.read(kinds.JOB, JOB)
    declare_cached(cluster, mirror="https://mirror.example")
    await process.settle(run_engines)
    assert cluster.read(kinds.JOB, JOB) == before


async def test_a_job_under_way_is_replaced_when_serving_changes(cluster: FakeCluster) -> None:
    process = await approved(cluster)
    first = uid(cluster)
    declare_cached(cluster, mirror="https://mirror.example")
    await process.settle(run_deployments)
    cluster.advance(6)
    await process.settle(run_deployments)
    assert uid(cluster) != first
    (container,) = cluster.every(kinds.JOB)[JOB]["spec"]["template"]["spec"]["containers"]
    assert "--mirror=https://mirror.example" in container["args"]


async def test_another_claim_is_filled_again(cluster: FakeCluster) -> None:
    process = await approved(cluster)
    await process.settle(run_engines)
    first = uid(cluster)
    cluster.advance(100)
    cluster.remove(kinds.PERSISTENT_VOLUME_CLAIM, CLAIM)
    await process.settle(run_engines)
    cluster.advance(6)
    await process.settle(run_engines)
    assert CLAIM in cluster.every(kinds.PERSISTENT_VOLUME_CLAIM)
    assert uid(cluster) != first
    assert status(cluster)["weights"][0]["kept"] == "Durable"


def report(cluster: FakeCluster, *, container: str = "weights") -> None:
    """Let a pod of the engine find, now, that the cache is not what was approved."""
    stamp = cluster.time.strftime("%Y-%m-%dT%H:%M:%SZ")
    message = '{"reason": "WeightsMismatch", "message": "tiny.gguf: expected aa, found bb"}'
    failed = {"exitCode": 3, "message": message, "finishedAt": stamp}
    labels = {"holdfast.dev/component": "engine", "holdfast.dev/deployment": NAME, "holdfast.dev/revision": "1"}
    pod = Key(NAMESPACE, "another-pod")
    cluster.put(kinds.POD, {"metadata": {"namespace": NAMESPACE, "name": pod.name, "labels": labels}, "spec": {}})
    cluster.set_status(kinds.POD, pod, {"initContainerStatuses": [{"name": container, "state": {"terminated": failed}}]})


async def test_a_cache_that_was_spoilt_is_fetched_again_once_for_each_finding(cluster: FakeCluster) -> None:
    process = await approved(cluster)
    await process.settle(run_engines)
    first = uid(cluster)
    cluster.advance(100)
    report(cluster)
    await process.settle(run_engines)
    assert condition(cluster, "Pinned")["reason"] == "WeightsMismatch"
    cluster.advance(6)
    await process.settle(run_engines)
    second = uid(cluster)
    assert second != first
    cluster.advance(600)  # the kubelet waits before it starts the pod's container again
    await process.settle(run_engines)
    assert uid(cluster) == second


async def test_a_finding_on_the_owner_s_own_volume_fetches_nothing(cluster: FakeCluster) -> None:
    process = await approved(cluster)
    await process.settle(run_engines)
    first = uid(cluster)
    cluster.advance(100)
    report(cluster, container="weights-tokenizer")
    await process.settle(run_engines)
    cluster.advance(6)
    await process.settle(run_engines)
    assert uid(cluster) == first


async def test_another_type_of_cache_leaves_no_job_behind(cluster: FakeCluster) -> None:
    process = await approved(cluster)
    await process.settle(run_engines)
    declare(cluster)
    await process.settle(run_engines)
    assert cluster.every(kinds.JOB) == {}
    assert CLAIM in cluster.every(kinds.PERSISTENT_VOLUME_CLAIM)
    assert status(cluster)["weights"][0]["kept"] == "Upstream"


async def test_no_pod_is_ever_made_of_two_types_of_cache(cluster: FakeCluster) -> None:
    """A server-side apply would keep what the creation set, and pods of the mix would start."""
    process = await approved(cluster)
    await process.settle(run_engines)
    seen: list[set[str]] = []

    def look(_: object) -> None:
        for found in cluster.every(kinds.DEPLOYMENT).values():
            volumes = found["spec"]["template"]["spec"]["volumes"]
            seen.extend(set(volume) - {"name"} for volume in volumes if volume["name"] == "weights")

    cluster.before_call = look
    declare(cluster)
    await process.settle(run_engines)
    look(None)
    assert {frozenset(each) for each in seen} == {frozenset({"persistentVolumeClaim"}), frozenset({"emptyDir"})}


@pytest.mark.parametrize(("retention", "left"), [("Keep", True), (None, True), ("Delete", False)])
async def test_the_claim_outlives_its_model_unless_told_otherwise(
    cluster: FakeCluster, retention: str | None, left: bool
) -> None:
    process = await approved(cluster, **({"retention": retention} if retention else {}))
    await process.settle(run_engines)
    cluster.remove(kinds.MODEL_DEPLOYMENT, KEY)
    while cluster.collect_garbage():
        await process.settle()
    assert (CLAIM in cluster.every(kinds.PERSISTENT_VOLUME_CLAIM)) is left
    assert cluster.every(kinds.JOB) == cluster.every(kinds.DEPLOYMENT) == {}


async def test_the_next_model_of_the_name_takes_the_kept_claim_over(cluster: FakeCluster) -> None:
    process = await approved(cluster)
    await process.settle(run_engines)
    kept = cluster.read(kinds.PERSISTENT_VOLUME_CLAIM, CLAIM)
    cluster.remove(kinds.MODEL_DEPLOYMENT, KEY)
    while cluster.collect_garbage():
        await process.settle()
    cluster.advance(60)
    declare_cached(cluster)
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "Stable"
    assert cluster.read(kinds.PERSISTENT_VOLUME_CLAIM, CLAIM) == kept


@pytest.mark.parametrize(("before", "after"), [("Keep", "Delete"), ("Delete", "Keep")])
async def test_retention_can_change_at_any_time(cluster: FakeCluster, before: str, after: str) -> None:
    process = await approved(cluster, retention=before)
    await process.settle(run_engines)
    declare_cached(cluster, retention=after)
    await process.settle(run_engines)
    found = cluster.read(kinds.PERSISTENT_VOLUME_CLAIM, CLAIM)
    assert found is not None
    assert bool(found["metadata"].get("ownerReferences")) is (after == "Delete")
    assert "Stalled" not in " ".join(texts(cluster))
