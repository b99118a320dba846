"""The repositories of the demo."""

from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from testbed.hub import HubServer, publish_demo_update, seed_demo


def lfs_digest(api: HfApi, repo: str, path: str, revision: str) -> str | None:
    files = api.model_info(repo, revision=revision, files_metadata=True).siblings or []
    return next(f.lfs.sha256 for f in files if f.rfilename == path and f.lfs)


def test_upstream_has_two_versions_of_the_model_in_both_formats(hub: HubServer, api: HfApi) -> None:
    demo = seed_demo(hub.admin)
    for repo, path, (first, second) in (
        ("holdfast/tiny-chat", "model.safetensors", demo.chat),
        ("holdfast/tiny-chat-GGUF", "tiny.gguf", demo.chat_gguf),
    ):
        assert api.model_info(repo).sha == second
        assert api.model_info(repo, revision="v1").sha == first
        assert second is not None
        assert lfs_digest(api, repo, path, first) != lfs_digest(api, repo, path, second)
        assert [c.commit_id for c in api.list_repo_commits(repo)][:2] == [second, first]


def test_the_update_can_come_later(hub: HubServer, api: HfApi) -> None:
    demo = seed_demo(hub.admin, update=False)
    assert demo.chat[1] is None
    assert api.model_info("holdfast/tiny-chat").sha == demo.chat[0]
    updated = publish_demo_update(hub.admin, demo)
    assert api.model_info("holdfast/tiny-chat").sha == updated.chat[1]
    with HubServer() as other:
        assert seed_demo(other.admin) == updated


def test_the_card_and_the_licence_are_there(hub: HubServer, api: HfApi) -> None:
    seed_demo(hub.admin)
    info = api.model_info("holdfast/tiny-chat")
    assert info.card_data is not None
    assert (info.card_data.license, info.pipeline_tag, info.library_name) == ("apache-2.0", "text-generation", "transformers")
    licence = Path(api.hf_hub_download("holdfast/tiny-chat", "LICENSE")).read_text()
    assert "Apache License" in licence


def test_one_repository_is_gated_and_one_private(hub: HubServer, api: HfApi) -> None:
    demo = seed_demo(hub.admin)
    with pytest.raises(GatedRepoError):
        api.auth_check("holdfast/tiny-chat-gated", token=demo.visitor_token)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("holdfast/tiny-chat-private", token=demo.visitor_token)
    assert api.model_info("holdfast/tiny-chat-private", token=demo.owner_token).sha == demo.private
    api.auth_check("holdfast/tiny-chat-gated", token=demo.owner_token)
