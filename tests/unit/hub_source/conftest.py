"""The resolver and a hub with one model; registries with names and certificates of their own."""

import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from pytest_asyncio import fixture

from holdfast.api.found import Question, Taking
from holdfast.api.model import HuggingFaceSource, ModelSource
from holdfast.sources import registry as registry_module
from holdfast.sources.hub import HubResolver
from holdfast.sources.registry_exchange import open_session
from testbed.hub import HubServer
from unit.gateway.certificates import certificate
from unit.hub_source.registries import SECRET, Secret, Start
from unit.registry import RegistryStandIn

REPOSITORY = "lab/model"
CONTENT = {
    "config.json": b'{"architectures": ["Qwen2ForCausalLM"]}',
    "model.safetensors": b"weights" * 10_000,
    "nested/a b#?%41.json": b"{}",
    "nested/tokenizer.json": b'{"version": "1.0"}',
}


def asking(source: HuggingFaceSource) -> Question:
    """Return the question for a model of safetensors."""
    return Question(source=ModelSource(hugging_face=source), taking=Taking.SAFETENSORS)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as running:
        running.admin.create_repo(REPOSITORY)
        yield running


@pytest.fixture
def commit(hub: HubServer) -> str:
    return hub.admin.commit(REPOSITORY, dict(CONTENT))


@fixture
async def resolver(hub: HubServer) -> AsyncIterator[HubResolver]:
    """A resolver that gives up soon."""
    made = HubResolver(hub.url, request_seconds=1.0, total_seconds=10.0)
    yield made
    await made.close()


class _Names(AbstractResolver):
    """Every name leads to this machine."""

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        flags = socket.AI_NUMERICHOST
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=flags)]

    async def close(self) -> None: ...


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start registries that speak https under names of their own, which the operator's requests are led to."""
    trusted = ssl.create_default_context()

    def connector() -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(resolver=_Names(), ssl=trusted)

    monkeypatch.setattr(registry_module, "open_session", lambda: open_session(connector()))
    with ExitStack() as stack:

        def make(name: str) -> RegistryStandIn:
            folder = tmp_path / name
            folder.mkdir()
            authority, context = certificate(folder, name)
            trusted.load_verify_locations(authority)
            return stack.enter_context(RegistryStandIn(name=name, tls=context))

        yield make


@pytest.fixture
def private(start: Start) -> RegistryStandIn:
    """A registry that wants credentials."""
    made = start("registry.example")
    made.access, made.credentials = "token", SECRET
    return made


@pytest.fixture
def secret(tmp_path: Path) -> Secret:
    """Write the operator's Secret: credentials for these keys."""

    def write(*keys: str, login: tuple[str, str] = SECRET) -> Path:
        path = tmp_path / "config.json"
        auths = {key: {"username": login[0], "password": login[1]} for key in keys}
        path.write_text(json.dumps({"auths": auths}))
        return path

    return write
