"""An engine gets requests once it said what was approved and answered, and no longer than it goes on saying it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast.identity.engine import SlowError
from holdfast.identity.facts import MismatchError, parse
from holdfast.identity.memory import Memory
from holdfast.identity.watch import SLOW_TIMES, Watch
from unit.engines.fake import Start
from unit.identity.watching import CONTEXT_LENGTH, FLAGS, approved, watch

each = pytest.mark.parametrize("flavor", FLAGS)


async def look(found: Watch) -> None:
    await asyncio.to_thread(found.look)


@each
async def test_the_approved_engine_is_ready_after_it_answered(flavor: str, start: Start, model: Path, tmp_path: Path) -> None:
    async with start(flavor, *FLAGS[flavor]) as fake:
        found = watch(fake, approved(flavor, model), tmp_path)
        before = found.report
        await look(found)
        assert (before.ready, found.report.ready) == (False, True)
        assert (await fake.json("/fake/state"))["completions"]["answered"] == 1


@each
async def test_it_is_asked_for_one_completion_only(flavor: str, start: Start, model: Path, tmp_path: Path) -> None:
    async with start(flavor, *FLAGS[flavor]) as fake:
        found = watch(fake, approved(flavor, model), tmp_path)
        for _ in range(3):
            await look(found)
        assert (await fake.json("/fake/state"))["completions"]["received"] == 1


@each
async def test_another_version_than_the_first_is_a_mismatch(flavor: str, start: Start, model: Path, tmp_path: Path) -> None:
    async with start(flavor, *FLAGS[flavor]) as fake:
        found = watch(fake, approved(flavor, model), tmp_path)
        await look(found)
        await fake.fault(version="9.9.9")
        with pytest.raises(MismatchError, match=r'^engine\.image: was .*, the engine now reports "9.9.9"'):
            await look(found)
        assert not found.report.ready


@each
async def test_a_restart_of_this_container_forgets_neither_the_version_nor_a_mismatch(
    flavor: str, start: Start, model: Path, tmp_path: Path
) -> None:
    async with start(flavor, *FLAGS[flavor]) as fake:
        await look(watch(fake, approved(flavor, model), tmp_path))
        await fake.fault(version="9.9.9")
        with pytest.raises(MismatchError):
            await look(watch(fake, approved(flavor, model), tmp_path))
        await fake.fault(version=None)
        again = watch(fake, approved(flavor, model), tmp_path)
        await look(again)
        assert not again.report.ready
        assert "until the pod is replaced" in again.report.message
        assert "9.9.9" in again.report.message


@pytest.mark.parametrize("flavor", ["vllm", "sglang", "llamacpp"])
async def test_another_served_name_is_a_mismatch(flavor: str, start: Start, model: Path, tmp_path: Path) -> None:
    async with start(flavor, *FLAGS[flavor]) as fake:
        await fake.fault(served_name="other")
        found = watch(fake, approved(flavor, model), tmp_path)
        with pytest.raises(MismatchError, match=r'^servedName: expected \["chat"\], the engine reports \["other"\]'):
            await look(found)


@pytest.mark.parametrize(
    ("flavor", "flag"), [("vllm", "--max-model-len"), ("tgi", "--max-total-tokens"), ("sglang", "--context-length")]
)
async def test_another_context_length_is_a_mismatch(flavor: str, flag: str, start: Start, model: Path, tmp_path: Path) -> None:
    async with start(flavor, *FLAGS[flavor], f"{flag}=4096") as fake:
        found = watch(fake, approved(flavor, model), tmp_path)
        with pytest.raises(MismatchError, match=rf"contextLength: expected {CONTEXT_LENGTH}, the engine reports 4096"):
            await look(found)


@each
async def test_other_files_are_a_mismatch(flavor: str, start: Start, model: Path, tmp_path: Path) -> None:
    async with start(flavor, *FLAGS[flavor]) as fake:
        found = watch(fake, approved(flavor, Path("/holdfast/elsewhere")), tmp_path)
        with pytest.raises(MismatchError, match="/holdfast/elsewhere"):
            await look(found)


async def test_vllm_without_the_fingerprint_is_a_mismatch(start: Start, model: Path, tmp_path: Path) -> None:
    async with start("vllm", f"--max-model-len={CONTEXT_LENGTH}") as fake:
        found = watch(fake, approved("vllm", model), tmp_path)
        with pytest.raises(MismatchError, match=r"^digest: expected "):
            await look(found)


async def test_weights_that_sglang_was_told_to_replace_are_a_mismatch(start: Start, model: Path, tmp_path: Path) -> None:
    async with start("sglang", *FLAGS["sglang"]) as fake:
        found = watch(fake, approved("sglang", model), tmp_path)
        await look(found)
        async with fake.client.post(f"{fake.url}/update_weights_from_disk", json={"model_path": "/tmp/other"}) as answer:
            assert answer.status == 200
        with pytest.raises(MismatchError, match="/tmp/other"):
            await look(found)


@each
async def test_an_engine_that_ended_is_checked_from_the_beginning(flavor: str, start: Start, model: Path, tmp_path: Path) -> None:
    async with start(flavor, *FLAGS[flavor]) as fake:
        found = watch(fake, approved(flavor, model), tmp_path)
        await look(found)
    await look(found)
    assert not found.report.ready


@each
async def test_one_that_does_not_answer_completions_is_not_ready(flavor: str, start: Start, model: Path, tmp_path: Path) -> None:
    async with start(flavor, *FLAGS[flavor]) as fake:
        await fake.fault(hang=True)
        found = watch(fake, approved(flavor, model), tmp_path, patience=0.2)
        await look(found)
        assert not found.report.ready
        assert "no answer within 0.2 s" in found.report.message
        await fake.fault(hang=False)
        await look(found)
        assert found.report.ready


async def test_one_that_refuses_the_first_completion_is_not_ready(start: Start, model: Path, tmp_path: Path) -> None:
    async with start("vllm", *FLAGS["vllm"]) as fake:
        await fake.fault(error_ratio=1)
        found = watch(fake, approved("vllm", model), tmp_path)
        await look(found)
        assert not found.report.ready
        assert "POST /v1/completions: status 500" in found.report.message


async def test_a_person_or_the_operator_takes_it_out(start: Start, model: Path, tmp_path: Path) -> None:
    async with start("vllm", *FLAGS["vllm"]) as fake:
        found = watch(fake, approved("vllm", model), tmp_path)
        await look(found)
        (tmp_path / "quarantine").write_text("the image is another\n")
        await look(found)
        assert not found.report.ready
        assert "the image is another" in found.report.message
        (tmp_path / "quarantine").write_text("")
        await look(found)
        assert found.report.ready


@dataclass
class Busy:
    """An engine that answers, or does not within the time that it has."""

    slow: bool = False

    def get(self, path: str) -> Any:
        if self.slow:
            raise SlowError(f"GET {path}: no answer")
        return {"name": "chat"}

    def complete(self, path: str, body: Mapping[str, Any]) -> Any:
        return {}


def test_a_busy_engine_stays_ready_for_a_while(tmp_path: Path) -> None:
    fact = {"name": "servedName", "path": "/", "field": "name", "expected": "chat"}
    completion = {"path": "/v1/completions", "body": {}, "facts": []}
    identity = parse({"facts": [fact], "constants": [], "completions": [completion]})
    engine = Busy()
    found = Watch(identity, engine, quarantine=tmp_path / "q", memory=tmp_path / "m", remembered=Memory())
    found.look()
    engine.slow = True
    for _ in range(SLOW_TIMES - 1):
        found.look()
        assert found.report.ready
    found.look()
    assert not found.report.ready
