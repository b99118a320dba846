"""A real API server, a real client of the Hub and a Hub on which things move: what people see of it, and what does not happen."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from apiserver.operator_process import Running, running
from apiserver.space import NAME, Manifest, Namespace
from builders import SETTINGS, model
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_upstream import HubUpstream
from testbed.hub import HubServer

REPOSITORY = "lab/tiny"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as running_hub:
        running_hub.admin.create_repo(REPOSITORY)
        running_hub.admin.commit(REPOSITORY, {"tiny.gguf": b"GGUF" + b"\0" * 2000, "LICENSE": b"terms"})
        running_hub.admin.set_card(REPOSITORY, {"license": "apache-2.0"})
        yield running_hub


@pytest.fixture
def commit(hub: HubServer) -> str:
    return hub.admin.repos().repos[0].refs["refs/heads/main"]


@contextlib.asynccontextmanager
async def operating(space: Namespace, hub: HubServer) -> AsyncIterator[Running]:
    resolver, upstream = HubResolver(hub.url), HubUpstream(hub.url)
    settings = replace(SETTINGS, hub_endpoint=hub.url)
    try:
        async with running(space.name, resolver=resolver, upstream=upstream, settings=settings) as operator:
            yield operator
    finally:
        await resolver.close()
        await upstream.close()


def declare(space: Namespace, commit: str) -> None:
    source = {"huggingFace": {"repository": REPOSITORY, "commit": commit, "include": ["tiny.gguf"]}}
    engine = model()["engine"] | {"options": {"modelFile": "tiny.gguf"}}
    space.declare_spec({"model": {"source": source, "engine": engine}, "upstream": {"checkSeconds": 1}})


def condition(space: Namespace, kind: str) -> str:
    found = next((c for c in space.status().get("conditions", []) if c["type"] == kind), None)
    return f"{found['status']} {found['reason']}" if found else ""


def told(space: Namespace) -> list[str]:
    return [
        event["reason"]
        for event in space.read("events")["items"]
        if event.get("reportingController") == "holdfast.dev/operator" and event["reason"].startswith("Upstream")
    ]


def rest_of(status: Manifest) -> Manifest:
    return {name: value for name, value in status.items() if name not in ("conditions", "upstream")}


async def test_a_branch_that_moves_is_seen_at_the_next_check_and_moves_nothing(
    space: Namespace, hub: HubServer, commit: str
) -> None:
    async with operating(space, hub) as operator:
        declare(space, commit)
        await operator.until(lambda: condition(space, "UpstreamMoved") == "False UpstreamUnchanged", "a first check")
        assert condition(space, "UpstreamAvailable") == "True UpstreamAvailable"
        before, revisions = rest_of(space.status()), space.read("modelrevisions")["items"]
        head = hub.admin.commit(REPOSITORY, {"tiny.gguf": b"GGUF" + b"\1" * 2000})
        await operator.until(lambda: condition(space, "UpstreamMoved") == "True UpstreamMoved", "the move")
        assert space.status()["upstream"]["sources"][0]["head"] == head
        await operator.rest()
        assert rest_of(space.status()) == before
        assert space.read("modelrevisions")["items"] == revisions
        assert not space.exists("deployments", f"{NAME}-2")
        await operator.until(lambda: told(space) == ["UpstreamMoved"], "its Event, which follows the status")


async def test_a_commit_that_is_squashed_away_is_warned_of(space: Namespace, hub: HubServer, commit: str) -> None:
    async with operating(space, hub) as operator:
        declare(space, commit)
        await operator.until(lambda: condition(space, "UpstreamAvailable") == "True UpstreamAvailable", "a first check")
        hub.admin.squash(REPOSITORY)
        await operator.until(lambda: condition(space, "UpstreamAvailable") == "False UpstreamGone", "the warning")
        await operator.until(lambda: "UpstreamGone" in told(space), "its Event, which follows the status")


async def test_a_restart_and_more_checks_of_what_did_not_change_write_nothing(
    space: Namespace, hub: HubServer, commit: str
) -> None:
    async with operating(space, hub) as operator:
        declare(space, commit)
        await operator.until(lambda: condition(space, "UpstreamMoved") == "False UpstreamUnchanged", "a first check")
        await operator.rest()
    before, asked = space.versions(), hub.admin.counters().total_requests
    async with operating(space, hub) as operator:
        await operator.until(lambda: hub.admin.counters().total_requests >= asked + 6, "two more checks")
        await operator.rest()
        assert operator.writes == []
    assert space.versions() == before
