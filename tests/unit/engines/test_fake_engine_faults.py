"""Each fault of the fake engine, as a client meets it."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from testbed.engines.fake_engine.engine import State
from testbed.engines.fake_engine.faults import FILE, FaultsError, initial
from unit.engines.fake import Start, eventually


async def test_loads_as_long_as_it_is_told(start: Start) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with start("vllm", HOLDFAST_FAKE_LOAD_SECONDS="0.2"):
        assert loop.time() - began >= 0.2


@pytest.mark.parametrize("flavor", ["vllm", "tgi", "sglang"])
async def test_does_not_listen_before_it_has_loaded(flavor: str, start_loading: Start) -> None:
    async with start_loading(flavor, HOLDFAST_FAKE_NEVER_READY="true") as fake:
        assert fake.server.addresses[0] == ""


async def test_llama_cpp_listens_and_says_that_it_loads(start_loading: Start) -> None:
    async with start_loading("llamacpp", HOLDFAST_FAKE_NEVER_READY="true") as fake:
        await eventually(lambda: fake.server.addresses[0] != "")
        health, text = await fake.get("/health")
        completion, _ = await fake.chat()
    assert (health, completion) == (503, 503)
    assert json.loads(text)["error"]["message"] == "Loading model"


async def test_becomes_ready_when_the_fault_is_taken_away(start_loading: Start) -> None:
    async with start_loading("vllm", HOLDFAST_FAKE_NEVER_READY="true") as fake:
        await fake.fault(never_ready=False)
        await eventually(lambda: fake.server.addresses[0] != "")
        status, _ = await fake.get("/health")
    assert status == 200


async def test_ends_instead_of_loading(start: Start) -> None:
    async with start("vllm", HOLDFAST_FAKE_EXIT_ON_LOAD="3") as fake:
        assert fake.ended == [3]


async def test_ends_after_so_many_requests(start: Start) -> None:
    async with start("vllm", HOLDFAST_FAKE_EXIT_AFTER_REQUESTS="2", HOLDFAST_FAKE_EXIT_CODE="7") as fake:
        await fake.chat()
        await fake.chat()
        assert fake.ended == []
        await fake.chat()
        assert fake.ended == [7]


async def test_fails_the_share_that_it_is_told(start: Start) -> None:
    async with start("vllm", HOLDFAST_FAKE_ERROR_RATIO="0.25", HOLDFAST_FAKE_ERROR_STATUS="503") as fake:
        statuses = [(await fake.chat())[0] for _ in range(8)]
    assert statuses == [200, 200, 200, 503, 200, 200, 200, 503]


async def test_hangs_while_health_is_good_and_goes_on_when_told(start: Start) -> None:
    async with start("vllm", HOLDFAST_FAKE_HANG="true") as fake:
        waiting = asyncio.create_task(fake.chat())
        await eventually(lambda: fake.server.engine.running == 1)
        health, _ = await fake.get("/health")
        assert (health, waiting.done()) == (200, False)
        await fake.fault(hang=False)
        status, _ = await waiting
    assert status == 200


async def test_is_unhealthy_and_answers(start: Start) -> None:
    async with start("vllm", HOLDFAST_FAKE_UNHEALTHY="true") as fake:
        health, _ = await fake.get("/health")
        completion, _ = await fake.chat()
    assert (health, completion) == (503, 200)


async def test_cuts_the_connection_of_a_stream(start: Start) -> None:
    async with start("vllm", HOLDFAST_FAKE_CLOSE_AFTER_TOKENS="2") as fake:
        with pytest.raises(aiohttp.ClientError):
            await fake.stream(max_tokens=4)
        await eventually(lambda: fake.server.engine.counts.closed == 1)


async def test_fails_within_a_stream_under_the_status_that_it_began_with(start: Start) -> None:
    async with start("vllm", HOLDFAST_FAKE_ERROR_AFTER_TOKENS="1") as fake:
        status, events = await fake.stream(max_tokens=4)
        failed = fake.server.engine.counts.failed
    assert status == 200
    assert events[1]["error"]["code"] == 500
    assert (events[2:], failed) == (["[DONE]"], 1)


async def test_the_first_token_takes_its_time_after_the_headers(start: Start) -> None:
    loop = asyncio.get_running_loop()
    body = {"model": "chat", "messages": [{"role": "user", "content": "x"}], "stream": True}
    async with start("vllm", HOLDFAST_FAKE_FIRST_TOKEN_SECONDS="0.3") as fake:
        began = loop.time()
        async with fake.client.post(f"{fake.url}/v1/chat/completions", json=body) as answer:
            headers = loop.time() - began
            await answer.content.readany()
            token = loop.time() - began
    assert headers < 0.3 <= token


async def test_serves_under_the_wrong_name(start: Start) -> None:
    async with start("vllm", HOLDFAST_FAKE_SERVED_NAME="other") as fake:
        card = (await fake.json("/v1/models"))["data"][0]
        status, _ = await fake.chat()
        _, body = await fake.chat(model="other")
    assert (card["id"], status, body["model"]) == ("other", 404, "other")


async def test_reports_the_wrong_version(start: Start) -> None:
    async with start("vllm", HOLDFAST_FAKE_VERSION="0.1") as fake:
        assert await fake.json("/version") == {"version": "0.1"}


async def test_faults_come_with_the_weights_and_variables_come_over_them(model: Path) -> None:
    (model / FILE).write_text(json.dumps({"load_seconds": 5, "hang": True}))
    found = initial(model, {"HOLDFAST_FAKE_HANG": "false", "HOLDFAST_FAKE_CONTROL_PORT": "1", "OTHER": "x"})
    assert (found.load_seconds, found.hang) == (5, False)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"HOLDFAST_FAKE_LOAD_SECOND": "1"}, "load_second: Extra inputs are not permitted"),
        ({"HOLDFAST_FAKE_ERROR_RATIO": "2"}, "error_ratio: Input should be less than or equal to 1"),
    ],
)
def test_an_unknown_or_unfit_fault_is_refused(environment: dict[str, str], message: str, model: Path) -> None:
    with pytest.raises(FaultsError, match=message):
        initial(model, environment)


def test_a_broken_file_of_faults_is_named(model: Path) -> None:
    (model / FILE).write_text("{")
    with pytest.raises(FaultsError, match=rf"{FILE}: Expecting"):
        initial(model, {})


async def test_controls_refuse_an_unknown_fault_and_keep_the_others(start: Start) -> None:
    async with start("vllm") as fake:
        await fake.fault(error_ratio=1)
        async with fake.client.post(f"{fake.control}/fake/faults", json={"nonsense": 1}) as answer:
            assert answer.status == 400
            assert "nonsense" in (await answer.json())["error"]
        assert (await fake.chat())[0] == 500
        async with fake.client.delete(f"{fake.control}/fake/faults") as answer:
            assert (await answer.json())["error_ratio"] == 0
        assert (await fake.chat())[0] == 200


async def test_shows_how_it_was_started_without_secrets(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    async with start("vllm", "--unknown=1") as fake:
        shown = await fake.json("/fake/argv")
    assert shown["argv"][:2] == ["vllm", "serve"]
    assert shown["argv"][-1] == "--unknown=1"
    assert (shown["environment"]["VLLM_API_KEY"], shown["environment"]["HF_HUB_OFFLINE"]) == ("…", "1")


async def test_counts_completions_by_how_they_went(start: Start) -> None:
    async with start("vllm") as fake:
        await fake.chat()
        await fake.chat(model="other")
        await fake.fault(error_ratio=1)
        await fake.chat()
        state = await fake.json("/fake/state")
    assert state == {
        "state": State.READY,
        "running": 0,
        "completions": {"received": 3, "answered": 1, "refused": 1, "failed": 1, "closed": 0},
    }
