"""What is asked, and the tokens of the answer: pure functions of the bytes of the model and of the request."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import Any

_MAX_TOKENS = 16


class BadRequestError(Exception):
    """The request cannot be answered; the message says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Completion:
    """A request for a completion, of the chat kind if `chat`."""

    chat: bool
    model: str
    prompt: str
    prompt_tokens: int
    max_tokens: int
    stream: bool
    include_usage: bool


def parse(body: bytes, *, chat: bool, context_length: int) -> Completion:
    """Read a request's body; raises BadRequestError."""
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadRequestError("the body is not an object")
    prompt = _messages(fields) if chat else _prompt(fields)
    prompt_tokens = max(1, len(prompt.split()))
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens") or _MAX_TOKENS
    if not isinstance(limit, int) or limit < 1:
        raise BadRequestError(f"max_tokens must be a positive number, not {limit!r}")
    if prompt_tokens + limit > context_length:
        raise BadRequestError(
            f"This model's maximum context length is {context_length} tokens. However, you requested {limit} output tokens "
            f"and your prompt contains {prompt_tokens} input tokens."
        )
    options = fields.get("stream_options") or {}
    return Completion(
        chat=chat,
        model=str(fields.get("model") or ""),
        prompt=prompt,
        prompt_tokens=prompt_tokens,
        max_tokens=limit,
        stream=fields.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def tokens(digest: str, request: Completion) -> Iterator[str]:
    """Yield `max_tokens` tokens: the digest of the model, then words that depend on it, on the prompt and on their place."""
    yield digest
    seed = f"{digest}\n{request.prompt}\n".encode()
    for place in range(1, request.max_tokens):
        yield " " + hashlib.sha256(seed + str(place).encode()).hexdigest()[:6]


def _messages(fields: dict[str, Any]) -> str:
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages must be a list with at least one message")
    if not all(isinstance(message, dict) and "role" in message for message in messages):
        raise BadRequestError("each message is an object with a role")
    return "\n".join(f"{message['role']} {_text(message.get('content'))}" for message in messages)


def _text(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content, sort_keys=True)


def _prompt(fields: dict[str, Any]) -> str:
    prompt = fields.get("prompt")
    if not isinstance(prompt, str | list) or not prompt:
        raise BadRequestError("prompt must be a text or a list that is not empty")
    return _text(prompt)
