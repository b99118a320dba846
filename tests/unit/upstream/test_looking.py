"""One look at a repository on a real client and a strict hub: what it shows, what it costs, and what is no answer."""

from collections.abc import AsyncIterator, Iterator

import pytest
from pytest_asyncio import fixture

from holdfast.domain.snapshot import RepositoryMissing, RepositorySeen
from holdfast.sources.hub_errors import SourceForbiddenError, SourceUnavailableError
from holdfast.sources.hub_upstream import HubUpstream, Look
from testbed.hub import HubServer, RateLimited, Status

REPO = "lab/model"
CARD = {"license": "apache-2.0"}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as running:
        running.admin.create_repo(REPO)
        running.admin.commit(REPO, {"LICENSE": b"terms", "config.json": b"{}", "nested/LICENSE": b"other"})
        running.admin.set_card(REPO, CARD)
        yield running


@pytest.fixture
def head(hub: HubServer) -> str:
    return next(each.refs["refs/heads/main"] for each in hub.admin.repos().repos)


@fixture
async def upstream(hub: HubServer) -> AsyncIterator[HubUpstream]:
    made = HubUpstream(hub.url, request_seconds=1.0)
    yield made
    await made.close()


def seen(look: Look) -> RepositorySeen:
    assert isinstance(look.found, RepositorySeen)
    return look.found


async def test_a_look_tells_refs_gate_license_and_the_hashes_of_card_and_terms(
    hub: HubServer, upstream: HubUpstream, head: str
) -> None:
    hub.admin.tag(REPO, "v1", head)
    found = seen(await upstream.look(REPO, [head]))
    assert found.name == REPO
    assert found.refs == {"refs/heads/main": head, "refs/tags/v1": head}
    assert (found.gated, found.license) == (False, "apache-2.0")
    assert sorted(found.texts) == ["LICENSE", "README.md"]
    assert found.commits == {head: found.texts}


async def test_a_look_costs_two_requests_and_one_for_each_commit(hub: HubServer, upstream: HubUpstream, head: str) -> None:
    look = await upstream.look(REPO, [head, "0" * 40])
    assert look.requests == 4
    assert hub.admin.counters().total_requests == 4


async def test_an_unchanged_repository_is_sent_once(hub: HubServer, upstream: HubUpstream, head: str) -> None:
    first = await upstream.look(REPO, [head])
    before = len(hub.admin.requests())
    again = await upstream.look(REPO, [head])
    assert again.found == first.found
    assert [request.status for request in hub.admin.requests(after=before)] == [304, 304, 304]


async def test_a_changed_branch_is_seen_though_it_was_asked_for_before(hub: HubServer, upstream: HubUpstream, head: str) -> None:
    await upstream.look(REPO, [head])
    moved = hub.admin.commit(REPO, {"config.json": b'{"a": 1}'})
    assert seen(await upstream.look(REPO, [head])).refs["refs/heads/main"] == moved


async def test_what_the_hub_says_of_its_limit_is_handed_on(hub: HubServer, upstream: HubUpstream, head: str) -> None:
    hub.admin.change_settings(quotas={"api": 500})
    allowance = (await upstream.look(REPO, [head])).allowance
    assert allowance is not None
    assert (allowance.remaining, allowance.limit) == (497, 500)


async def test_a_commit_that_was_squashed_away_is_missed(hub: HubServer, upstream: HubUpstream, head: str) -> None:
    hub.admin.squash(REPO)
    assert seen(await upstream.look(REPO, [head])).commits == {head: None}


async def test_a_commit_that_only_a_branch_still_names_is_missed(hub: HubServer, upstream: HubUpstream, head: str) -> None:
    hub.admin.delete_commit(REPO, head)
    found = seen(await upstream.look(REPO, [head]))
    assert found.refs["refs/heads/main"] == head
    assert found.commits == {head: None}


async def test_a_renamed_repository_tells_its_new_name(hub: HubServer, upstream: HubUpstream, head: str) -> None:
    hub.admin.rename(REPO, "other/model")
    look = await upstream.look(REPO, [head])
    assert seen(look).name == "other/model"
    assert seen(look).commits[head] is not None
    assert look.requests == hub.admin.counters().total_requests == 4


@pytest.mark.parametrize("how", ["deleted", "made private"])
async def test_a_repository_that_the_hub_does_not_show_is_missing(
    hub: HubServer, upstream: HubUpstream, head: str, how: str
) -> None:
    if how == "deleted":
        hub.admin.delete_repo(REPO)
    else:
        hub.admin.set_private(REPO)
    assert (await upstream.look(REPO, [head])).found == RepositoryMissing()


async def test_a_disabled_repository_is_missing_and_says_so(hub: HubServer, upstream: HubUpstream, head: str) -> None:
    hub.admin.set_disabled(REPO)
    assert (await upstream.look(REPO, [head])).found == RepositoryMissing(disabled=True)


async def test_a_gated_repository_is_looked_at_without_a_token(hub: HubServer, upstream: HubUpstream, head: str) -> None:
    hub.admin.set_gated(REPO, "manual")
    found = seen(await upstream.look(REPO, [head]))
    assert found.gated
    assert found.commits[head] is not None


async def test_a_private_repository_is_looked_at_with_the_operators_token(hub: HubServer, head: str) -> None:
    hub.admin.add_account("operator", "hf_secret", organizations=("lab",))
    hub.admin.set_private(REPO)
    upstream = HubUpstream(hub.url, token=lambda: "hf_secret")
    assert seen(await upstream.look(REPO, [head])).commits[head] is not None
    await upstream.close()


async def test_what_one_account_was_shown_is_not_told_to_another(hub: HubServer, head: str) -> None:
    hub.admin.add_account("operator", "hf_secret", organizations=("lab",))
    tokens: list[str | None] = ["hf_secret", None]
    upstream = HubUpstream(hub.url, token=lambda: tokens.pop(0))
    await upstream.look(REPO, [head])
    hub.admin.set_private(REPO)
    assert (await upstream.look(REPO, [head])).found == RepositoryMissing()
    await upstream.close()


async def test_a_token_that_is_not_valid_says_nothing_about_the_repository(hub: HubServer, head: str) -> None:
    upstream = HubUpstream(hub.url, token=lambda: "hf_revoked")
    with pytest.raises(SourceForbiddenError):
        await upstream.look(REPO, [head])
    await upstream.close()


async def test_the_end_of_a_limit_is_told(hub: HubServer, upstream: HubUpstream, head: str) -> None:
    hub.admin.add_fault(RateLimited(match=".", reset_seconds=42))
    with pytest.raises(SourceUnavailableError) as caught:
        await upstream.look(REPO, [head])
    assert caught.value.retry_after == 43.0


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_a_server_that_is_no_hub_says_nothing_about_the_repository(
    hub: HubServer, upstream: HubUpstream, head: str, status: int
) -> None:
    hub.admin.add_fault(Status(match=".", status=status))
    with pytest.raises(SourceUnavailableError):
        await upstream.look(REPO, [head])


async def test_a_repository_without_its_default_branch_is_looked_at(hub: HubServer, upstream: HubUpstream, head: str) -> None:
    hub.admin.tag(REPO, "v1", head)
    hub.admin.delete_branch(REPO, "main")
    assert seen(await upstream.look(REPO, [head])).refs == {"refs/tags/v1": head}
