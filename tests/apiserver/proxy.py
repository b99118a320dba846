"""A proxy before the API server that tests use to disturb the connection: cut it, end watches with 410, refuse a token once.

It speaks plain HTTP on loopback and is the administrator towards the API server, so it lives in tests only. It has a thread and
an event loop of its own, since kopf, at its end, waits for all tasks of its loop.
"""

import asyncio
import contextlib
import json
import ssl
import tempfile
import threading
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

_GONE = {
    "type": "ERROR",
    "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410},
}
_HOP = {"transfer-encoding", "content-length", "connection", "content-encoding", "keep-alive"}


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came by."""

    method: str
    path: str
    query: dict[str, str]
    agent: str
    token: str

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") == "true"


@dataclass
class Proxy:
    """The running proxy."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    answer: Callable[[Seen], web.Response | None] | None = None
    """Answers a request in the API server's stead, or lets it pass."""
    _watches: set[asyncio.Task[Any]] = field(default_factory=set)
    _deaf: bool = False
    _gone: bool = False
    _loop: asyncio.AbstractEventLoop | None = None
    _stop: asyncio.Event | None = None
    _started: threading.Event = field(default_factory=threading.Event)

    def writes(self) -> list[Seen]:
        return [each for each in self.seen if each.method != "GET"]

    def interrupt(self) -> None:
        """Cut all watches, and refuse new ones until `resume`."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(timeout=10)

    async def _cut(self) -> None:
        self._deaf = True
        for task in list(self._watches):
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)

    def resume(self, *, gone: bool) -> None:
        """Let watches pass again; with `gone` each of them is first told that it has missed too much (410)."""
        self._deaf, self._gone = False, gone

    def kubeconfig(self, folder: Path, token: str = "first") -> Path:  # noqa: S107
        """Write a kubeconfig that leads here; the token means nothing to the proxy itself."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
            "users": [{"name": "nobody", "user": {"token": token}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
            "current-context": "proxy",
        }
        file = folder / "proxy-kubeconfig"
        file.write_text(yaml.safe_dump(config))
        return file


@contextlib.contextmanager
def proxy(kubeconfig: Path) -> Iterator[Proxy]:
    """Run a proxy to the cluster of a kubeconfig."""
    proxy = Proxy()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(proxy, kubeconfig)), name="proxy")
    thread.start()
    assert proxy._started.wait(10), "the proxy does not start"
    try:
        yield proxy
    finally:
        assert proxy._loop is not None
        assert proxy._stop is not None
        proxy._loop.call_soon_threadsafe(proxy._stop.set)
        thread.join(timeout=20)
        assert not thread.is_alive()


async def _serve(proxy: Proxy, kubeconfig: Path) -> None:
    server, context = _target(kubeconfig)
    proxy._loop, proxy._stop = asyncio.get_running_loop(), asyncio.Event()
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        application = web.Application(client_max_size=16 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", _handler(proxy, session, server))
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        proxy._started.set()
        await proxy._stop.wait()
        await runner.cleanup()
    await asyncio.sleep(0.25)  # aiohttp ends TLS connections in the background and offers nothing to wait for


def _handler(proxy: Proxy, session: aiohttp.ClientSession, server: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    resumed: set[str] = set()

    async def handle(request: web.Request) -> web.StreamResponse:
        seen = Seen(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            agent=request.headers.get("User-Agent", ""),
            token=request.headers.get("Authorization", "").removeprefix("Bearer "),
        )
        proxy.seen.append(seen)
        if proxy.answer is not None and (answer := proxy.answer(seen)) is not None:
            return answer
        if not seen.is_watch:
            return await _forward(session, server, request)
        if proxy._deaf:
            return web.Response(status=503, text="{}")
        if proxy._gone and "resourceVersion" in seen.query and seen.path not in resumed:
            resumed.add(seen.path)
            return web.Response(text=json.dumps(_GONE) + "\n", content_type="application/json")
        task = asyncio.current_task()
        assert task is not None
        proxy._watches.add(task)
        try:
            return await _stream(session, server, request)
        finally:
            proxy._watches.discard(task)

    return handle


async def _forward(session: aiohttp.ClientSession, server: str, request: web.Request) -> web.Response:
    body = await request.read()
    headers = {name: request.headers[name] for name in ("Accept", "Content-Type") if name in request.headers}
    async with session.request(request.method, f"{server}{request.raw_path}", data=body or None, headers=headers) as answer:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
        return web.Response(status=answer.status, body=await answer.read(), headers=kept)


async def _stream(session: aiohttp.ClientSession, server: str, request: web.Request) -> web.StreamResponse:
    timeout = aiohttp.ClientTimeout(total=None)
    async with session.get(f"{server}{request.raw_path}", timeout=timeout) as answer:
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        return response


def _target(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.TemporaryDirectory() as folder:
        for name in ("client-certificate-data", "client-key-data"):
            (Path(folder) / name).write_bytes(b64decode(user[name]))
        context.load_cert_chain(Path(folder) / "client-certificate-data", Path(folder) / "client-key-data")
    return cluster["server"], context
