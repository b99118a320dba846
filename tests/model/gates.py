"""Calls that do not happen at once: each stops before its effect and before its answer until the test lets it go on.

That is how a test interleaves the operator's workers, and how it kills the operator with requests on their way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from holdfast.api.names import Key
from holdfast.cluster.errors import Failure
from holdfast.cluster.kinds import Kind
from holdfast.cluster.port import Cluster, Listing, Manifest
from holdfast.sources.gateway import GatewayAnswer
from model.faults import Crash

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Gate:
    """A call that stands still."""

    what: str
    opened: asyncio.Future[None]


class Gates:
    """All calls of one operator process that stand still.

    Args:
        landed: told when a call has had its effect, before anything else happens.

    Attributes:
        closed: whether calls stop at all.
        dead: whether the process was killed: no call has any effect then.
    """

    def __init__(self, landed: Callable[[], None] | None = None) -> None:
        self._landed = landed
        self.closed = False
        self.dead = False
        self._waiting: list[Gate] = []
        self._slow: list[Gate] = []

    @property
    def waiting(self) -> list[str]:
        """The calls that stand still, in the order in which they stopped, but for the slow ones."""
        return [gate.what for gate in self._waiting]

    @property
    def slow(self) -> list[str]:
        """The calls that take their time."""
        return [gate.what for gate in self._slow]

    def open(self, index: int = 0) -> None:
        """Let one call go on."""
        self._waiting.pop(index).opened.set_result(None)

    def open_all(self) -> None:
        """Let all calls go on but the slow ones, and stop none from now on."""
        self.closed = False
        while self._waiting:
            self.open()

    def slow_down(self, index: int) -> None:
        """Let a call take its time: it goes on with `hurry`, and not before."""
        self._slow.append(self._waiting.pop(index))

    def hurry(self) -> None:
        """Let the slow calls be like the others."""
        self._waiting += self._slow
        self._slow.clear()

    def kill(self) -> None:
        """Let no call have an effect from now on, and no answer be heard."""
        self.dead = True
        self.hurry()
        self.open_all()

    async def through(self, what: str, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make a call."""
        await self._stop(f"{what}: sent")
        try:
            answer = await self._land(call)
        except Crash:
            self.kill()
            raise
        except Failure:
            await self._stop(f"{what}: failed")
            raise
        await self._stop(f"{what}: answered")
        return answer

    async def _land(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            return await call()
        finally:
            if self._landed is not None:
                self._landed()

    async def _stop(self, what: str) -> None:
        if self.dead:
            raise Crash
        if not self.closed:
            return
        gate = Gate(what, asyncio.get_running_loop().create_future())
        self._waiting.append(gate)
        try:
            await gate.opened
        finally:
            for gates in (self._waiting, self._slow):
                if gate in gates:
                    gates.remove(gate)
        if self.dead:
            raise Crash


class GatedPoller:
    """Asks gateway pods, through gates."""

    def __init__(self, ask: Callable[[str], GatewayAnswer | None], gates: Gates) -> None:
        self._ask = ask
        self._gates = gates

    async def ask(self, address: str) -> GatewayAnswer | None:
        async def answer() -> GatewayAnswer | None:
            return self._ask(address)

        return await self._gates.through(f"ask {address}", answer)


class GatedCluster:
    """The cluster's port, through gates."""

    def __init__(self, cluster: Cluster, gates: Gates) -> None:
        self._cluster = cluster
        self._gates = gates

    def now(self) -> datetime:
        return self._cluster.now()

    async def list(self, kind: Kind, *, namespace: str | None = None, selector: str | None = None) -> Listing:
        return await self._gates.through(
            f"list {kind.kind}", lambda: self._cluster.list(kind, namespace=namespace, selector=selector)
        )

    async def get(self, kind: Kind, key: Key) -> Manifest:
        return await self._gates.through(f"get {kind.kind} {key.name}", lambda: self._cluster.get(kind, key))

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        return await self._gates.through(_named("create", kind, manifest), lambda: self._cluster.create(kind, manifest))

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        return await self._gates.through(_named("apply", kind, manifest), lambda: self._cluster.apply(kind, manifest))

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:
        return await self._gates.through(_named("replace", kind, manifest), lambda: self._cluster.replace(kind, manifest))

    async def replace_status(
        self, kind: Kind, key: Key, *, uid: str, resource_version: str, status: Mapping[str, Any]
    ) -> Manifest:
        return await self._gates.through(
            f"status {kind.kind} {key.name}",
            lambda: self._cluster.replace_status(kind, key, uid=uid, resource_version=resource_version, status=status),
        )

    async def annotate(self, kind: Kind, key: Key, *, uid: str, annotations: Mapping[str, str]) -> Manifest:
        return await self._gates.through(
            f"annotate {kind.kind} {key.name}", lambda: self._cluster.annotate(kind, key, uid=uid, annotations=annotations)
        )

    async def relabel(self, kind: Kind, key: Key, *, uid: str, labels: Mapping[str, str | None]) -> Manifest:
        return await self._gates.through(
            f"relabel {kind.kind} {key.name}", lambda: self._cluster.relabel(kind, key, uid=uid, labels=labels)
        )

    async def delete(self, kind: Kind, key: Key, *, uid: str) -> None:
        return await self._gates.through(f"delete {kind.kind} {key.name}", lambda: self._cluster.delete(kind, key, uid=uid))


def _named(verb: str, kind: Kind, manifest: Manifest) -> str:
    return f"{verb} {kind.kind} {manifest['metadata']['name']}"
