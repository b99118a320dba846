"""The operator's process on the in-memory cluster: the real controller with the real reconciler of gateways, stepped by a test.

`settle` plays time as it comes: the clock jumps to whatever is due next. For the interleaving of its workers see `options`.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import standins
from builders import SETTINGS
from holdfast.api.found import Found, Question
from holdfast.cluster import kinds
from holdfast.cluster.kinds import Kind
from holdfast.controller.assembly import assemble
from holdfast.controller.gateway import GatewayReconciler
from holdfast.controller.observer import Observer, Outcome
from holdfast.controller.ports import Resolver, Upstream
from holdfast.domain.decide import decide
from holdfast.render import deployment as renderer
from holdfast.sources.hub_errors import SourceNotFoundError
from model.fake_cluster import FakeCluster, WatchEvent
from model.faults import Crash
from model.gates import GatedCluster, GatedPoller, Gates
from model.nodes import Nodes
from model.people import UNKNOWN

GATEWAY_IMAGE: Final = "registry.example/envoy@sha256:" + "c" * 64
CALM: Final = 65.0
"""Seconds in which nothing is written and nothing moves: longer than anything but a long hold lets the operator wait."""
_WORKERS: Final = 3


class Hub(standins.Hub):
    """Knows all commits but one."""

    async def resolve(self, question: Question) -> Found:
        source = question.source.hugging_face
        if source is not None and source.commit[0] == UNKNOWN:
            raise SourceNotFoundError(f"{source.repository} has no commit {source.commit}")
        return await super().resolve(question)


class OperatorRun:
    """One process of the operator, between its start and its end. A restart is another one.

    Attributes:
        outcomes: how its visits ended.
        deaf: kinds whose watches deliver nothing for now.

    Args:
        cluster: the cluster.
        nodes: the world around it.
        landed: told when a call has had its effect, before anything else happens.
        heard: told of every event that arrives.
        version: of the program; each brings another image for the weights of new revisions.
        hub: which files sources have; without it, one file for each commit.
        upstream: what is published; without it, nothing ever changes.
    """

    def __init__(
        self,
        cluster: FakeCluster,
        nodes: Nodes,
        *,
        landed: Callable[[], None] | None = None,
        heard: Callable[[WatchEvent], None] | None = None,
        version: int = 1,
        hub: Resolver | None = None,
        upstream: Upstream | None = None,
    ) -> None:
        self.cluster = cluster
        self.nodes = nodes
        self.gates = Gates(landed)
        self._heard = heard
        self.outcomes: list[Outcome] = []
        self.deaf: set[Kind] = set()
        weights_image = f"{SETTINGS.weights_image[:-1]}{version % 10}"
        self.controller = assemble(
            cluster=GatedCluster(cluster, self.gates),
            resolver=hub or Hub(),
            upstream=upstream or standins.Upstream(),
            renderer=renderer,
            decide=decide,
            make_gateway=partial(
                GatewayReconciler, poller=GatedPoller(nodes.ask, self.gates), image=GATEWAY_IMAGE, clock=self.clock
            ),
            settings=replace(SETTINGS, weights_image=weights_image),
            instance="operator-0",
            namespaces=(),
            clock=self.clock,
            rng=random.Random(1),  # noqa: S311
            random_bytes=bytes,
            observer=Observer(),
        )
        self._tasks: list[asyncio.Task[Outcome]] = []

    def clock(self) -> float:
        """The monotonic clock: it goes with the cluster's time."""
        return self.cluster.time.timestamp()

    async def start(self) -> None:
        """List everything, as the process does first.

        Raises:
            Crash: it was killed.
            Failure: the API server did not answer; a process ends then, and is started again.
        """
        for kind in kinds.WATCHED:
            self.cluster.lose(kind)  # watches begin anew with what there is then
        await self.controller.resync.start()
        for kind in kinds.WATCHED:
            self.relist(kind)

    async def kill(self) -> None:
        """End the process at once: calls that were not sent have no effect, and no answer is heard."""
        self.gates.kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.controller.resolutions.close()
        await _breathe()

    # watches

    def hear(self, event: WatchEvent) -> None:
        """Take one event, as kopf hands it over."""
        if self._heard is not None:
            self._heard(event)
        self.controller.feed.event(event.kind, event.object, deleted=event.type == "DELETED")
        if event.type is None:
            self.controller.resync.soon(event.kind)

    def relist(self, kind: Kind) -> None:
        """Let the watch of a kind be interrupted, and begin anew."""
        for event in self.cluster.relist(kind):
            self.hear(event)

    def hear_all(self) -> None:
        """Take all news but those that the operator is deaf to."""
        for kind in self._heard_kinds():
            while (event := self.cluster.deliver(kind)) is not None:
                self.hear(event)

    def _heard_kinds(self) -> list[Kind]:
        return [kind for kind in kinds.WATCHED if kind not in self.deaf]

    # work, one step at a time

    def options(self) -> list[str]:
        """Return what could happen next: news of a kind, a worker that takes a key, a call that goes on."""
        heard = self._heard_kinds()
        news = [f"news {index}" for index, kind in enumerate(kinds.WATCHED) if kind in heard and self.cluster.pending(kind)]
        due = self.controller.queue.next_due()
        ready = self.controller.queue.depth() > 0 or (due is not None and due <= self.clock())
        free = ready and len(self._tasks) < _WORKERS
        return [*news, *(["work"] if free else []), *(f"call {index}" for index, _ in enumerate(self.gates.waiting))]

    async def step(self, option: str) -> None:
        """Let one of the options happen.

        Raises:
            Crash: it killed the process.
        """
        self.gates.closed = True
        what, _, index = option.partition(" ")
        if what == "news":
            event = self.cluster.deliver(kinds.WATCHED[int(index)])
            assert event is not None
            self.hear(event)
        elif what == "call":
            self.gates.open(int(index))
        else:
            self._take()
        await _breathe()
        self._collect()

    async def run_until(self, call: str, *, given: Callable[[], bool] = lambda: True, skip: int = 0) -> bool:
        """Let one thing happen after the other until a call is made that begins with this, and let that one take its time.

        Args:
            call: how the call begins.
            given: what must be true then.
            skip: how many such calls to let go on first.

        Returns:
            Whether it was made, within a minute.

        Raises:
            Crash: the process was killed under way.
        """
        end = self.clock() + 60
        while self.clock() < end:
            found = [index for index, what in enumerate(self.gates.waiting) if what.startswith(call)]
            if found and given():
                if not skip:
                    self.gates.slow_down(found[0])
                    return True
                skip -= 1
                await self.step(f"call {found[0]}")
                continue
            options = self.options()
            if options:
                await self.step(options[0])
            elif not self.nodes.act():
                due = self.controller.queue.next_due()
                self.cluster.advance(1.0 if due is None else min(1.0, max(0.01, due - self.clock())))
        return False

    def _take(self) -> asyncio.Task[Outcome] | None:
        key = self.controller.queue.pop()
        if key is None:
            return None
        task = asyncio.create_task(self.controller.worker.work(key))
        self._tasks.append(task)
        return task

    def _collect(self) -> None:
        ended = [task for task in self._tasks if task.done()]
        self._tasks = [task for task in self._tasks if not task.done()]
        crashed = [task.exception() for task in ended if task.exception() is not None]
        self.outcomes += [task.result() for task in ended if task.exception() is None]
        for error in crashed:
            assert isinstance(error, Crash), error
        if crashed:
            raise Crash

    # all at once

    async def drain(self) -> bool:
        """Let everything happen that can but for slow calls, while time stands still; return whether anything changed.

        Raises:
            Crash: the process was killed under way.
        """
        before, moved = self.cluster.version, False
        self.gates.open_all()
        for _ in range(300):
            await _breathe()
            self._collect()
            acted = self.nodes.act()
            moved |= acted
            self.hear_all()
            await self.controller.resync.sweep()
            while (task := self._take()) is not None:
                acted = True
                await (asyncio.wait([task]) if not self.gates.slow else _breathe())
                self._collect()
            if not acted and not any(self.cluster.pending(kind) for kind in self._heard_kinds()):
                return moved or self.cluster.version != before
        raise AssertionError("nothing comes to rest")

    async def settle(self, *, calm: float = CALM) -> None:
        """Let time go on until nothing has changed for so many seconds.

        Raises:
            Crash: the process was killed under way.
        """
        moved_at = self.clock()
        end = moved_at + 3 * 3600
        while True:
            if await self.drain():
                moved_at = self.clock()
            assert moved_at < end, "the world does not come to rest"
            if self.clock() - moved_at >= calm:
                return
            due = self.controller.queue.next_due()
            wait = moved_at + calm - self.clock()
            self.cluster.advance(max(0.01, min(wait, due - self.clock() if due is not None else wait, 10.0)))


async def _breathe() -> None:
    """Let every task run until it waits for something that only the test can bring."""
    for _ in range(8):
        await asyncio.sleep(0)
