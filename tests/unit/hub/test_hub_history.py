"""History that moves, is rewritten or is lost, as upstreams do it."""

from collections.abc import Callable

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import RevisionNotFoundError

from testbed.hub import HubAdmin, HubAdminError

REPO = "lab/model"
Download = Callable[..., bytes]


def test_a_branch_can_be_moved_back(api: HfApi, admin: HubAdmin, head: str) -> None:
    newer = admin.commit(REPO, {"a.txt": b"a"})
    assert api.model_info(REPO).sha == newer
    admin.move_branch(REPO, "main", head)
    assert api.model_info(REPO).sha == head
    assert api.model_info(REPO, revision=newer).sha == newer


def test_a_tag_can_be_moved_and_deleted(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.tag(REPO, "v1", head)
    newer = admin.commit(REPO, {"a.txt": b"a"})
    admin.tag(REPO, "v1", newer)
    assert api.model_info(REPO, revision="v1").sha == newer
    admin.delete_tag(REPO, "v1")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="v1")


def test_a_deleted_branch_is_not_found(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.move_branch(REPO, "next", head)
    admin.delete_branch(REPO, "next")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="next")


def test_squashing_keeps_the_files_and_loses_the_old_commits(
    api: HfApi, admin: HubAdmin, download: Download, head: str, weights: bytes
) -> None:
    squashed = admin.squash(REPO)
    assert api.model_info(REPO).sha == squashed != head
    assert [c.commit_id for c in api.list_repo_commits(REPO)] == [squashed]
    assert download("weights/model.bin") == weights
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision=head)
    with pytest.raises(RevisionNotFoundError):
        download("config.json", revision=head)


def test_squashing_keeps_commits_that_a_tag_leads_to(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.tag(REPO, "v1", head)
    admin.squash(REPO)
    assert api.model_info(REPO, revision=head).sha == head


def test_a_commit_can_vanish_under_its_branch(api: HfApi, admin: HubAdmin, download: Download, head: str) -> None:
    """Model info goes on naming the dead commit while every file is gone (huggingface_hub issue 3406)."""
    admin.delete_commit(REPO, head)
    assert api.model_info(REPO).sha == head
    for revision in ("main", head):
        with pytest.raises(RevisionNotFoundError):
            list(api.list_repo_tree(REPO, revision=revision))
        with pytest.raises(RevisionNotFoundError):
            download("config.json", revision=revision)
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision=head)


def test_files_can_be_deleted_and_a_delete_of_nothing_is_refused(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.commit(REPO, {"weights/notes/a.txt": None})
    assert "weights/notes" not in [e.path for e in api.list_repo_tree(REPO, recursive=True)]
    with pytest.raises(HubAdminError, match="is not in 'refs/heads/main'"):
        admin.commit(REPO, {"weights/notes/a.txt": None})


@pytest.mark.parametrize("path", ["/a", "a/../b", "../a", "a//b", "a/", ".", ""])
def test_paths_outside_a_repository_are_refused(admin: HubAdmin, head: str, path: str) -> None:
    with pytest.raises(HubAdminError, match="is not a path inside a repository"):
        admin.commit(REPO, {path: b"x"})


def test_a_path_cannot_be_a_file_and_a_directory(admin: HubAdmin, head: str) -> None:
    with pytest.raises(HubAdminError, match="cannot be a file and a directory"):
        admin.commit(REPO, {"weights": b"x"})


@pytest.mark.parametrize("name", ["model", "lab/model/more", "lab/", "la b/model", "lab/model"])
def test_repository_names_that_the_hub_would_not_take_are_refused(admin: HubAdmin, head: str, name: str) -> None:
    with pytest.raises(HubAdminError, match=r"not a repository id|exists already"):
        admin.create_repo(name)
