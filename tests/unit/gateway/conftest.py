"""A gateway with engines behind it, on loopback."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest

from holdfast.domain.gateway import Clusters
from unit.gateway.gateway import Gateway, layout, route
from unit.gateway.upstream import Upstream

NAME = "support-chat"
MARKS = {"1": "stable", "2": "candidate", "3": "fallback"}


@dataclass(slots=True)
class Bench:
    """A gateway and the engines of revisions 1 to 3 of one deployment."""

    gateway: Gateway
    engines: dict[int, Upstream]

    async def restart(self, *, ca_bundle: str) -> None:
        """Start Envoy anew with another bundle of authorities."""
        await self.gateway.stop()
        self.gateway.layout = replace(self.gateway.layout, ca_bundle=ca_bundle)
        await self.gateway.start()

    async def know(self, *revisions: int, failover: dict[int, int] | None = None) -> None:
        """Let the gateway know revisions, as the first phase of a change."""
        self.gateway.publish(clusters={NAME: Clusters(revisions=frozenset(revisions), failover=failover or {})})
        await self.gateway.until_known(*(f"{NAME}/{each}" for each in revisions), *(f"{NAME}/arm-{each}" for each in revisions))

    async def route(self, **arms: int) -> None:
        """Route, as the second phase: ``r1=9500, r2=500``."""
        chosen = {arm.removeprefix("r"): weight for arm, weight in arms.items()}
        await self.gateway.until_serial(self.gateway.publish(routes={NAME: route(chosen)}))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        engines = {revision: await stack.enter_async_context(Upstream(str(revision))) for revision in (1, 2, 3)}
        ports = {(NAME, revision): engine.port for revision, engine in engines.items()}
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        gateway = await stack.enter_async_context(Gateway(tmp_path, layout(tmp_path, ports), session))
        gateway.marks[NAME] = MARKS
        await gateway.start()
        yield Bench(gateway, engines)
