"""Commands in lanes: one after the other within a lane, the lanes side by side."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

Tier = tuple[str, Sequence[str]]
"""A name and a command."""

_LOOK_SECONDS = 0.2
_SIGN_SECONDS = 60.0
"""Between signs of life."""
_GRACE_SECONDS = 30.0
"""For a tier that is ended. A test bed ends with the process that started it."""


class _Lane:
    """A lane and the tier that it is at."""

    def __init__(self, tiers: Sequence[Tier], folder: Path) -> None:
        self._left = list(tiers)
        self._folder = folder
        self.name = ""
        self.began = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self._folder / f"{self.name}.log"

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def step(self) -> int | None:
        """Begin the next tier if none runs; return the exit status of one that ended just now."""
        if self._process is None:
            if self._left:
                self._begin(*self._left.pop(0))
            return None
        code = self._process.poll()
        if code is not None:
            self._process = None
        return code

    @property
    def busy(self) -> bool:
        return self._process is not None or bool(self._left)

    @property
    def running(self) -> bool:
        return self._process is not None

    def _begin(self, name: str, command: Sequence[str]) -> None:
        self.name, self.began = name, time.monotonic()
        with self.log.open("wb") as log:
            # A session of its own, so that an interruption reaches all of its processes and nobody else's.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def end(self) -> None:
        """End what runs, and wait until it is over. Not by SIGINT, which whatever was started in the background ignores."""
        process, self._process, self._left = self._process, None, []
        if process is None:
            return
        self._signal(process, signal.SIGTERM)
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(process, signal.SIGKILL)
            process.wait()

    @staticmethod
    def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def run(lanes: Sequence[Sequence[Tier]], folder: Path, *, out: TextIO | None = None) -> int:
    """Run all tiers; print the output of each as a whole when it ends; the first failure ends everything.

    Args:
        lanes: in each, tiers in their order.
        folder: for the output of tiers that run.
        out: where to print; standard output if absent.

    Returns:
        0 if every tier ended with 0, else 1.
    """
    screen = out or sys.stdout
    running = [_Lane(tiers, folder) for tiers in lanes]
    told: list[str] = []
    sign = threading.Event()
    shown = time.monotonic()
    try:
        while any(lane.busy for lane in running):
            for lane in running:
                code = lane.step()
                if code is None:
                    continue
                _tell(screen, lane, code)
                told.append(f"{lane.name:<16} {_clock(lane.seconds)}")
                if code != 0:
                    _say(screen, f"{lane.name} failed; the rest is ended")
                    return 1
            if time.monotonic() - shown >= _SIGN_SECONDS:
                shown = time.monotonic()
                _say(screen, "… " + ", ".join(f"{lane.name} {_clock(lane.seconds)}" for lane in running if lane.running))
            sign.wait(_LOOK_SECONDS)
    finally:
        for lane in running:
            lane.end()
    _say(screen, "passed:\n" + "\n".join(f"  {line}" for line in told))
    return 0


def _tell(screen: TextIO, lane: _Lane, code: int) -> None:
    verdict = "passed" if code == 0 else f"FAILED with status {code}"
    _say(screen, f"── {lane.name}: {verdict} after {_clock(lane.seconds)} " + "─" * 40)
    _say(screen, lane.log.read_text(errors="replace").rstrip())


def _say(screen: TextIO, text: str) -> None:
    print(text, file=screen, flush=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
