"""The operator in the test's own event loop: real kopf, real API server; the Hub and the gateway are stand-ins."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import kopf

import standins
from builders import SETTINGS
from holdfast import handlers
from holdfast.cluster.connection import connect
from holdfast.cluster.kinds import Kind
from holdfast.cluster.kube import KubeCluster
from holdfast.controller.assembly import Controller, assemble
from holdfast.controller.observer import Observer
from holdfast.controller.ports import Resolver, Upstream
from holdfast.domain.decide import decide
from holdfast.domain.snapshot import Settings
from holdfast.probes import Health
from holdfast.render import deployment as renderer

PATIENCE = 30.0


@dataclass
class Running:
    """A running operator."""

    controller: Controller
    cluster: KubeCluster
    writes: list[tuple[str, Kind]] = field(default_factory=list)
    """What it sent to the API server, by verb and kind."""

    async def rest(self, quiet: float = 0.3) -> None:
        """Wait until it has caught up with all kinds and has had nothing to do for a moment."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        calm_since = asyncio.get_running_loop().time()
        while True:
            now = asyncio.get_running_loop().time()
            assert now < deadline, "the operator does not come to rest"
            if self.controller.queue.depth() or self.controller.queue.longest_busy() or self.controller.feed.deaf(now):
                calm_since = now
            if now - calm_since >= quiet:
                return
            await asyncio.sleep(0.02)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not condition():
            assert asyncio.get_running_loop().time() < deadline, f"never: {what}"
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running(
    namespace: str,
    *,
    resolver: Resolver | None = None,
    upstream: Upstream | None = None,
    settings: Settings = SETTINGS,
    watching: bool = True,
    observer: Observer | None = None,
) -> AsyncIterator[Running]:
    """Run an operator for one namespace; $KUBECONFIG says where.

    Without `watching` there is no kopf, so nothing is heard; without `upstream` it does not look at what is published.
    """
    client = await connect(agent="holdfast-operator-test")
    writes: list[tuple[str, Kind]] = []
    cluster = KubeCluster(client, on_write=lambda verb, kind: writes.append((verb, kind)))
    clock = asyncio.get_running_loop().time
    controller = assemble(
        cluster=cluster,
        resolver=resolver or standins.Hub(),
        upstream=upstream or standins.Upstream(),
        renderer=renderer,
        decide=decide,
        make_gateway=standins.make_gateway,
        settings=settings,
        instance="operator-test",
        namespaces=(namespace,),
        clock=clock,
        rng=random.Random(1),  # noqa: S311
        random_bytes=bytes,
        observer=observer or Observer(),
    )
    stop = asyncio.Event()
    try:
        await controller.resync.start()
        tasks = [asyncio.create_task(controller.worker.run()) for _ in range(4)]
        tasks.append(asyncio.create_task(controller.resync.run()))
        if upstream is not None:
            tasks.append(asyncio.create_task(controller.upstream.run()))
        if watching:
            registry = kopf.OperatorRegistry()
            handlers.register(registry, handlers.Runtime(controller=controller, health=Health(controller, clock=clock)))
            watch = kopf.operator(registry=registry, settings=handlers.kopf_settings(), namespaces=[namespace], stop_flag=stop)
            tasks.insert(0, asyncio.create_task(watch))
        try:
            yield Running(controller, cluster, writes)
        finally:
            stop.set()
            if watching:
                await tasks[0]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await controller.resolutions.close()
    finally:
        await client.close()  # type: ignore[no-untyped-call]
        # aiohttp ends TLS connections in the background and offers nothing to wait for (its "Graceful Shutdown" page).
        await asyncio.sleep(0.25)
