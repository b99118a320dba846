"""An engine on loopback that says which revision it is and does what a test tells it to."""

import asyncio
import json
import ssl
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web


@dataclass(slots=True)
class Upstream:
    """A server of one revision. `status` other than 200 makes it fail; `seen` are the requests that reached it."""

    revision: str
    status: int = 200
    port: int = 0
    tls: ssl.SSLContext | None = None
    seen: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Streams wait for it before their last event."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a request reached it."""
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the port that it had before if it had one."""
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True, ssl_context=self.tls)
        await site.start()
        self.port = int(site._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]

    async def stop(self) -> None:
        """Stop listening: connections are refused."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(request)
        self.bodies.append(body)
        self.asked.set()
        if self.status != 200:
            return web.json_response({"error": "told to fail"}, status=self.status)
        if request.query.get("stream"):
            return await self._stream(request)
        headers = {"x-holdfast-revision": "a lie", "x-holdfast-served-by": "a lie"}
        return web.json_response({"revision": self.revision, "path": request.path_qs}, headers=headers)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: first\n\n")
        await self.gate.wait()
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


def chat(model: str = "support-chat", **more: Any) -> bytes:
    """Return the body of a chat completion request."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], **more}).encode()
