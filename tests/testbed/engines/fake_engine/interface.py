"""What every engine says about itself in its own way. Each subclass names the source of its facts."""

import time
from typing import Any

from aiohttp import web

from .arguments import Flavor
from .engine import Engine, State
from .metrics import CONTENT_TYPE


class Interface:
    """The routes and the shapes of one engine. `KEYLESS` are the paths that need no API key."""

    VERSION = ""
    KEYLESS: frozenset[str] = frozenset()
    PREFIXES: tuple[str, ...] = ("/v1",)
    """Where the OpenAI routes are."""
    FINGERPRINT_IN_EVERY_CHUNK = False
    LISTENS_WHILE_LOADING = False
    LISTENS_WHILE_LEAVING = True
    CHECKS_MODEL = False
    """Whether a request for another model than the one that is served is refused."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def version(self) -> str:
        """The version that it reports."""
        return self.engine.faults.version or self.VERSION

    @property
    def fingerprint(self) -> str | None:
        """The `system_fingerprint` of answers."""
        return None

    @property
    def healthy(self) -> bool:
        """Whether health is good."""
        return not self.engine.faults.unhealthy

    def routes(self) -> list[web.RouteDef]:
        """All routes beside the completions."""
        return [
            web.get("/health", self.health),
            *(web.get(f"{prefix}/models", self.models) for prefix in self.PREFIXES),
            web.get("/metrics", self.metrics),
        ]

    def error(self, status: int, message: str, kind: str) -> web.Response:
        """Return an error in the engine's shape; `kind` is one of invalid, missing, denied, failed, unavailable."""
        names = {"invalid": "BadRequestError", "missing": "NotFoundError", "denied": "Unauthorized"}
        name = names.get(kind, "InternalServerError")
        return web.json_response({"error": {"message": message, "type": name, "param": None, "code": status}}, status=status)

    def refusal(self) -> web.Response | None:
        """Return the answer to a completion that the engine does not take now; None if it takes it."""
        if self.engine.state is State.READY:
            return None
        return self.error(503, "The server is shutting down.", "unavailable")

    def unknown(self, model: str) -> web.Response | None:
        """Return the answer to a completion for another model than the served one; None if it is answered."""
        if not self.CHECKS_MODEL or model in ("", self.engine.served_name):
            return None
        return self.error(404, f"The model `{model}` does not exist.", "missing")

    def model_card(self) -> dict[str, Any]:
        """Return the entry of the list of models."""
        card = {"id": self.engine.served_name, "object": "model", "created": int(time.time())}
        return card | {"root": str(self.engine.settings.model), "parent": None}

    async def health(self, _request: web.Request) -> web.Response:
        """Answer 200 with nothing, or 503."""
        return web.Response(status=200 if self.healthy else 503)

    async def models(self, _request: web.Request) -> web.Response:
        """List the one model."""
        return web.json_response({"object": "list", "data": [self.model_card()]})

    async def metrics(self, _request: web.Request) -> web.Response:
        """Answer a scrape."""
        return web.Response(body=self.engine.metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    async def leave(self) -> None:
        """End as the engine does on SIGTERM; returns when the process may end."""
        await self.engine.enter(State.DRAINING)
        await self.engine.idle(self.engine.settings.drain_seconds)
        await self.engine.enter(State.CUT)


def of(engine: Engine) -> Interface:
    """Return the interface of the engine that is played."""
    kinds: dict[Flavor, type[Interface]] = {
        Flavor.VLLM: Vllm,
        Flavor.TGI: Tgi,
        Flavor.SGLANG: Sglang,
        Flavor.LLAMACPP: LlamaCpp,
    }
    return kinds[engine.settings.flavor](engine)


class Vllm(Interface):
    """vLLM 0.32.0 as measured: health stays good while leaving, the fingerprint comes with the last chunk only."""

    VERSION = "0.32.0"
    # Middleware guards paths below /v1 only: vllm/entrypoints/openai/api_server.py, AuthenticationMiddleware.
    KEYLESS = frozenset({"/health", "/ping", "/version", "/load", "/metrics"})
    CHECKS_MODEL = True

    @property
    def fingerprint(self) -> str | None:
        return self.engine.settings.fingerprint or f"vllm-{self.version}-00000000"

    def routes(self) -> list[web.RouteDef]:
        return [
            *super().routes(),
            web.get("/ping", self.health),
            web.get("/version", self.show_version),
            web.get("/load", self.load),
        ]

    def refusal(self) -> web.Response | None:
        if self.engine.state is State.READY:
            return None
        return self.error(500, "cannot schedule new futures after shutdown", "failed")

    def model_card(self) -> dict[str, Any]:
        return super().model_card() | {"owned_by": "vllm", "max_model_len": self.engine.settings.context_length}

    async def show_version(self, _request: web.Request) -> web.Response:
        """Answer with the version."""
        return web.json_response({"version": self.version})

    async def load(self, _request: web.Request) -> web.Response:
        """Answer with the number of running requests."""
        return web.json_response({"server_load": self.engine.running})

    async def leave(self) -> None:
        """A stream that outlives the timeout hangs until its client leaves; with a timeout of 0 it ends at once."""
        engine = self.engine
        await engine.enter(State.DRAINING)
        if not await engine.idle(engine.settings.drain_seconds):
            await engine.enter(State.STUCK if engine.settings.drain_seconds else State.CUT)
            await engine.idle(float("inf"))


class Tgi(Interface):
    """text-generation-inference 3.3.7: router/src/server.rs and its OpenAPI document. Leaving, it takes no new connections."""

    VERSION = "3.3.7"
    KEYLESS = frozenset({"/health", "/ping", "/info", "/metrics"})
    LISTENS_WHILE_LEAVING = False

    @property
    def fingerprint(self) -> str | None:
        return f"{self.version}-native"

    def routes(self) -> list[web.RouteDef]:
        return [*super().routes(), web.get("/ping", self.health), web.get("/info", self.info)]

    def error(self, status: int, message: str, kind: str) -> web.Response:
        status, name = (422, "validation") if kind == "invalid" else (status, kind)
        return web.json_response({"error": message, "error_type": name}, status=status)

    def model_card(self) -> dict[str, Any]:
        return {"id": self.engine.served_name, "object": "model", "created": 0, "owned_by": self.engine.served_name}

    async def info(self, _request: web.Request) -> web.Response:
        """Answer with what is served."""
        facts = {"model_id": self.engine.served_name, "model_sha": None, "version": self.version, "sha": None}
        limits = {"max_total_tokens": self.engine.settings.context_length, "router": "text-generation-router"}
        return web.json_response({**facts, **limits, "docker_label": None})


class Sglang(Interface):
    """SGLang 0.5: python/sglang/srt/entrypoints/http_server.py, with the routes that replace weights open to anyone."""

    VERSION = "0.5.23"
    KEYLESS = frozenset({"/health", "/health_generate", "/metrics", "/update_weights_from_disk"})

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._loaded: str | None = None
        self._weight_version: str | None = None

    @property
    def healthy(self) -> bool:
        return super().healthy and self.engine.state is State.READY

    def routes(self) -> list[web.RouteDef]:
        shown = [("/health_generate", self.health), ("/server_info", self.server_info), ("/model_info", self.model_info)]
        old = [("/get_server_info", self.server_info), ("/get_model_info", self.model_info)]
        changing = web.post("/update_weights_from_disk", self.update_weights)
        return [*super().routes(), *(web.get(path, handler) for path, handler in shown + old), changing]

    def error(self, status: int, message: str, kind: str) -> web.Response:
        name = "BadRequestError" if kind == "invalid" else "InternalServerError"
        body = {"object": "error", "message": message, "type": name, "param": None, "code": status}
        return web.json_response(body, status=status)

    def model_card(self) -> dict[str, Any]:
        card = {"owned_by": "sglang", "root": self.engine.served_name, "max_model_len": self.engine.settings.context_length}
        return super().model_card() | card

    async def model_info(self, _request: web.Request) -> web.Response:
        """Answer with what is served."""
        path = str(self.engine.settings.model)
        facts = {"model_path": self._loaded or path, "tokenizer_path": path, "is_generation": True}
        return web.json_response(facts | {"weight_version": self._weight_version or self.engine.settings.weight_version})

    async def server_info(self, _request: web.Request) -> web.Response:
        """Answer with the settings."""
        facts = {"model_path": str(self.engine.settings.model), "served_model_name": self.engine.served_name}
        return web.json_response(facts | {"version": self.version, "internal_states": []})

    async def update_weights(self, request: web.Request) -> web.Response:
        """Replace the weights, as the real one does for whoever reaches it: answers carry another digest from here on."""
        asked = await request.json() if request.can_read_body else {}
        self._loaded, self._weight_version = asked.get("model_path"), asked.get("weight_version")
        self.engine.replaced = True
        return web.json_response({"success": True, "message": "Succeeded to update model weights.", "num_paused_requests": 0})

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer a scrape if the flag is given."""
        return await super().metrics(request) if self.engine.settings.metrics else web.Response(status=404)


class LlamaCpp(Interface):
    """llama.cpp's server: tools/server/README.md. It listens while it loads, and takes any name of a model."""

    VERSION = "b0-unknown"
    KEYLESS = frozenset({"/health", "/v1/health", "/models", "/v1/models"})
    PREFIXES = ("/v1", "")
    FINGERPRINT_IN_EVERY_CHUNK = True
    LISTENS_WHILE_LOADING = True
    LISTENS_WHILE_LEAVING = False

    @property
    def fingerprint(self) -> str | None:
        return self.version

    def routes(self) -> list[web.RouteDef]:
        shown = [("/v1/health", self.health), ("/props", self.props), ("/slots", self.slots)]
        return [*super().routes(), *(web.get(path, handler) for path, handler in shown)]

    def error(self, status: int, message: str, kind: str) -> web.Response:
        names = {"invalid": "invalid_request_error", "missing": "not_found_error", "denied": "authentication_error"}
        names |= {"unavailable": "unavailable_error", "unsupported": "not_supported_error"}
        body = {"error": {"code": status, "message": message, "type": names.get(kind, "server_error")}}
        return web.json_response(body, status=status)

    def refusal(self) -> web.Response | None:
        return self.error(503, "Loading model", "unavailable") if self.engine.state is State.LOADING else None

    def model_card(self) -> dict[str, Any]:
        return super().model_card() | {"owned_by": "llamacpp"}

    async def health(self, _request: web.Request) -> web.Response:
        """Answer with the status."""
        if self.engine.state is State.LOADING:
            return self.error(503, "Loading model", "unavailable")
        return web.json_response({"status": "ok"}) if self.healthy else self.error(503, "unhealthy", "unavailable")

    async def props(self, _request: web.Request) -> web.Response:
        """Answer with properties."""
        facts = {"model_path": str(self.engine.settings.model), "total_slots": 1, "build_info": self.version}
        return web.json_response(facts | {"default_generation_settings": {"n_ctx": self.engine.settings.context_length}})

    async def slots(self, _request: web.Request) -> web.Response:
        """List the slots."""
        return web.json_response([{"id": 0, "is_processing": self.engine.running > 0}])

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer a scrape if the flag is given."""
        if not self.engine.settings.metrics:
            return self.error(501, "This server does not support metrics endpoint. Start it with `--metrics`", "unsupported")
        return await super().metrics(request)

    async def leave(self) -> None:
        """Streams are cut at once."""
