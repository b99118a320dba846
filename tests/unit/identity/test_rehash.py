"""Bytes that are hashed when somebody asks: once for each word, and what is found decides about traffic."""

import json
import os
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.identity.rehash import Answer, Outcome, Rehash, commands

PROGRAM = textwrap.dedent(
    """
    import json, os, pathlib, sys
    log = next(each for each in sys.argv if each.startswith("--termination-log=")).partition("=")[2]
    pathlib.Path(log).write_text(json.dumps({"reason": "x", "message": sys.argv[1]}))
    pathlib.Path(sys.argv[3]).open("a").write(f"{sys.argv[1]} {os.getpriority(os.PRIO_PROCESS, 0)}\\n")
    sys.exit(int(sys.argv[2]))
    """
)


class Asked:
    """A rehash, the file by which it is asked, and what its commands did."""

    def __init__(self, folder: Path, *codes: int) -> None:
        self.folder = folder
        self.request = folder / "verify"
        self.ran = folder / "ran"
        self.codes = codes
        self.rehash = self.made()

    def made(self) -> Rehash:
        program = [sys.executable, "-c", PROGRAM]
        runs = [[*program, f"part {number}", str(code), str(self.ran)] for number, code in enumerate(self.codes)]
        return Rehash(request=self.request, memory=self.folder, commands=runs)

    def answer(self, word: str) -> Answer | None:
        """Ask, and wait until nothing is being done any more."""
        self.request.write_text(word)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            found = self.rehash.poll()
            if found is not None or not self.rehash.busy:
                return found
        raise AssertionError("no answer")

    @property
    def runs(self) -> list[str]:
        return [line.rpartition(" ")[0] for line in self.ran.read_text().splitlines()] if self.ran.exists() else []


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., Asked]:
    return lambda *codes: Asked(tmp_path, *codes)


def test_every_folder_is_hashed_and_the_answer_has_all_their_words(asked: Callable[..., Asked]) -> None:
    it = asked(0, 0)
    assert it.answer("once") == Answer(word="once", outcome=Outcome.VERIFIED, message="part 0; part 1")
    assert it.runs == ["part 0", "part 1"]


def test_the_first_mismatch_ends_it(asked: Callable[..., Asked]) -> None:
    it = asked(0, 3, 0)
    assert it.answer("once") == Answer(word="once", outcome=Outcome.MISMATCH, message="part 1")
    assert it.runs == ["part 0", "part 1"]


def test_bytes_that_cannot_be_read_are_no_mismatch(asked: Callable[..., Asked]) -> None:
    assert asked(4).answer("once") == Answer(word="once", outcome=Outcome.UNAVAILABLE, message="part 0")


def test_a_program_that_says_nothing_is_said(tmp_path: Path) -> None:
    it = Asked(tmp_path)
    it.rehash = Rehash(request=it.request, memory=tmp_path, commands=[[sys.executable, "-c", "import os; os._exit(7)"]])
    found = it.answer("once")
    assert found is not None
    assert (found.outcome, found.message) == (Outcome.UNAVAILABLE, "holdfast-weights ended with 7 and said nothing")


def test_a_word_is_answered_once_and_another_one_again(asked: Callable[..., Asked]) -> None:
    it = asked(0)
    assert it.answer("once") is not None
    assert it.answer("once") is None
    assert it.answer("twice") is not None
    assert it.runs == ["part 0", "part 0"]


def test_a_restart_does_not_answer_again_and_begins_anew_what_was_not_answered(asked: Callable[..., Asked]) -> None:
    it = asked(0)
    it.request.write_text("once")
    it.rehash.poll()
    assert it.rehash.busy
    while it.rehash.poll() is None:
        pass
    it.rehash = it.made()
    assert it.answer("once") is None
    (it.folder / "answered").unlink()
    assert it.answer("once") is not None


@pytest.mark.parametrize("word", ["", "\n", "two words", "x" * 65, "a\nb", "-", "$(id)", "ü"])
def test_what_is_no_word_asks_for_nothing(asked: Callable[..., Asked], word: str) -> None:
    it = asked(0)
    assert it.answer(word) is None
    assert it.runs == []


def test_without_a_request_nothing_happens(asked: Callable[..., Asked]) -> None:
    it = asked(0)
    assert it.rehash.poll() is None
    assert not it.rehash.busy


def test_it_runs_behind_everything_else(tmp_path: Path) -> None:
    it = Asked(tmp_path)
    waiting = "import sys; sys.stdin.read(); import time; time.sleep(30)"
    it.rehash = Rehash(request=it.request, memory=tmp_path, commands=[[sys.executable, "-c", waiting]])
    it.request.write_text("once")
    it.rehash.poll()
    process = it.rehash._process
    assert process is not None
    try:
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
    finally:
        process.kill()
        process.wait()


def test_the_commands_are_those_of_the_weights_program() -> None:
    from holdfast.weights.options import parse

    (first, second) = commands(Path("/holdfast/revision/artifacts.json"), "sha256:1", ["model=/m", "adapter-legal=/a/legal"])
    assert first[0] == "holdfast-weights"
    options = [parse([*each[1:], "--termination-log=/x"]) for each in (first, second)]
    assert [(each.only, str(each.folder), str(each.level)) for each in options] == [
        (["model"], "/m", "Always"),
        (["adapter-legal"], "/a/legal", "Always"),
    ]
    assert json.dumps(first).count("sha256:1") == 1
