"""The routes for tests: what the engine was started with, what it counted, and its faults.

GET /fake/argv, /fake/files, /fake/state; GET, POST (some of them, as JSON) and DELETE (all) /fake/faults.
"""

import dataclasses
import os

from aiohttp import web

from .engine import Engine
from .faults import FaultsError

_SECRET = ("KEY", "TOKEN", "PASSWORD", "SECRET")


def routes(engine: Engine) -> list[web.RouteDef]:
    """Return the routes."""

    async def argv(_request: web.Request) -> web.Response:
        settings = engine.settings
        return web.json_response({"flavor": settings.flavor, "argv": settings.argv, "environment": _environment()})

    async def files(_request: web.Request) -> web.Response:
        return web.json_response({"digest": engine.digest, "files": engine.files})

    async def state(_request: web.Request) -> web.Response:
        counts = dataclasses.asdict(engine.counts)
        return web.json_response({"state": engine.state, "running": engine.running, "completions": counts})

    async def show(_request: web.Request) -> web.Response:
        return web.json_response(engine.faults.model_dump())

    async def change(request: web.Request) -> web.Response:
        try:
            await engine.set_faults(await request.json())
        except (FaultsError, ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return await show(request)

    async def forget(request: web.Request) -> web.Response:
        await engine.set_faults(None)
        return await show(request)

    return [
        web.get("/fake/argv", argv),
        web.get("/fake/files", files),
        web.get("/fake/state", state),
        web.get("/fake/faults", show),
        web.post("/fake/faults", change),
        web.delete("/fake/faults", forget),
    ]


def _environment() -> dict[str, str]:
    """Return the environment without values that look like secrets."""
    return {name: "…" if name.endswith(_SECRET) else value for name, value in os.environ.items()}
