"""A running fake engine as tests see it."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import aiohttp

from testbed.engines.fake_engine.server import Server

COMMANDS = {
    "vllm": ("vllm", "serve", "{model}", "--served-model-name=chat", "--host=127.0.0.1", "--port=0"),
    "tgi": ("text-generation-launcher", "--model-id={model}", "--hostname=127.0.0.1", "--port=0"),
    "sglang": ("sglang", "--model-path={model}", "--served-model-name=chat", "--host=127.0.0.1", "--port=0"),
    "llamacpp": ("llama-server", "--model", "{model}", "--alias", "chat", "--host", "127.0.0.1", "--port", "0"),
}


@dataclass(frozen=True, slots=True)
class Fake:
    """A running fake engine and a client for it. `ended` gets the exit codes of faults that end the process."""

    server: Server
    client: aiohttp.ClientSession
    ended: list[int]

    @property
    def url(self) -> str:
        return f"http://{self.server.addresses[0]}"

    @property
    def control(self) -> str:
        return f"http://127.0.0.1:{self.server.addresses[1].rpartition(':')[2]}"

    async def get(self, path: str) -> tuple[int, str]:
        async with self.client.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def json(self, path: str) -> Any:
        status, text = await self.get(path)
        assert status == 200, text
        return json.loads(text)

    async def fault(self, **faults: object) -> None:
        async with self.client.post(f"{self.control}/fake/faults", json=faults) as answer:
            assert answer.status == 200, await answer.text()

    async def chat(self, prompt: str = "hello", *, headers: Mapping[str, str] | None = None, **fields: object) -> tuple[int, Any]:
        body = {"model": "chat", "messages": [{"role": "user", "content": prompt}], **fields}
        async with self.client.post(f"{self.url}/v1/chat/completions", json=body, headers=headers) as answer:
            return answer.status, json.loads(await answer.text())

    async def stream(self, **fields: object) -> tuple[int, list[Any]]:
        """The events of a streamed answer; `[DONE]` as text."""
        body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "stream": True, **fields}
        async with self.client.post(f"{self.url}/v1/chat/completions", json=body) as answer:
            lines = (await answer.text()).split("\n\n")
            events = [line.removeprefix("data: ") for line in lines if line]
            return answer.status, [event if event == "[DONE]" else json.loads(event) for event in events]


Start = Callable[..., AbstractAsyncContextManager[Fake]]
"""The fixture `start`."""


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; raises TimeoutError after ten seconds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (what is waited for knows nothing of its observers)
            await asyncio.sleep(0)
