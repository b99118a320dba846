"""What the real Envoy does from the moment that its pod is to go."""

import asyncio

import pytest

from unit.gateway.conftest import Bench
from unit.gateway.gateway import Load


@pytest.fixture
async def leaving(bench: Bench) -> asyncio.Task[int]:
    """The answer to the preStop hook, which is long in coming."""
    await bench.know(1)
    await bench.route(r1=10000)
    return asyncio.create_task(hook(bench))


async def hook(bench: Bench) -> int:
    url = f"http://127.0.0.1:{bench.gateway.metrics_port}/drain"
    async with bench.gateway.session.get(url) as response:
        return response.status


async def until_draining(bench: Bench) -> None:
    for _ in range(500):
        answer = await bench.gateway.ask()
        assert answer.status == 200
        if answer.headers.get("connection") == "close":
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no answer closes its connection")


async def test_every_answer_closes_its_connection(bench: Bench, leaving: asyncio.Task[int]) -> None:
    await until_draining(bench)
    answers = [await bench.gateway.ask() for _ in range(20)]
    assert {(answer.status, answer.headers.get("connection")) for answer in answers} == {(200, "close")}
    leaving.cancel()


async def test_no_request_fails_meanwhile(bench: Bench, leaving: asyncio.Task[int]) -> None:
    async with Load(bench.gateway) as load:
        await until_draining(bench)
        await load.following(400)
    assert {answer.status for answer in load.answers} == {200}
    leaving.cancel()


async def test_a_running_stream_goes_on(bench: Bench) -> None:
    await bench.know(1)
    await bench.route(r1=10000)
    stream = asyncio.create_task(bench.gateway.ask("/v1/chat/completions?stream=1"))
    await bench.engines[1].asked.wait()
    leaving = asyncio.create_task(hook(bench))
    await until_draining(bench)
    bench.engines[1].gate.set()
    assert (await stream).body.endswith(b"data: [DONE]\n\n")
    leaving.cancel()


async def test_the_hook_is_answered_when_the_time_is_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.render.gateway.listeners.DRAIN_SECONDS", 1)
    await bench.gateway.stop()
    await bench.gateway.start()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    assert await hook(bench) == 200
    assert 0.9 <= loop.time() - begin < 5
