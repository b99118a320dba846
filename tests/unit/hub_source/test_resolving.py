"""From a repository and a commit to exact files, through the real client."""

import hashlib

import pytest

from holdfast.api.found import Question, Taking
from holdfast.api.manifest import manifest_digest
from holdfast.api.model import HuggingFaceSource, ModelSource
from holdfast.api.revision import ResolvedHuggingFace
from holdfast.sources.hub import HubResolver
from testbed.hub import HubServer
from unit.hub_source.conftest import CONTENT, REPOSITORY


def declared(commit: str, *, taking: Taking = Taking.SAFETENSORS, python: bool = False, **fields: object) -> Question:
    source = HuggingFaceSource.model_validate({"repository": REPOSITORY, "commit": commit} | fields)
    return Question(source=ModelSource(hugging_face=source), taking=taking, python=python)


async def test_every_file_has_the_sha256_of_its_bytes(resolver: HubResolver, commit: str) -> None:
    found = await resolver.resolve(declared(commit, include=["config.json", "model*", "nested/*"]))
    assert {file.path: (file.size, file.sha256) for file in found.source.files or ()} == {
        path: (len(data), hashlib.sha256(data).hexdigest()) for path, data in CONTENT.items()
    }


async def test_the_answer_names_where_and_what(resolver: HubResolver, hub: HubServer, commit: str) -> None:
    found = await resolver.resolve(declared(commit))
    assert found.source.hugging_face == ResolvedHuggingFace(endpoint=hub.url, repository=REPOSITORY, commit=commit)
    assert found.source.manifest_digest == manifest_digest(found.source.files or ())
    assert [file.path for file in found.source.files or ()] == sorted(file.path for file in found.source.files or ())


async def test_without_include_what_the_engine_reads_counts(resolver: HubResolver, commit: str) -> None:
    found = await resolver.resolve(declared(commit))
    assert {file.path for file in found.source.files or ()} == set(CONTENT)


@pytest.mark.parametrize(
    ("include", "paths"),
    [
        (["*.safetensors"], ["model.safetensors"]),
        (["*.json"], ["config.json", "nested/a b#?%41.json", "nested/tokenizer.json"]),
        (["nested/"], ["nested/a b#?%41.json", "nested/tokenizer.json"]),
        (["config.json", "model.safetensors"], ["config.json", "model.safetensors"]),
        (["CONFIG.json", "*.safetensors"], ["model.safetensors"]),
    ],
)
async def test_include_chooses_by_whole_path(resolver: HubResolver, commit: str, include: list[str], paths: list[str]) -> None:
    found = await resolver.resolve(declared(commit, include=include))
    assert [file.path for file in found.source.files or ()] == paths


async def test_large_files_are_not_downloaded(resolver: HubResolver, hub: HubServer, commit: str) -> None:
    await resolver.resolve(declared(commit))
    assert hub.admin.requests("model.safetensors") == []


async def test_many_pages_of_files_are_one_list(resolver: HubResolver, hub: HubServer) -> None:
    hub.admin.change_settings(page_size=3)
    files = {f"shards/{number:02}.safetensors": b"x" * number for number in range(20)}
    commit = hub.admin.commit(REPOSITORY, dict(files))
    found = await resolver.resolve(declared(commit, include=["shards/"]))
    assert [file.path for file in found.source.files or ()] == sorted(files)


async def test_the_same_commit_is_the_same_list_after_upstream_moved(resolver: HubResolver, hub: HubServer, commit: str) -> None:
    before = (await resolver.resolve(declared(commit))).source
    hub.admin.commit(REPOSITORY, {"config.json": b"{}", "extra.py": b"print()"})
    assert (await resolver.resolve(declared(commit))).source == before


async def test_a_manifest_digest_that_fits_is_accepted(resolver: HubResolver, commit: str) -> None:
    found = await resolver.resolve(declared(commit))
    assert await resolver.resolve(declared(commit, manifest_digest=found.source.manifest_digest)) == found


async def test_a_ref_is_the_commit_it_means_now(resolver: HubResolver, hub: HubServer, commit: str) -> None:
    hub.admin.tag(REPOSITORY, "v1")
    assert await resolver.resolve_ref(REPOSITORY, "main") == commit
    assert await resolver.resolve_ref(REPOSITORY, "v1") == commit
    newer = hub.admin.commit(REPOSITORY, {"config.json": b"{}"})
    assert await resolver.resolve_ref(REPOSITORY, "main") == newer
    assert await resolver.resolve_ref(REPOSITORY, "v1") == commit


async def test_files_are_listed_without_reading_them(resolver: HubResolver, hub: HubServer, commit: str) -> None:
    found = {file.path: file for file in await resolver.repository_files(REPOSITORY, commit)}
    assert found["model.safetensors"].sha256 == hashlib.sha256(CONTENT["model.safetensors"]).hexdigest()
    assert found["config.json"].sha256 is None
    assert hub.admin.requests("/resolve") == []


async def test_a_private_repository_opens_to_its_token(hub: HubServer, commit: str) -> None:
    hub.admin.add_account("team", "hf_sometokensometokensometokensom", organizations=("lab",))
    hub.admin.set_private(REPOSITORY)
    resolver = HubResolver(hub.url, token=lambda: "hf_sometokensometokensometokensom")
    assert (await resolver.resolve(declared(commit))).source.hugging_face is not None
    await resolver.close()


async def test_a_token_of_the_machine_is_never_sent(
    resolver: HubResolver, hub: HubServer, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_machinemachinemachinemachinema")
    await resolver.resolve(declared(commit))
    assert {request.token for request in hub.admin.requests()} == {None}
