"""A fake engine in this process, listening on loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from testbed.engines.fake_engine.arguments import parse
from testbed.engines.fake_engine.server import Server
from unit.engines.fake import COMMANDS, Fake, Start, eventually


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def start(model: Path) -> Start:
    """Start a fake: flavor, further arguments, and environment variables by name; ready inside the block."""

    @contextlib.asynccontextmanager
    async def started(flavor: str, *arguments: str, **environment: str) -> AsyncIterator[Fake]:
        async with aiohttp.ClientSession() as client:
            fake = _fake(flavor, model, arguments, environment, client)
            async with fake.server.running():
                yield fake

    return started


@pytest.fixture
def start_loading(model: Path) -> Start:
    """Like `start`, but it may still be loading."""

    @contextlib.asynccontextmanager
    async def started(flavor: str, *arguments: str, **environment: str) -> AsyncIterator[Fake]:
        async with aiohttp.ClientSession() as client:
            fake = _fake(flavor, model, arguments, environment, client)

            async def serve() -> None:
                async with fake.server.running():
                    await asyncio.Event().wait()

            serving = asyncio.create_task(serve())
            await eventually(lambda: fake.server.addresses[1] != "")
            yield fake
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    return started


def _fake(
    flavor: str, model: Path, arguments: tuple[str, ...], environment: dict[str, str], client: aiohttp.ClientSession
) -> Fake:
    program, *rest = (word.format(model=model) for word in COMMANDS[flavor])
    settings = parse(program, [*rest, *arguments], environment)
    ended: list[int] = []
    return Fake(Server(settings, environment, control_port=0, end=ended.append), client, ended)
