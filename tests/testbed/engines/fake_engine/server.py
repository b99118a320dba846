"""The process: it loads, listens as the engine that it plays does, and leaves as that one does."""

import asyncio
import contextlib
import hmac
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from aiohttp import web

from . import control, faults, interface
from .arguments import Settings
from .completions import Completions
from .engine import Engine, State
from .interface import Interface
from .metrics import Metrics

CONTROL_PORT = 8999
"""Where `/fake/` is from the first moment, whether the engine listens yet or not; `HOLDFAST_FAKE_CONTROL_PORT` changes it."""


class Server:
    """One engine with its listeners. `end` is called where a fault ends the process."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        *,
        control_port: int,
        end: Callable[[int], None] = os._exit,
    ) -> None:
        start = faults.initial(settings.model, environment)
        metrics = Metrics(settings.flavor, settings.served_name)
        self.engine = Engine(settings, start, metrics, end)
        self._interface = interface.of(self.engine)
        self._control_port = control_port
        self._controls: web.AppRunner | None = None
        self._served: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    @property
    def addresses(self) -> tuple[str, str]:
        """HOST:PORT of the engine and of its controls, where they listen; empty where they do not."""
        return _address(self._served), _address(self._controls)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load, listen, and close everything in the end; raises OSError if the model cannot be read or a port is taken."""
        async with contextlib.AsyncExitStack() as stack:
            self._controls = await stack.enter_async_context(_runner(_control_application(self.engine)))
            await web.TCPSite(self._controls, "0.0.0.0", self._control_port).start()  # noqa: S104  (in a pod's own network)
            self._served = await stack.enter_async_context(_runner(_application(self.engine, self._interface)))
            site = web.TCPSite(self._served, self.engine.settings.host, self.engine.settings.port)
            if self._interface.LISTENS_WHILE_LOADING:
                await site.start()
            await self.engine.load()
            if not self._interface.LISTENS_WHILE_LOADING:
                await site.start()
            self._site = site
            yield

    async def leave(self) -> None:
        """End as the engine does on SIGTERM; returns when the process may end."""
        if self._site is not None and not self._interface.LISTENS_WHILE_LEAVING:
            await self._site.stop()
        await self._interface.leave()


async def run(settings: Settings, environment: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT; raises OSError or FaultsError if it cannot start."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    print(f"fake {settings.flavor} loads {settings.model}", flush=True)
    port = int(environment.get(f"{faults.PREFIX}CONTROL_PORT", CONTROL_PORT))
    server = Server(settings, environment, control_port=port)
    told = asyncio.create_task(ending.wait())
    serving = asyncio.create_task(_serve(server, ending))
    # While it loads there is nothing to drain: the signal ends it at once.
    await asyncio.wait({told, serving}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done() and server.engine.state is State.LOADING:
        serving.cancel()
    told.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


async def _serve(server: Server, ending: asyncio.Event) -> None:
    async with server.running():
        settings = server.engine.settings
        print(f"fake {settings.flavor} serves {server.engine.served_name} with {server.engine.digest}", flush=True)
        await ending.wait()
        await server.leave()


@contextlib.asynccontextmanager
async def _runner(application: web.Application) -> AsyncIterator[web.AppRunner]:
    # An answer whose client has left is given up, as the engines do. By the end nothing is left to wait for (0 would be for ever).
    runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


def _application(engine: Engine, chosen: Interface) -> web.Application:
    @web.middleware
    async def authorize(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not _authorized(engine, chosen, request):
            return chosen.error(401, "Unauthorized", "denied")
        return await handler(request)

    application = web.Application(middlewares=[authorize], client_max_size=16 * 2**20)
    application.add_routes([*chosen.routes(), *Completions(engine, chosen).routes(), *control.routes(engine)])
    return application


def _control_application(engine: Engine) -> web.Application:
    application = web.Application()
    application.add_routes(control.routes(engine))
    return application


def _authorized(engine: Engine, chosen: Interface, request: web.Request) -> bool:
    key = engine.settings.api_key
    if not key or request.path in chosen.KEYLESS or request.path.startswith("/fake/"):
        return True
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return hmac.compare_digest(given.encode(), key.encode())


def _address(runner: web.AppRunner | None) -> str:
    if runner is None or not runner.addresses:
        return ""
    host, port = runner.addresses[0][:2]
    return f"{host}:{port}"
