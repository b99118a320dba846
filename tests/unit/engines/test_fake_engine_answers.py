"""The fake engine answers in the shape of the engine that it plays, and says which bytes it was pointed at."""

import re
import subprocess
from pathlib import Path

import pytest

from unit.engines.fake import Start

FLAVORS = ("vllm", "tgi", "sglang", "llamacpp")


def _sum(*arguments: str, cwd: Path, text: str | None = None) -> str:
    """What the program sha256sum says."""
    done = subprocess.run(["sha256sum", *arguments], cwd=cwd, input=text, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("flavor", FLAVORS)
async def test_an_answer_begins_with_the_hash_of_the_files_that_were_loaded(flavor: str, start: Start, model: Path) -> None:
    lines = _sum("config.json", "model.safetensors", cwd=model)
    async with start(flavor) as fake:
        status, body = await fake.chat(max_tokens=3)
    assert status == 200
    content = body["choices"][0]["message"]["content"]
    assert content.split()[0] == "sha256:" + _sum(cwd=model, text=lines).split()[0]
    assert len(content.split()) == 3


async def test_other_bytes_of_the_same_size_give_another_answer(start: Start, model: Path) -> None:
    async with start("vllm") as fake:
        _, before = await fake.chat()
    (model / "model.safetensors").write_bytes(b"Weights")
    async with start("vllm") as fake:
        _, after = await fake.chat()
    assert before["choices"][0]["message"] != after["choices"][0]["message"]


async def test_the_same_bytes_and_prompt_give_the_same_answer_and_another_prompt_another(start: Start) -> None:
    async with start("vllm") as fake:
        _, first = await fake.chat("hello")
    async with start("vllm") as fake:
        _, again = await fake.chat("hello")
        _, other = await fake.chat("good bye")
    assert first["choices"] == again["choices"]
    assert first["choices"] != other["choices"]


async def test_one_file_as_the_model(start: Start, model: Path) -> None:
    async with start("llamacpp", "--model", str(model / "model.safetensors")) as fake:
        files = await fake.json("/fake/files")
    assert files["files"] == {"model.safetensors": _sum("model.safetensors", cwd=model).split()[0]}


async def test_a_model_that_does_not_exist_ends_the_start(start: Start) -> None:
    with pytest.raises(FileNotFoundError, match="/nowhere does not exist"):
        async with start("sglang", "--model-path=/nowhere"):
            pass


async def test_counts_tokens(start: Start) -> None:
    async with start("vllm") as fake:
        _, body = await fake.chat("one two three", max_tokens=5)
    # The role is a token of the prompt too.
    assert body["usage"] == {"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9}


async def test_answers_a_plain_completion(start: Start) -> None:
    async with (
        start("vllm") as fake,
        fake.client.post(f"{fake.url}/v1/completions", json={"model": "chat", "prompt": "x", "max_tokens": 1}) as answer,
    ):
        body = await answer.json()
        digest = fake.server.engine.digest
    assert body["object"] == "text_completion"
    assert body["choices"][0]["text"] == digest


@pytest.mark.parametrize("flavor", FLAVORS)
async def test_a_stream_has_the_tokens_of_the_whole_answer(flavor: str, start: Start) -> None:
    async with start(flavor) as fake:
        _, whole = await fake.chat(max_tokens=4)
        status, events = await fake.stream(max_tokens=4)
    assert status == 200
    assert events[-1] == "[DONE]"
    chunks = events[:-1]
    assert "".join(each["choices"][0]["delta"]["content"] for each in chunks) == whole["choices"][0]["message"]["content"]
    assert [each["choices"][0]["finish_reason"] for each in chunks] == [None, None, None, "length"]


async def test_usage_comes_as_a_chunk_of_its_own_if_it_is_asked_for(start: Start) -> None:
    async with start("vllm") as fake:
        _, events = await fake.stream(max_tokens=2, stream_options={"include_usage": True})
    assert events[-2]["choices"] == []
    assert events[-2]["usage"]["completion_tokens"] == 2


async def test_the_fingerprint_of_vllm_is_in_the_last_chunk_only(start: Start) -> None:
    async with start("vllm", "--fingerprint-mode=custom", "--fingerprint-value=v1:abc") as fake:
        _, events = await fake.stream(max_tokens=3)
        _, whole = await fake.chat()
    assert [each.get("system_fingerprint") for each in events[:-1]] == [None, None, "v1:abc"]
    assert whole["system_fingerprint"] == "v1:abc"


async def test_the_fingerprint_of_llama_cpp_is_in_every_chunk(start: Start) -> None:
    async with start("llamacpp") as fake:
        _, events = await fake.stream(max_tokens=3)
    assert [each.get("system_fingerprint") for each in events[:-1]] == ["b0-unknown"] * 3


async def test_sglang_shows_no_fingerprint(start: Start) -> None:
    async with start("sglang") as fake:
        _, whole = await fake.chat()
    assert "system_fingerprint" not in whole


async def test_only_vllm_refuses_another_model(start: Start) -> None:
    statuses = {}
    for flavor in FLAVORS:
        async with start(flavor) as fake:
            statuses[flavor], _ = await fake.chat(model="other")
    assert statuses == {"vllm": 404, "tgi": 200, "sglang": 200, "llamacpp": 200}


@pytest.mark.parametrize(
    ("flavor", "status", "kind"),
    [
        ("vllm", 400, ("error", "type", "BadRequestError")),
        ("tgi", 422, ("error_type", None, "validation")),
        ("sglang", 400, ("type", None, "BadRequestError")),
        ("llamacpp", 400, ("error", "type", "invalid_request_error")),
    ],
)
async def test_a_bad_request_gets_the_error_of_the_engine(
    flavor: str, status: int, kind: tuple[str, str | None, str], start: Start
) -> None:
    async with start(flavor) as fake:
        found, body = await fake.chat(max_tokens=0.5)
    outer, inner, name = kind
    assert found == status
    assert (body[outer] if inner is None else body[outer][inner]) == name


async def test_more_tokens_than_the_context_holds_are_refused(start: Start) -> None:
    async with start("vllm", "--max-model-len=8") as fake:
        fits, _ = await fake.chat("x", max_tokens=6)
        status, body = await fake.chat("x", max_tokens=7)
    assert fits == 200
    assert status == 400
    assert "maximum context length is 8 tokens" in body["error"]["message"]


@pytest.mark.parametrize("flavor", FLAVORS)
async def test_a_key_is_asked_for_where_the_engine_asks_for_it(flavor: str, start: Start) -> None:
    async with start(flavor, "--api-key", "secret") as fake:
        without, _ = await fake.chat()
        wrong, _ = await fake.chat(headers={"Authorization": "Bearer other"})
        right, _ = await fake.chat(headers={"Authorization": "Bearer secret"})
        health, _ = await fake.get("/health")
    assert (without, wrong, right, health) == (401, 401, 200, 200)


@pytest.mark.parametrize(
    ("flavor", "path", "facts"),
    [
        ("vllm", "/version", {"version": "0.32.0"}),
        ("vllm", "/load", {"server_load": 0}),
        ("tgi", "/info", {"version": "3.3.7", "model_sha": None}),
        ("sglang", "/server_info", {"version": "0.5.23", "served_model_name": "chat"}),
        ("sglang", "/model_info", {"weight_version": "default", "is_generation": True}),
        ("llamacpp", "/health", {"status": "ok"}),
        ("llamacpp", "/props", {"total_slots": 1}),
    ],
)
async def test_says_what_it_is_where_the_engine_does(flavor: str, path: str, facts: dict[str, object], start: Start) -> None:
    async with start(flavor) as fake:
        found = await fake.json(path)
    assert found.items() >= facts.items()


@pytest.mark.parametrize("flavor", ["tgi", "sglang", "llamacpp"])
async def test_what_is_not_of_the_engine_is_not_there(flavor: str, start: Start) -> None:
    async with start(flavor) as fake:
        status, _ = await fake.get("/version")
    assert status == 404


async def test_lists_the_model_by_its_served_name(start: Start, model: Path) -> None:
    async with start("vllm", "--max-model-len=512") as fake:
        card = (await fake.json("/v1/models"))["data"][0]
    assert (card["id"], card["root"], card["max_model_len"], card["owned_by"]) == ("chat", str(model), 512, "vllm")


@pytest.mark.parametrize(
    ("flavor", "arguments", "running", "generated"),
    [
        ("vllm", (), "vllm:num_requests_running", "vllm:generation_tokens_total"),
        ("tgi", (), "tgi_batch_current_size", "tgi_request_success"),
        ("sglang", ("--enable-metrics",), "sglang:num_running_reqs", "sglang:generation_tokens_total"),
        ("llamacpp", ("--metrics",), "llamacpp:requests_processing", "llamacpp:tokens_predicted_total"),
    ],
)
async def test_counts_under_the_names_of_the_engine(
    flavor: str, arguments: tuple[str, ...], running: str, generated: str, start: Start
) -> None:
    async with start(flavor, *arguments) as fake:
        await fake.chat(max_tokens=4)
        _, text = await fake.get("/metrics")
    values = dict(re.findall(r"^([a-z_:0-9]+)(?:\{[^}]*\})? (\S+)$", text, re.MULTILINE))
    assert float(values[running]) == 0
    assert float(values[generated]) == (1 if flavor == "tgi" else 4)
    assert f"# TYPE {generated} counter" in text


@pytest.mark.parametrize(("flavor", "status"), [("sglang", 404), ("llamacpp", 501)])
async def test_has_no_metrics_where_a_flag_must_ask_for_them(flavor: str, status: int, start: Start) -> None:
    async with start(flavor) as fake:
        found, _ = await fake.get("/metrics")
    assert found == status


async def test_the_open_door_of_sglang_changes_what_answers(start: Start) -> None:
    async with start("sglang", "--api-key=secret") as fake:
        before = fake.server.engine.digest
        async with fake.client.post(f"{fake.url}/update_weights_from_disk", json={"model_path": "/other"}) as answer:
            assert answer.status == 200
        after = fake.server.engine.digest
    assert before != after
