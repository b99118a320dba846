"""The program when its owner asks for the bytes: the answer is a line of its log, and other bytes take the pod out of traffic."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.identity.main import MISMATCH_EXIT_CODE
from unit.engines.fake import Start
from unit.identity.test_program import Container, prepared, run
from unit.identity.watching import FLAGS

WEIGHTS = """\
#!/bin/sh
for each in "$@"; do case $each in --termination-log=*) log=${each#*=};; esac; done
echo '{"reason": "x", "message": "model: a.gguf: what was found"}' > "$log"
exit %d
"""


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Put a program for weights on the path that ends so."""

    def put(code: int) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / "holdfast-weights"
        program.write_text(WEIGHTS % code)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return put


def asked(container: Container, folder: Path, word: str) -> None:
    (folder / "verify").write_text(word)
    container.arguments += [f"--verify-request={folder / 'verify'}", "--folder=model=/m", "--artifacts-digest=sha256:1"]


def answers(text: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, text.splitlines()) if "verify" in line]


class EnoughError(Exception):
    """The test has seen what it came for."""


async def answered(container: Container, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Run the program until it answers, and return the answer; it goes on after that."""
    seen: list[str] = []

    def wait(_seconds: float) -> None:
        seen.append(capfd.readouterr().err)
        if answers("".join(seen)):
            raise EnoughError

    with pytest.raises(EnoughError):
        await run(container, wait)
    (found,) = answers("".join(seen))
    return found


async def test_verified_bytes_are_answered_with_what_the_engine_reports(
    start: Start, model: Path, tmp_path: Path, weights: Callable[[int], None], capfd: pytest.CaptureFixture[str]
) -> None:
    weights(0)
    async with start("vllm", *FLAGS["vllm"]) as fake:
        container = prepared(fake, "vllm", model, tmp_path)
        asked(container, tmp_path, "word-1")
        found = await answered(container, capfd)
        assert (found["verify"], found["outcome"], found["message"]) == ("word-1", "verified", "model: a.gguf: what was found")
        assert (found["ready"], found["engine"]) == (True, "the engine is what was approved")
        assert found["reported"]


async def test_other_bytes_end_it_and_it_stays_out_of_traffic(
    start: Start, model: Path, tmp_path: Path, weights: Callable[[int], None], capfd: pytest.CaptureFixture[str]
) -> None:
    weights(3)
    async with start("vllm", *FLAGS["vllm"]) as fake:
        container = prepared(fake, "vllm", model, tmp_path)
        asked(container, tmp_path, "word-1")
        assert await run(container, lambda _: None) == MISMATCH_EXIT_CODE
        (found,) = answers(capfd.readouterr().err)
        assert (found["outcome"], found["ready"]) == ("mismatch", False)
        assert container.message == {"reason": "WeightsMismatch", "message": "model: a.gguf: what was found"}

        seen: list[tuple[int, str]] = []

        def wait(_seconds: float) -> None:
            seen.append(container.get("/ready"))
            raise EnoughError

        with pytest.raises(EnoughError):
            await run(container, wait)
        assert seen == [(503, "out of traffic until the pod is replaced: model: a.gguf: what was found\n")]


async def test_bytes_that_cannot_be_read_leave_the_pod_where_it_is(
    start: Start, model: Path, tmp_path: Path, weights: Callable[[int], None], capfd: pytest.CaptureFixture[str]
) -> None:
    weights(4)
    async with start("vllm", *FLAGS["vllm"]) as fake:
        container = prepared(fake, "vllm", model, tmp_path)
        asked(container, tmp_path, "word-1")
        found = await answered(container, capfd)
        assert (found["outcome"], found["ready"]) == ("unavailable", True)
