"""On SIGTERM the fake engine leaves as the engine that it plays."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from unit.engines.fake import Fake, Start, eventually

TESTS = Path(__file__).parents[2]


async def _streaming(fake: Fake, tokens: int) -> "asyncio.Task[tuple[int, list[object]]]":
    stream = asyncio.create_task(fake.stream(max_tokens=tokens))
    await eventually(lambda: fake.server.engine.running == 1)
    return stream


async def test_vllm_finishes_streams_refuses_new_requests_and_stays_healthy(start: Start) -> None:
    async with start("vllm", "--shutdown-timeout=10", HOLDFAST_FAKE_TOKEN_SECONDS="0.05") as fake:
        stream = await _streaming(fake, 5)
        leaving = asyncio.create_task(fake.server.leave())
        await eventually(lambda: fake.server.engine.state != "Ready")
        status, body = await fake.chat()
        health, _ = await fake.get("/health")
        _, events = await stream
        await leaving
    assert (status, health) == (500, 200)
    assert body["error"]["message"] == "cannot schedule new futures after shutdown"
    assert len(events) == 6


async def test_vllm_cuts_streams_at_once_with_a_timeout_of_0(start: Start) -> None:
    async with start("vllm", "--shutdown-timeout=0", HOLDFAST_FAKE_TOKEN_SECONDS="0.05") as fake:
        stream = await _streaming(fake, 1000)
        await fake.server.leave()
        _, events = await stream
    assert events[-1] == "[DONE]"
    assert len(events) < 100


async def test_a_stream_that_outlives_the_timeout_of_vllm_hangs_until_its_client_leaves(start: Start) -> None:
    # Left alone it would be over after 0.4 seconds.
    async with start("vllm", "--shutdown-timeout=0.1", HOLDFAST_FAKE_TOKEN_SECONDS="0.02") as fake:
        stream = await _streaming(fake, 20)
        leaving = asyncio.create_task(fake.server.leave())
        done, _waiting = await asyncio.wait({stream, leaving}, timeout=1)
        assert done == set()
        stream.cancel()
        await leaving


@pytest.mark.parametrize("flavor", ["tgi", "sglang"])
async def test_tgi_and_sglang_finish_streams(flavor: str, start: Start) -> None:
    async with start(flavor, HOLDFAST_FAKE_TOKEN_SECONDS="0.05") as fake:
        stream = await _streaming(fake, 5)
        await fake.server.leave()
        _, events = await stream
    assert len(events) == 6


async def test_tgi_takes_no_new_connection_while_leaving(start: Start) -> None:
    async with start("tgi", HOLDFAST_FAKE_HANG="true") as fake:
        url = fake.url
        await _streaming(fake, 5)
        leaving = asyncio.create_task(fake.server.leave())
        await eventually(lambda: fake.server.engine.state == "Draining")
        async with aiohttp.ClientSession() as other:
            with pytest.raises(aiohttp.ClientConnectorError):
                await other.get(f"{url}/health")
        leaving.cancel()


async def test_sglang_is_unhealthy_and_refuses_while_leaving(start: Start) -> None:
    async with start("sglang", HOLDFAST_FAKE_HANG="true") as fake:
        await _streaming(fake, 5)
        leaving = asyncio.create_task(fake.server.leave())
        await eventually(lambda: fake.server.engine.state == "Draining")
        health, _ = await fake.get("/health")
        status, _ = await fake.chat()
        leaving.cancel()
    assert (health, status) == (503, 503)


async def test_llama_cpp_does_not_wait_for_streams(start: Start) -> None:
    async with start("llamacpp", HOLDFAST_FAKE_HANG="true") as fake:
        await _streaming(fake, 5)
        async with asyncio.timeout(1):
            await fake.server.leave()


@pytest.mark.parametrize("faults", [{}, {"never_ready": True}], ids=["serving", "loading"])
def test_the_process_ends_on_sigterm(faults: dict[str, bool], model: Path) -> None:
    (model / "fake-engine.json").write_text(json.dumps(faults))
    command = [sys.executable, "-m", "testbed.engines.fake_engine", "--flavor=llamacpp", "-m", str(model), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "HOLDFAST_FAKE_CONTROL_PORT": "0", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # The first line comes when it handles signals; the second when it serves.
        assert "loads" in process.stdout.readline()
        if not faults:
            assert "serves" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
