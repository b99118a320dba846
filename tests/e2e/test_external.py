"""The way out to somebody else's endpoint, when nothing of one's own can be trusted or nothing of it serves."""

from collections.abc import Iterator

import pytest

from e2e.provider import Provider, provide
from e2e.story import NAME, declare, no_failures, only, resumed, serve_first
from stage.team import Team
from stage.wait import until
from testbed import Testbed


@pytest.fixture
def provider(bed: Testbed, team: Team) -> Iterator[Provider]:
    namespace = f"outside-{team.namespace}"
    yield provide(bed, namespace, model="general-purpose-1")
    bed.kubectl.run("delete", "namespace", namespace, "--wait=false")


def declared(provider: Provider) -> dict[str, object]:
    return {"external": [{"name": "desk", "url": provider.url, "model": provider.model}]}


def test_all_traffic_goes_to_the_provider_and_comes_back(
    team: Team, commits: tuple[str, str], engine: str, provider: Provider
) -> None:
    serve_first(team, commits[0], engine, fallback=declared(provider))
    with team.traffic(NAME) as traffic:
        only(traffic, "1")
        team.must("fallback", NAME, "--to", "external/desk", "--yes", "--wait", "--reason", "the weights are in doubt")
        only(traffic, "desk")
        assert team.condition(NAME, "Ready")["status"] == "True"
        team.must("resume", NAME, "--yes", "--reason", "they are what they should be")
        resumed(team)
        only(traffic, "1")
    no_failures(traffic)
    assert provider.answered() == traffic.counts().by_revision["desk"], "each answer of the desk is the provider's"


def test_the_provider_answers_while_no_pod_of_ours_does(
    team: Team, commits: tuple[str, str], engine: str, provider: Provider
) -> None:
    serve_first(team, commits[0], engine, fallback=declared(provider))
    declare(team, commits[0], engine, fallback=declared(provider), serving={"replicas": 0})
    until(lambda: not team.pods(NAME), what="the end of the only engine pod")
    team.must("fallback", NAME, "--to", "external/desk", "--yes", "--wait", "--reason", "nothing serves")
    with team.traffic(NAME) as traffic:
        only(traffic, "desk")
    no_failures(traffic)
