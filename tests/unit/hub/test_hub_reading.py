"""What the real client reads of a repository without downloading it."""

import hashlib
from datetime import UTC, datetime

import pytest
from huggingface_hub import HfApi, RepoFile, RepoFolder, get_session
from huggingface_hub.errors import RemoteEntryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils._http import parse_ratelimit_headers

from testbed.hub import HubAdmin, HubServer, objects

REPO = "lab/model"
PATHS = [".gitattributes", "README.md", "config.json", "weights/model.bin", "weights/notes/a.txt"]


def test_model_info_tells_commit_files_and_card(api: HfApi, head: str) -> None:
    info = api.model_info(REPO)
    assert (info.id, info.sha, info.author) == (REPO, head, "lab")
    assert (info.private, info.gated, info.disabled) == (False, False, False)
    assert [s.rfilename for s in info.siblings or []] == PATHS
    assert info.card_data is not None
    assert info.card_data.license == "apache-2.0"
    assert info.tags == ["transformers", "tiny", "license:apache-2.0", "region:us"]
    assert info.config == {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}


@pytest.mark.parametrize("what", ["", "/refs", "/tree/main"])
def test_an_answer_of_the_api_that_the_client_knows_is_not_sent_again(
    hub: HubServer, admin: HubAdmin, head: str, what: str
) -> None:
    url = f"{hub.url}/api/models/{REPO}{what}"
    first = get_session().get(url)
    again = get_session().get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    admin.commit(REPO, {"new.txt": b"new"})
    changed = get_session().get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert changed.json() != first.json()


def test_model_info_of_a_revision_is_of_that_revision(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.commit(REPO, {"config.json": None})
    assert "config.json" not in [s.rfilename for s in api.model_info(REPO).siblings or []]
    assert "config.json" in [s.rfilename for s in api.model_info(REPO, revision=head).siblings or []]
    assert api.model_info(REPO, revision=head[:8]).sha == head


def test_model_info_with_file_metadata_has_sha256_of_lfs_files_and_git_ids_of_plain_ones(
    api: HfApi, head: str, weights: bytes
) -> None:
    files = {s.rfilename: s for s in api.model_info(REPO, files_metadata=True).siblings or []}
    large, plain = files["weights/model.bin"], files["weights/notes/a.txt"]
    digest = hashlib.sha256(weights).hexdigest()
    pointer = objects.lfs_pointer(digest, len(weights))
    assert large.lfs == {"size": len(weights), "sha256": digest, "pointer_size": len(pointer)}
    assert (large.size, large.blob_id) == (len(weights), objects.blob_id(pointer))
    assert (plain.lfs, plain.size, plain.blob_id) == (None, 17, objects.blob_id(b"about the weights"))


def test_model_info_can_be_limited_to_some_properties(api: HfApi, head: str) -> None:
    info = api.model_info(REPO, expand=["sha", "gated", "lastModified"])
    assert (info.sha, info.gated, info.siblings) == (head, False, None)
    assert info.last_modified == datetime(2026, 1, 5, 13, tzinfo=UTC)


def test_model_info_can_tell_the_security_status(api: HfApi, head: str) -> None:
    info = api.model_info(REPO, securityStatus=True)
    assert info.security_repo_status == {"scansDone": True, "filesWithIssues": []}


def test_changing_the_card_is_a_commit(api: HfApi, admin: HubAdmin, head: str) -> None:
    changed = admin.set_card(REPO, {"license": "other", "license_name": "research-only"})
    info = api.model_info(REPO)
    assert info.sha == changed != head
    assert info.card_data is not None
    assert (info.card_data.license, info.card_data.license_name) == ("other", "research-only")


def test_a_tree_lists_one_level(api: HfApi, head: str) -> None:
    assert [e.path for e in api.list_repo_tree(REPO)] == [".gitattributes", "README.md", "config.json", "weights"]
    assert [e.path for e in api.list_repo_tree(REPO, "weights")] == ["weights/model.bin", "weights/notes"]


def test_a_recursive_tree_lists_files_and_directories_with_their_digests(api: HfApi, head: str, weights: bytes) -> None:
    entries = {e.path: e for e in api.list_repo_tree(REPO, recursive=True, revision=head)}
    assert [p for p, e in entries.items() if isinstance(e, RepoFile)] == PATHS
    assert [p for p, e in entries.items() if isinstance(e, RepoFolder)] == ["weights", "weights/notes"]
    large = entries["weights/model.bin"]
    assert isinstance(large, RepoFile)
    assert large.lfs is not None
    assert large.lfs.sha256 == hashlib.sha256(weights).hexdigest()
    assert large.xet_hash is None


def test_an_expanded_tree_tells_the_last_commit_of_each_path(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.commit(REPO, {"config.json": b"{}"}, title="Change the config")
    entries = {e.path: e for e in api.list_repo_tree(REPO, recursive=True, expand=True)}
    titles = {path: e.last_commit.title for path, e in entries.items() if e.last_commit}
    assert titles[".gitattributes"] == "initial commit"
    assert titles["weights"] == "Publish the model"
    assert titles["config.json"] == "Change the config"


@pytest.mark.parametrize("expand", [False, True])
def test_a_long_tree_comes_in_pages(hub: HubServer, api: HfApi, admin: HubAdmin, head: str, expand: bool) -> None:
    admin.change_settings(page_size=3)
    assert [e.path for e in api.list_repo_tree(REPO, recursive=True, expand=expand)] == sorted(
        [*PATHS, "weights", "weights/notes"]
    )
    assert len(hub.admin.requests("/tree/")) == 3


def test_a_path_that_is_not_in_the_tree_is_not_found(api: HfApi, head: str) -> None:
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(REPO, "nothing/here"))


def test_paths_info_tells_about_known_paths_and_leaves_out_others(api: HfApi, head: str) -> None:
    found = api.get_paths_info(REPO, ["weights", "config.json", "nothing"], expand=True)
    assert [(type(e), e.path) for e in found] == [(RepoFolder, "weights"), (RepoFile, "config.json")]
    assert all(e.last_commit for e in found)


def test_refs_tell_the_heads_of_branches_tags_and_pull_requests(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.move_branch(REPO, "next", head)
    admin.tag(REPO, "v1.0")
    proposed = admin.open_pull_request(REPO, 1, {"config.json": b"{}"}, title="Empty the config")
    refs = api.list_repo_refs(REPO, include_pull_requests=True)
    assert {b.name: b.target_commit for b in refs.branches} == {"main": head, "next": head}
    assert [(t.name, t.ref, t.target_commit) for t in refs.tags] == [("v1.0", "refs/tags/v1.0", head)]
    assert [(p.ref, p.target_commit) for p in refs.pull_requests or []] == [("refs/pr/1", proposed)]
    assert api.list_repo_refs(REPO).pull_requests is None


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/1", "next", "main"])
def test_every_kind_of_ref_is_a_revision(api: HfApi, admin: HubAdmin, head: str, revision: str) -> None:
    admin.tag(REPO, "v1.0")
    admin.move_branch(REPO, "next", head)
    expected = admin.open_pull_request(REPO, 1, {"new.txt": b"new"}, title="Add") if revision == "refs/pr/1" else head
    assert api.model_info(REPO, revision=revision).sha == expected
    assert len(list(api.list_repo_tree(REPO, revision=revision))) == (5 if revision == "refs/pr/1" else 4)


def test_commits_come_youngest_first_and_in_pages(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.change_settings(commit_page_size=2)
    youngest = admin.commit(REPO, {"a.txt": b"a"}, title="Add a", author="alice")
    found = api.list_repo_commits(REPO, formatted=True)
    assert [(c.commit_id, c.title) for c in found[:2]] == [(youngest, "Add a"), (head, "Publish the model")]
    assert [(c.title, c.authors) for c in found[-1:]] == [("initial commit", ["system"])]
    assert (found[0].authors, found[1].message) == (["alice"], "With everything in it.")
    assert found[0].created_at > found[1].created_at > found[2].created_at


def test_an_unknown_revision_is_not_found(api: HfApi, head: str) -> None:
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="v9")
    with pytest.raises(RevisionNotFoundError):
        list(api.list_repo_tree(REPO, revision="0" * 40))


def test_commit_ids_depend_on_content_and_history_alone() -> None:
    histories = []
    for name in ("lab/one", "lab/two"):
        with HubServer() as hub:
            hub.admin.create_repo(name)
            hub.admin.commit(name, {"a.txt": b"a"}, title="Add a")
            hub.admin.commit(name, {"a.txt": b"b"}, title="Add a")
            histories.append(hub.admin.repos().repos[0].commits)
    assert histories[0] == histories[1]
    assert len(set(histories[0])) == 3


def test_every_api_answer_announces_the_rate_limit(hub: HubServer, admin: HubAdmin, head: str) -> None:
    admin.change_settings(quotas={"api": 5}, rate_limit_window_seconds=60)
    limits = [parse_ratelimit_headers(get_session().get(f"{hub.url}/api/models/{p}").headers) for p in (REPO, "no/thing")]
    assert [(i.resource_type, i.remaining, i.limit, i.window_seconds) for i in limits if i] == [
        ("api", 4, 5, 60),
        ("api", 3, 5, 60),
    ]
