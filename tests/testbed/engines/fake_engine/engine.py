"""The state of the one model that is served: loading, ready or leaving, its faults, and what it counted."""

import asyncio
import contextlib
import dataclasses
import math
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from enum import StrEnum

from . import content, faults
from .arguments import Settings
from .faults import Faults
from .metrics import Metrics
from .requests import Completion, tokens


class State(StrEnum):
    """Where the engine is in its life."""

    LOADING = "Loading"
    READY = "Ready"
    DRAINING = "Draining"
    """Told to end: running answers go on, new ones are refused."""
    CUT = "Cut"
    """Running answers end where they are."""
    STUCK = "Stuck"
    """Running answers neither go on nor end, as in a vLLM whose shutdown timeout is over."""


class FailedError(Exception):
    """A completion fails by a fault; `status` is that of the answer."""

    def __init__(self, status: int) -> None:
        super().__init__("the engine fails because a fault says so")
        self.status = status


class ClosedError(Exception):
    """The connection of an answer is to be cut, by a fault."""


@dataclasses.dataclass(slots=True)
class Counts:
    """Completions by how they went; `received` is the sum of the others and of those that are running."""

    received: int = 0
    answered: int = 0
    refused: int = 0
    failed: int = 0
    closed: int = 0
    """Cut by a fault, or left by the client."""


class Engine:
    """`end` is called with an exit code when a fault ends the process; it does not return in a real one."""

    def __init__(self, settings: Settings, start: Faults, metrics: Metrics, end: Callable[[int], None] = os._exit) -> None:
        self.settings = settings
        self.faults = start
        self.metrics = metrics
        self.counts = Counts()
        self.state = State.LOADING
        self.running = 0
        self.replaced = False
        self._content: content.Content | None = None
        self._end = end
        self._changed = asyncio.Condition()

    @property
    def served_name(self) -> str:
        """The name that it answers to."""
        return self.faults.served_name or self.settings.served_name

    @property
    def digest(self) -> str:
        """The hash of what is loaded; another one after weights were replaced through the engine's own interface."""
        if self._content is None:
            return ""
        return "sha256:" + "0" * 64 if self.replaced else self._content.digest

    @property
    def files(self) -> dict[str, str]:
        """The hex sha256 of each file that was loaded."""
        return self._content.files if self._content else {}

    async def load(self) -> None:
        """Hash the model and wait as the faults say; raises OSError if the model cannot be read."""
        clock = asyncio.get_running_loop().time
        began = clock()
        self._content = await asyncio.to_thread(content.read, self.settings.model)
        while True:
            if self.faults.exit_on_load is not None:
                self._end(self.faults.exit_on_load)
            left = math.inf if self.faults.never_ready else began + self.faults.load_seconds - clock()
            if left <= 0:
                break
            await self._change(left)
        self.state = State.READY

    async def set_faults(self, changes: Mapping[str, object] | None) -> None:
        """Change some faults, or with None forget all; raises FaultsError for an unknown one."""
        self.faults = Faults() if changes is None else faults.changed(self.faults, changes)
        await self._tell()

    async def enter(self, state: State) -> None:
        """Go on to another state."""
        self.state = state
        await self._tell()

    async def idle(self, seconds: float) -> bool:
        """Wait until no completion runs; False if the time is over before."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                while self.running:
                    await self._change(math.inf)
        return not self.running

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Count a completion while it runs, and how it ended. Ends the process where a fault says so."""
        self.counts.received += 1
        limit = self.faults.exit_after_requests
        if limit is not None and self.counts.answered >= limit:
            self._end(self.faults.exit_code)
        self.running += 1
        self.metrics.running(self.running)
        try:
            yield
        except FailedError:
            self.counts.failed += 1
            raise
        except (ClosedError, ConnectionError, asyncio.CancelledError):
            self.counts.closed += 1
            raise
        else:
            self.counts.answered += 1
        finally:
            self.running -= 1
            self.metrics.running(self.running)
            await asyncio.shield(self._tell())

    def refuse(self) -> None:
        """Count a completion that was not taken."""
        self.counts.received += 1
        self.counts.refused += 1

    def check(self) -> None:
        """Raise FailedError if this completion is one of those that fail."""
        ratio = self.faults.error_ratio
        if math.floor(self.counts.received * ratio) > math.floor((self.counts.received - 1) * ratio):
            raise FailedError(self.faults.error_status)

    async def generate(self, request: Completion) -> AsyncIterator[str]:
        """Yield the tokens of an answer at the pace that the faults say; raises FailedError or ClosedError by a fault."""
        clock = asyncio.get_running_loop().time
        began = last = clock()
        produced = 0
        self.metrics.prompt(request.prompt_tokens)
        for token in self._tokens(request):
            while self.faults.hang or self.state is State.STUCK:
                await self._change(math.inf)
            await asyncio.sleep(self.faults.token_seconds if produced else self.faults.first_token_seconds)
            if self.state is State.CUT:
                break
            now = clock()
            self.metrics.token(now - began if not produced else now - last, first=not produced)
            last = now
            yield token
            produced += 1
            if self.faults.close_after_tokens is not None and produced >= self.faults.close_after_tokens:
                raise ClosedError
            if self.faults.error_after_tokens is not None and produced >= self.faults.error_after_tokens:
                raise FailedError(500)
        self.metrics.finished(clock() - began, produced)

    def _tokens(self, request: Completion) -> Iterator[str]:
        return tokens(self.digest, request)

    async def _change(self, seconds: float) -> None:
        """Wait for a change of state or faults, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if math.isinf(seconds) else seconds), self._changed:
                await self._changed.wait()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
