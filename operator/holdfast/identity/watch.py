"""When an engine may get requests: after it said what was approved and answered once, and as long as it goes on saying it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from holdfast.identity.engine import NotAnsweringError, SlowError
from holdfast.identity.facts import Identity, MismatchError, check, constant
from holdfast.identity.memory import Memory, remember

SLOW_TIMES: Final = 3
"""How often in a row a checked engine may be too busy to say what it is before it is checked anew from the beginning."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of the engine. `reported` is what it reported first, by the name of the constant."""

    ready: bool
    message: str
    reported: dict[str, Any]


class Asked(Protocol):
    """An engine that can be asked; `holdfast.identity.engine.Engine` is one."""

    def get(self, path: str) -> Any:
        """Return the JSON at a path; raises NotAnsweringError."""

    def complete(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON answer to a request; raises NotAnsweringError."""


class Watch:
    """Looks at one engine again and again. `report` may be read by other threads."""

    def __init__(self, identity: Identity, engine: Asked, *, quarantine: Path, memory: Path, remembered: Memory) -> None:
        """`quarantine` is the file with the pod's annotation, empty when there is none; `memory` is where to remember."""
        self._identity = identity
        self._engine = engine
        self._quarantine = quarantine
        self._memory = memory
        self._remembered = remembered
        self._slow = 0
        self._lock = threading.Lock()
        self._report = Report(False, "not asked yet", dict(remembered.reported))

    @property
    def report(self) -> Report:
        """What is known now."""
        with self._lock:
            return self._report

    def look(self) -> None:
        """Ask the engine once.

        Raises:
            MismatchError: it was found to be another than the approved one, just now. No later look makes it ready.
            MemoryFileError: what was found cannot be remembered.
        """
        refused = self._remembered.mismatch or self._ordered()
        if refused:
            self._know(ready=False, message=f"out of traffic until the pod is replaced: {refused}")
            return
        try:
            self._compare()
        except SlowError as error:
            self._slow += 1
            if not self._report.ready or self._slow >= SLOW_TIMES:
                self._know(ready=False, message=str(error))
        except NotAnsweringError as error:
            self._know(ready=False, message=str(error))  # it may have ended: what comes back is checked from the beginning
        except MismatchError as error:
            self.refuse(str(error))
            raise
        else:
            self._slow = 0
            self._know(ready=True, message="the engine is what was approved")

    @property
    def refused(self) -> bool:
        """Whether the engine was found to be another; nothing makes it ready again."""
        return bool(self._remembered.mismatch)

    def hold(self, message: str) -> None:
        """Let the engine not be ready for now."""
        self._know(ready=False, message=message)

    def refuse(self, message: str) -> None:
        """Take the engine out of traffic until its pod is replaced.

        Raises:
            MemoryFileError: that cannot be remembered.
        """
        self._know(ready=False, message=message)
        self._remember(Memory(reported=self._remembered.reported, mismatch=message))

    def _compare(self) -> None:
        reported: dict[str, Any] = {}
        for path in self._identity.paths:
            document = self._engine.get(path)
            check(document, self._identity.facts.get(path, ()), path)
            for wanted in self._identity.constants:
                if wanted.path == path:
                    reported[wanted.name] = constant(document, wanted, self._remembered.reported)
        if reported != self._remembered.reported:
            self._remember(Memory(reported=reported))
        if not self._report.ready:
            for completion in self._identity.completions:
                check(self._engine.complete(completion.path, completion.body), completion.facts, completion.path)

    def _ordered(self) -> str:
        try:
            return self._quarantine.read_text(encoding="utf-8", errors="replace").strip()[:200]
        except FileNotFoundError:
            return ""

    def _remember(self, memory: Memory) -> None:
        self._remembered = memory
        remember(self._memory, memory)

    def _know(self, *, ready: bool, message: str) -> None:
        with self._lock:
            self._report = Report(ready, message, dict(self._remembered.reported))
