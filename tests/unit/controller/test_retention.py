"""The operator tells the Jobs what must stay in a claim: always all of the history, and before a Job can delete by it."""

import json

from builders import NAME, NAMESPACE
from holdfast.api.names import Key, revision_name, weights_named_name
from holdfast.cluster import kinds
from model.fake_cluster import FakeCluster
from process import OperatorProcess, run_engines
from unit.controller.scenes import approve, declare, started, status

NAMED = Key(NAMESPACE, weights_named_name(NAME))
CACHE = {"type": "PersistentVolumeClaim", "size": "1Gi", "unused": "Delete"}


def declare_cached(cluster: FakeCluster, letter: str = "a", **cache: str) -> None:
    declare(cluster, letter, serving={"replicas": 1, "cache": CACHE | cache})


def named(cluster: FakeCluster) -> tuple[int, int] | None:
    """The newest revision that the list knows, and how many lists of files it names."""
    found = cluster.read(kinds.CONFIG_MAP, NAMED)
    assert found is not None
    text = found.get("data", {}).get("named.json")
    document = json.loads(text) if text else None
    return (document["revision"], len(document["manifestDigests"])) if document else None


async def twice(cluster: FakeCluster) -> OperatorProcess:
    """Revision 1 serves, and its owner approved the start of revision 2."""
    process = await started(cluster)
    for letter in "ab":
        declare_cached(cluster, letter)
        await process.settle(run_engines)
        approve(cluster)
        await process.settle(run_engines)
    assert status(cluster)["candidate"]["revision"] == 2
    return process


async def test_what_is_named_grows_with_the_history(cluster: FakeCluster) -> None:
    await twice(cluster)
    assert named(cluster) == (2, 2)


async def test_the_list_is_there_before_the_job_that_reads_it(cluster: FakeCluster) -> None:
    await twice(cluster)
    made = [(call.verb, call.kind.kind, call.key.name if call.key else "") for call in cluster.writes()]
    assert made.index(("create", "ConfigMap", NAMED.name)) < made.index(("create", "Job", f"{NAME}-1-weights"))
    changed = max(index for index, call in enumerate(made) if call[2] == NAMED.name)
    assert changed < made.index(("create", "Job", f"{NAME}-2-weights"))


async def test_a_restart_writes_nothing(cluster: FakeCluster) -> None:
    await twice(cluster)
    before = len(cluster.writes())
    again = await started(cluster)
    await again.settle(run_engines)
    assert again.outcomes
    assert cluster.writes()[before:] == ()


async def test_a_deleted_revision_keeps_everything_as_long_as_it_lives(cluster: FakeCluster) -> None:
    process = await twice(cluster)
    assert status(cluster)["stable"]["revision"] == 1
    cluster.remove(kinds.MODEL_REVISION, Key(NAMESPACE, revision_name(NAME, 1)))
    await process.settle(run_engines)
    assert named(cluster) is None


async def test_a_deleted_revision_that_never_ran_lets_go_of_its_files(cluster: FakeCluster) -> None:
    process = await started(cluster)
    for letter in "abc":
        declare_cached(cluster, letter)
        await process.settle(run_engines)
    assert named(cluster) == (3, 3)
    cluster.remove(kinds.MODEL_REVISION, Key(NAMESPACE, revision_name(NAME, 2)))
    await process.settle(run_engines)
    assert named(cluster) == (3, 2)


async def test_taking_the_word_back_takes_the_list_away(cluster: FakeCluster) -> None:
    process = await twice(cluster)
    declare_cached(cluster, "b", unused="Keep")
    await process.settle(run_engines)
    assert cluster.read(kinds.CONFIG_MAP, NAMED) is None
