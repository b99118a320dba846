"""How the real Envoy splits users over revisions, and what a change of the split does to them."""

import asyncio
from collections import Counter

import pytest

from holdfast.domain.gateway import Clusters
from unit.gateway.conftest import NAME, Bench
from unit.gateway.gateway import Load, route

USERS = [f"user-{number}" for number in range(2000)]


def on(seen: dict[str, str], revision: str) -> set[str]:
    return {user for user, answer in seen.items() if answer == revision}


def share(seen: dict[str, str], revision: str) -> float:
    return 100 * len(on(seen, revision)) / len(seen)


@pytest.mark.parametrize(("percent", "tolerance"), [(5, 1.6), (25, 3.0), (50, 3.5)])
async def test_users_are_split_by_weight(bench: Bench, percent: int, tolerance: float) -> None:
    """The tolerance is three standard deviations of a share among 2,000 users that are placed at random."""
    await bench.know(1, 2, failover={2: 1})
    await bench.route(r1=10000 - 100 * percent, r2=100 * percent)
    assert share(await bench.gateway.revisions(USERS), "2") == pytest.approx(percent, abs=tolerance)


async def test_a_user_stays_on_one_revision(bench: Bench) -> None:
    await bench.know(1, 2, failover={2: 1})
    await bench.route(r1=5000, r2=5000)
    assert await bench.gateway.revisions(USERS[:500]) == await bench.gateway.revisions(USERS[:500])


async def test_nobody_leaves_the_candidate_when_its_share_grows(bench: Bench) -> None:
    await bench.know(1, 2, failover={2: 1})
    before: set[str] = set()
    for weight in (500, 2500, 5000, 10000):
        arms = {"r1": 10000 - weight, "r2": weight} if weight < 10000 else {"r2": 10000}
        await bench.route(**arms)
        after = on(await bench.gateway.revisions(USERS), "2")
        assert before < after
        before = after
    assert before == set(USERS)


async def test_another_gateway_pod_places_users_alike(bench: Bench) -> None:
    """Placement is a function of the user: a restart stands for the other replica."""
    await bench.know(1, 2, failover={2: 1})
    await bench.route(r1=7500, r2=2500)
    seen = await bench.gateway.revisions(USERS[:500])
    await bench.gateway.stop()
    await bench.gateway.start()
    assert await bench.gateway.revisions(USERS[:500]) == seen


async def test_without_a_user_header_the_api_key_places(bench: Bench) -> None:
    await bench.know(1, 2, failover={2: 1})
    await bench.route(r1=5000, r2=5000)

    async def asked(key: str) -> set[str | None]:
        answers = [await bench.gateway.ask(headers={"authorization": f"Bearer {key}"}) for _ in range(4)]
        return {answer.revision for answer in answers}

    each = [await asked(f"key-{number}") for number in range(30)]
    assert all(len(revisions) == 1 for revisions in each)
    assert {revision for revisions in each for revision in revisions} == {"1", "2"}


async def test_the_declared_header_places(bench: Bench) -> None:
    await bench.know(1, 2, failover={2: 1})
    split = route({"1": 5000, "2": 5000}, header="x-account")
    await bench.gateway.until_serial(bench.gateway.publish(routes={NAME: split}))
    answers = [await bench.gateway.ask(user=f"u{number}", headers={"x-account": "one"}) for number in range(20)]
    assert len({answer.revision for answer in answers}) == 1


async def test_the_kill_switch_under_load_fails_no_request(bench: Bench) -> None:
    """Back and forth between a split and a fallback, with eight clients that never pause."""
    await bench.know(1, 2, 3, failover={2: 1})
    await bench.route(r1=5000, r2=5000)
    async with Load(bench.gateway) as load:
        for _ in range(10):
            await bench.route(r3=10000)
            assert {answer.revision for answer in await load.following(40)} == {"3"}
            await bench.route(r1=5000, r2=5000)
            assert {answer.revision for answer in await load.following(40)} == {"1", "2"}
    assert Counter(answer.status for answer in load.answers).keys() == {200}


async def test_a_promotion_under_load_fails_no_request(bench: Bench) -> None:
    """The roles swap: the arm of the new stable revision loses its failover while everything goes through it."""
    await bench.know(1, 2, failover={2: 1})
    await bench.route(r2=10000)
    before = await bench.gateway.metric("envoy_cluster_manager_cluster_modified")
    async with Load(bench.gateway) as load:
        for number in range(10):
            bench.gateway.publish(clusters={NAME: Clusters(revisions=frozenset({1, 2}), failover={2: 1} if number % 2 else {})})
            await load.following(100)
    assert {(answer.status, answer.revision) for answer in load.answers} == {(200, "2")}
    assert await bench.gateway.metric("envoy_cluster_manager_cluster_modified") >= before + 5


async def test_a_running_stream_outlives_the_kill_switch(bench: Bench) -> None:
    await bench.know(1, 3)
    await bench.route(r1=10000)
    stream = asyncio.create_task(bench.gateway.ask("/v1/chat/completions?stream=1"))
    await bench.engines[1].asked.wait()
    await bench.route(r3=10000)
    assert (await bench.gateway.ask()).revision == "3"
    bench.engines[1].gate.set()
    assert (await stream).body.endswith(b"data: [DONE]\n\n")
