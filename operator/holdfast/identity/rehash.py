"""Every byte that the engine sees, hashed when its owner asks: by ``holdfast-weights verify``, in the background, behind everything else.

What is asked for is a word in a file, the pod's annotation ``holdfast.dev/verify``. Each new word is answered once.
"""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

_WORD: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,62}[A-Za-z0-9])?")
_LOWEST_PRIORITY: Final = 19
_MISMATCH_EXIT_CODE: Final = 3  # of holdfast-weights


class Outcome(StrEnum):
    """What came of it."""

    VERIFIED = "verified"
    MISMATCH = "mismatch"
    UNAVAILABLE = "unavailable"  # the bytes could not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one word."""

    word: str
    outcome: Outcome
    message: str


class Rehash:
    """Runs one command after the other, each in a process of its own that is looked at now and then.

    Args:
        request: the file with the word; empty or missing when nothing is asked for.
        memory: a folder to remember in which word was answered, across restarts of this container.
        commands: programs that take ``--termination-log FILE`` and leave ``{"message": …}`` there.
    """

    def __init__(self, *, request: Path, memory: Path, commands: Sequence[Sequence[str]]) -> None:
        self._request = request
        self._answered_file = memory / "answered"
        self._outcome_file = memory / "outcome.json"
        self._commands = commands
        self._word = ""
        self._said: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def busy(self) -> bool:
        """Whether something is being hashed now."""
        return self._process is not None

    def poll(self) -> Answer | None:
        """Begin what is asked for, go on with it, and return the answer once it is there.

        Raises:
            OSError: a process cannot be started, or what was answered cannot be remembered.
        """
        if self._process is None:
            word = self._asked()
            if word:
                self.begin(word)
            return None
        code = self._process.poll()
        if code is None:
            return None
        self._process = None
        message = self._left(code)
        if code != 0:
            return self._answer(Outcome.MISMATCH if code == _MISMATCH_EXIT_CODE else Outcome.UNAVAILABLE, message)
        self._said.append(message)
        if len(self._said) < len(self._commands):
            self._start()
            return None
        return self._answer(Outcome.VERIFIED, "; ".join(self._said))

    def begin(self, word: str) -> None:
        """Begin without being asked; nothing may be going on.

        Raises:
            OSError: a process cannot be started.
        """
        self._word, self._said = word, []
        self._start()

    def _asked(self) -> str:
        word = _text(self._request)
        return word if self._commands and _WORD.fullmatch(word) and word != _text(self._answered_file) else ""

    def _start(self) -> None:
        self._outcome_file.write_text("", encoding="utf-8")
        command = [*self._commands[len(self._said)], f"--termination-log={self._outcome_file}"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _LOWEST_PRIORITY)
        except ProcessLookupError:
            return  # it has ended already

    def _left(self, code: int) -> str:
        try:
            return str(json.loads(_text(self._outcome_file))["message"])
        except (ValueError, KeyError, TypeError):
            return f"holdfast-weights ended with {code} and said nothing"

    def _answer(self, outcome: Outcome, message: str) -> Answer:
        self._answered_file.write_text(self._word, encoding="utf-8")
        return Answer(word=self._word, outcome=outcome, message=message)


def commands(artifacts: Path, digest: str, folders: Sequence[str]) -> list[list[str]]:
    """Return one command for each folder, given as ``NAME=PATH``."""
    found: list[list[str]] = []
    for folder in folders:
        name, _, path = folder.partition("=")
        verify = ["holdfast-weights", "verify", f"--artifacts={artifacts}", f"--artifacts-digest={digest}", "--verify=Always"]
        found.append([*verify, f"--only={name}", f"--folder={path}"])
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""
