"""The resolver and a hub with one model."""

from collections.abc import AsyncIterator, Iterator

import pytest
from pytest_asyncio import fixture

from holdfast.api.found import Question, Taking
from holdfast.api.model import HuggingFaceSource, ModelSource
from holdfast.sources.hub import HubResolver
from testbed.hub import HubServer

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
