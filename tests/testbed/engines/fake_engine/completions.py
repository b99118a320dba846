"""The OpenAI routes: completions and chat completions, whole or as a stream of server-sent events."""

import itertools
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from .engine import ClosedError, Engine, FailedError
from .interface import Interface
from .requests import BadRequestError, Completion, parse

_DONE = b"data: [DONE]\n\n"
_STREAM = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


class Completions:
    """Answers as the interface of one engine shapes it."""

    def __init__(self, engine: Engine, interface: Interface) -> None:
        self._engine = engine
        self._interface = interface
        self._numbers = itertools.count(1)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes below each prefix of the interface."""
        return [
            route
            for prefix in self._interface.PREFIXES
            for route in (
                web.post(f"{prefix}/chat/completions", self._chat),
                web.post(f"{prefix}/completions", self._text),
            )
        ]

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, chat=True)

    async def _text(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, chat=False)

    async def _answer(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        refusal = self._interface.refusal()
        if refusal is not None:
            self._engine.refuse()
            return refusal
        try:
            asked = parse(await request.read(), chat=chat, context_length=self._engine.settings.context_length)
        except BadRequestError as error:
            self._engine.refuse()
            return self._interface.error(400, str(error), "invalid")
        refusal = self._interface.unknown(asked.model)
        if refusal is not None:
            self._engine.refuse()
            return refusal
        response: web.StreamResponse | None = None
        try:
            async with self._engine.serving():
                self._engine.check()
                if not asked.stream:
                    return await self._whole(asked)
                # The status goes out before the first token, as with the real ones: what fails later fails inside the stream.
                response = web.StreamResponse(headers=_STREAM)
                await response.prepare(request)
                async for chunk in self._chunks(asked):
                    await response.write(chunk)
        except FailedError as error:
            failure = self._interface.error(error.status, str(error), "failed")
            if response is None:
                return failure
            await response.write(b"data: " + (failure.text or "").encode() + b"\n\n" + _DONE)
        except ClosedError:
            if request.transport is not None:
                request.transport.abort()
        return response or web.Response()

    async def _whole(self, asked: Completion) -> web.Response:
        tokens = [token async for token in self._engine.generate(asked)]
        body = self._frame(asked, "chat.completion" if asked.chat else "text_completion")
        choice: dict[str, Any] = {"index": 0, "finish_reason": "length", "logprobs": None}
        text = "".join(tokens)
        choice |= {"message": {"role": "assistant", "content": text}} if asked.chat else {"text": text}
        return web.json_response(body | {"choices": [choice], "usage": _usage(asked, len(tokens))} | self._last())

    async def _chunks(self, asked: Completion) -> AsyncIterator[bytes]:
        frame = self._frame(asked, "chat.completion.chunk" if asked.chat else "text_completion")
        everywhere = self._interface.FINGERPRINT_IN_EVERY_CHUNK and self._interface.fingerprint is not None
        if everywhere:
            frame["system_fingerprint"] = self._interface.fingerprint
        count = 0
        async for token in self._engine.generate(asked):
            count += 1
            last = count == asked.max_tokens
            body = frame | {"choices": [_delta(asked, token, first=count == 1, last=last)]}
            if last and not asked.include_usage:
                body |= self._last()
            yield _event(body)
        if asked.include_usage:
            yield _event(frame | {"choices": [], "usage": _usage(asked, count)} | self._last())
        yield _DONE

    def _frame(self, asked: Completion, kind: str) -> dict[str, Any]:
        prefix = "chatcmpl" if asked.chat else "cmpl"
        number = next(self._numbers)
        return {"id": f"{prefix}-{number:08d}", "object": kind, "created": int(time.time()), "model": self._engine.served_name}

    def _last(self) -> dict[str, Any]:
        fingerprint = self._interface.fingerprint
        return {} if fingerprint is None else {"system_fingerprint": fingerprint}


def _delta(asked: Completion, token: str, *, first: bool, last: bool) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": "length" if last else None, "logprobs": None}
    if not asked.chat:
        return choice | {"text": token}
    return choice | {"delta": {"role": "assistant", "content": token} if first else {"content": token}}


def _usage(asked: Completion, generated: int) -> dict[str, int]:
    total = asked.prompt_tokens + generated
    return {"prompt_tokens": asked.prompt_tokens, "completion_tokens": generated, "total_tokens": total}


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"
