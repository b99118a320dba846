"""What is published upstream, on its way from the Hub into status, Events and metrics; and what it does not touch on the way."""

from dataclasses import replace

import pytest

import standins
from builders import commit
from holdfast.api.reasons import Reason
from holdfast.cluster import kinds
from holdfast.domain.snapshot import RepositoryMissing, RepositorySeen
from holdfast.sources.hub_errors import SourceUnavailableError
from model.fake_cluster import FakeCluster
from process import OperatorProcess, run_engines
from unit.controller.scenes import KEY, approve, declare, started, status, texts

REPOSITORY = "holdfast/tiny-chat-GGUF"
STILL = RepositorySeen(name=REPOSITORY, refs={"refs/heads/main": commit("a")}, commits={commit("a"): {}})
MOVED = replace(STILL, refs={"refs/heads/main": commit("f")})
TURNS = 3 * 21_600.0


async def look(cluster: FakeCluster, process: OperatorProcess, seconds: float = 60.0) -> None:
    """Let time pass and the operator look upstream when it is its turn."""
    while seconds > 0:
        delay = await process.controller.upstream.step()
        if delay is None or delay > seconds:
            cluster.advance(seconds)
            break
        step = max(delay, 0.001 if delay else 0.0)  # the clock has no smaller steps
        cluster.advance(step)
        seconds -= step
    await process.settle(run_engines)


def events(cluster: FakeCluster, reason: str) -> int:
    return sum(found["reason"] == reason for found in cluster.every(kinds.EVENT).values())


@pytest.fixture
def hub() -> standins.Upstream:
    return standins.Upstream({REPOSITORY: STILL})


async def at_rest(cluster: FakeCluster, hub: standins.Upstream) -> OperatorProcess:
    """An operator with revision 1 in service, which has looked upstream once."""
    declare(cluster)
    process = await started(cluster, upstream=hub)
    await process.settle(run_engines)
    approve(cluster)
    await process.settle(run_engines)
    await look(cluster, process)
    assert "UpstreamMoved=UpstreamUnchanged" in texts(cluster)
    return process


async def test_a_moved_branch_is_told_within_two_turns_and_once(cluster: FakeCluster, hub: standins.Upstream) -> None:
    process = await at_rest(cluster, hub)
    hub.found[REPOSITORY] = MOVED
    await look(cluster, process, TURNS)
    assert "UpstreamMoved=UpstreamMoved" in texts(cluster)
    await look(cluster, process, TURNS)
    assert events(cluster, "UpstreamMoved") == 1


async def test_a_moved_branch_moves_nothing_else(cluster: FakeCluster, hub: standins.Upstream) -> None:
    process = await at_rest(cluster, hub)
    before = {kind: cluster.every(kind) for kind in kinds.WATCHED if kind is not kinds.MODEL_DEPLOYMENT}
    kept = {name: value for name, value in status(cluster).items() if name not in ("conditions", "upstream")}
    hub.found[REPOSITORY] = MOVED
    await look(cluster, process, TURNS)
    assert {kind: cluster.every(kind) for kind in before} == before
    assert {name: value for name, value in status(cluster).items() if name not in ("conditions", "upstream")} == kept


async def test_a_check_that_shows_nothing_new_writes_nothing(cluster: FakeCluster, hub: standins.Upstream) -> None:
    process = await at_rest(cluster, hub)
    looks, version = len(hub.looks), cluster.version
    await look(cluster, process, TURNS)
    assert len(hub.looks) > looks
    assert cluster.version == version


@pytest.mark.parametrize("found", [STILL, MOVED, RepositoryMissing()])
async def test_a_restart_with_everything_in_place_writes_nothing_before_and_after_its_first_look(
    cluster: FakeCluster, hub: standins.Upstream, found: RepositorySeen | RepositoryMissing
) -> None:
    process = await at_rest(cluster, hub)
    hub.found[REPOSITORY] = found
    await look(cluster, process, TURNS)
    version, looks = cluster.version, len(hub.looks)
    again = await started(cluster, upstream=hub)
    await again.settle(run_engines)
    assert cluster.version == version
    await look(cluster, again, TURNS)
    assert len(hub.looks) > looks
    assert cluster.version == version


async def test_a_hub_that_does_not_answer_changes_nothing(cluster: FakeCluster, hub: standins.Upstream) -> None:
    process = await at_rest(cluster, hub)
    version = cluster.version
    hub.failure = SourceUnavailableError("503")
    await look(cluster, process, TURNS)
    again = await started(cluster, upstream=hub)
    await look(cluster, again, TURNS)
    assert cluster.version == version


async def test_a_deployment_that_is_gone_is_not_looked_at(cluster: FakeCluster, hub: standins.Upstream) -> None:
    process = await at_rest(cluster, hub)
    cluster.remove(kinds.MODEL_DEPLOYMENT, KEY)
    await process.settle(run_engines)
    assert process.controller.upstream.repositories() == 0


async def test_the_fallback_revision_is_looked_for_as_well(cluster: FakeCluster, hub: standins.Upstream) -> None:
    process = await at_rest(cluster, hub)
    declare(cluster, "b")
    await process.settle(run_engines)
    hub.found[REPOSITORY] = replace(MOVED, commits={commit("a"): None, commit("b"): {}})
    await look(cluster, process)
    assert f"UpstreamAvailable={Reason.UPSTREAM_GONE}" in texts(cluster)
