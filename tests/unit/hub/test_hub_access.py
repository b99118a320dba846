"""Private, gated, disabled and renamed repositories, as the real client tells them apart."""

from collections.abc import Callable
from typing import Literal

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from testbed.hub import HubAdmin, HubServer

REPO = "lab/model"
Download = Callable[..., bytes]


@pytest.fixture(autouse=True)
def _accounts(admin: HubAdmin) -> None:
    admin.add_account("member", "hf_member", organizations=("lab",))
    admin.add_account("visitor", "hf_visitor")


def refusal(api: HfApi, repo: str, token: str | bool) -> tuple[type[Exception], int, str | None]:
    with pytest.raises(HfHubHTTPError) as refused:
        api.auth_check(repo, token=token)
    response = refused.value.response
    return type(refused.value), response.status_code, response.headers.get("X-Error-Code")


def test_a_missing_repository_answers_401_to_strangers_and_404_to_users(api: HfApi) -> None:
    assert refusal(api, "lab/nothing", False) == (RepositoryNotFoundError, 401, "RepoNotFound")
    assert refusal(api, "lab/nothing", "hf_visitor") == (RepositoryNotFoundError, 404, "RepoNotFound")


def test_a_private_repository_looks_missing_to_all_but_its_people(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.set_private(REPO)
    assert refusal(api, REPO, False) == refusal(api, "lab/nothing", False)
    assert refusal(api, REPO, "hf_visitor") == refusal(api, "lab/nothing", "hf_visitor")
    info = api.model_info(REPO, token="hf_member")
    assert (info.private, info.sha) == (True, head)


def test_a_private_repository_can_be_published(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.set_private(REPO)
    admin.set_private(REPO, False)
    assert api.model_info(REPO).private is False


@pytest.mark.parametrize("kind", ["auto", "manual"])
def test_a_gated_repository_shows_metadata_and_tree_but_no_file(
    api: HfApi, admin: HubAdmin, download: Download, head: str, kind: Literal["auto", "manual"]
) -> None:
    admin.set_gated(REPO, kind)
    assert (api.model_info(REPO).gated, api.model_info(REPO).sha) == (kind, head)
    assert len(list(api.list_repo_tree(REPO, recursive=True))) == 7
    with pytest.raises(GatedRepoError):
        download("config.json")
    assert refusal(api, REPO, False) == (GatedRepoError, 401, "GatedRepo")
    assert refusal(api, REPO, "hf_visitor") == (GatedRepoError, 403, "GatedRepo")


def test_the_gate_opens_for_whom_it_was_granted_and_for_the_owners_people(
    admin: HubAdmin, download: Download, head: str, weights: bytes
) -> None:
    admin.set_gated(REPO)
    assert download("weights/model.bin", token="hf_member") == weights
    admin.grant_access(REPO, "visitor")
    assert download("config.json", token="hf_visitor").startswith(b"{")
    admin.revoke_access(REPO, "visitor")
    with pytest.raises(GatedRepoError):
        download("README.md", token="hf_visitor")


def test_a_gate_can_be_removed(api: HfApi, admin: HubAdmin, download: Download, head: str) -> None:
    admin.set_gated(REPO, "manual")
    admin.set_gated(REPO, False)
    assert api.model_info(REPO).gated is False
    assert download("config.json").startswith(b"{")


def test_a_disabled_repository_is_refused_in_the_hubs_words(api: HfApi, admin: HubAdmin, download: Download, head: str) -> None:
    admin.set_disabled(REPO)
    with pytest.raises(DisabledRepoError):
        api.model_info(REPO)
    with pytest.raises(LocalEntryNotFoundError) as refused:
        download("config.json")
    assert isinstance(refused.value.__cause__, DisabledRepoError)


def test_a_renamed_repository_is_reached_by_its_old_name(
    api: HfApi, admin: HubAdmin, download: Download, head: str, weights: bytes
) -> None:
    admin.rename(REPO, "lab/new-name")
    info = api.model_info(REPO)
    assert (info.id, info.sha) == ("lab/new-name", head)
    assert len(list(api.list_repo_tree(REPO, recursive=True))) == 7
    assert [e.path for e in api.get_paths_info(REPO, ["config.json"])] == ["config.json"]
    assert download("weights/model.bin") == weights
    assert download("config.json").startswith(b"{")
    assert [r.status for r in admin.requests(f"HEAD /{REPO}/resolve")] == [307, 307]


def test_renaming_twice_redirects_from_both_old_names(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.rename(REPO, "lab/second")
    admin.rename("lab/second", "other/third")
    assert {api.model_info(name).id for name in (REPO, "lab/second", "other/third")} == {"other/third"}


def test_an_old_name_can_be_taken_over_by_another_repository(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.rename(REPO, "lab/new-name")
    taken = admin.create_repo(REPO)
    assert (api.model_info(REPO).id, api.model_info(REPO).sha) == (REPO, taken)
    assert api.model_info("lab/new-name").sha == head


def test_taking_over_a_middle_name_leaves_the_first_redirect_alone(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.rename(REPO, "lab/second")
    admin.rename("lab/second", "lab/third")
    admin.create_repo("lab/second")
    assert api.model_info(REPO).id == "lab/third"


def test_a_deleted_repository_is_missing(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.delete_repo(REPO)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info(REPO)


def test_whoami_names_the_holder_of_the_token(api: HfApi) -> None:
    told = api.whoami(token="hf_member")
    assert (told["name"], [o["name"] for o in told["orgs"]]) == ("member", ["lab"])


def test_a_token_of_nobody_is_refused_also_for_public_repositories(hub: HubServer, admin: HubAdmin, head: str) -> None:
    admin.delete_account("visitor")
    with pytest.raises(HfHubHTTPError) as refused:
        HfApi(endpoint=hub.url, token="hf_visitor").model_info(REPO)
    assert type(refused.value) is HfHubHTTPError
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["X-Error-Message"] == "Invalid credentials in Authorization header"


def test_the_log_names_the_caller_and_never_the_token(api: HfApi, admin: HubAdmin, head: str) -> None:
    api.model_info(REPO, token="hf_member")
    with pytest.raises(HfHubHTTPError):
        api.model_info(REPO, token="hf_somebody")
    api.model_info(REPO)
    logged = admin.requests()
    assert [r.caller for r in logged] == ["member", "unknown", "anonymous"]
    assert "hf_member" not in "".join(r.model_dump_json() for r in logged)
    assert len({r.token for r in logged}) == 3
    assert admin.requests(after=logged[1].number) == logged[2:]
