"""Whatever a Hub or a registry lists: files that pods may write, or a typed error; never a traceback."""

import asyncio
import hashlib
import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from holdfast.api.found import Found, Question, Taking
from holdfast.api.manifest import manifest_digest, paths_problem
from holdfast.api.model import HuggingFaceSource, ModelSource
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_client import Description, HubClient, RepositoryFile
from holdfast.sources.hub_errors import HubError
from holdfast.sources.hub_records import front_matter
from holdfast.sources.hub_resolution import resolve
from holdfast.sources.registry import resolve_image
from holdfast.sources.registry_access import Credentials, RegistryAccess
from holdfast.sources.registry_errors import RegistryError
from holdfast.sources.registry_reference import parse_reference
from unit.registry import RAW, TITLE, RegistryStandIn

COMMIT = "a" * 40
NAMES = st.sampled_from(
    ["config.json", "model.safetensors", "model-00001-of-00002.safetensors", "tiny.gguf", "x.bin", "m.py", "README.md", "LICENSE"]
)
PARTS = (
    NAMES | st.text(max_size=8) | st.sampled_from(["", ".", "..", "a\x00b", "\u202e", "A", "a", "x" * 300, "original", "e\u0301"])
)
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
CONTENTS = st.binary(max_size=40) | st.sampled_from([b"{}", b"[", b"---\nlicense: [\n---\n", b"\xff\xfe"])
PATTERNS = st.none() | st.lists(st.sampled_from(["*", "*.json", "[", "**", "m.py", "*.bin", "a/"]), min_size=1, max_size=3)


class Client:
    """A Hub that has these files, and says of each what the test wants."""

    endpoint = "https://hub.example"

    def __init__(self, files: dict[str, tuple[bytes, bool, bool]]) -> None:
        self._files = files

    def describe(self, repository: str, commit: str) -> Description:
        del repository
        return Description(commit=commit, gated=None, last_modified=None, security_status=None)

    def files(self, repository: str, commit: str) -> Iterator[RepositoryFile]:
        del repository, commit
        for path, (content, large, honest) in self._files.items():
            told = content if honest else bytes(byte ^ 1 for byte in content) or b"!"
            blob = hashlib.sha1(b"blob %d\0" % len(told) + told, usedforsecurity=False).hexdigest()
            sha256 = hashlib.sha256(told).hexdigest() if large else None
            yield RepositoryFile(path=path, size=len(told), blob=blob, sha256=sha256)

    def refs_to(self, repository: str, commit: str) -> list[str]:
        del repository, commit
        return []

    @contextmanager
    def errors(self) -> Generator[None]:
        yield

    @contextmanager
    def open(self, repository: str, commit: str, path: str) -> Generator[Any]:
        del repository, commit
        yield SimpleNamespace(iter_bytes=lambda: iter([self._files[path][0]]))


@given(
    st.dictionaries(PATHS, st.tuples(CONTENTS, st.booleans(), st.sampled_from([True, True, True, False])), max_size=8),
    PATTERNS,
    st.sampled_from(Taking),
    st.booleans(),
)
@example({"config.json": (b"{}", False, False)}, ["*"], Taking.SAFETENSORS, False)
@example({"config.json": (b"{}", True, False)}, ["*"], Taking.SAFETENSORS, False)
@example({"config.json": (b"{}", False, True), "m.py": (b"x", False, True)}, ["*"], Taking.SAFETENSORS, False)
def test_any_tree_is_a_list_that_pods_may_write_or_an_error(
    files: dict[str, tuple[bytes, bool, bool]], include: list[str] | None, taking: Taking, python: bool
) -> None:
    source = HuggingFaceSource(repository="lab/model", commit=COMMIT, include=include)
    question = Question(source=ModelSource(hugging_face=source), taking=taking, python=python)
    try:
        found = resolve(cast("HubClient", Client(files)), question, source)
    except HubError:
        return
    listed = found.source.files or []
    assert paths_problem([file.path for file in listed]) is None
    assert found.source.manifest_digest == manifest_digest(listed)
    assert python or not any(file.path.endswith(".py") for file in listed)
    for file in listed:
        content, large, honest = files[file.path]
        read = not large or file.path in (found.texts or {})
        assert honest or not read, "bytes that were read are not what the Hub lists"
        assert not honest or file.sha256 == hashlib.sha256(content).hexdigest()


@given(st.binary(max_size=80) | st.sampled_from([b"---\n{[\n---\n", b"---\n&a [*a]\n---\n", b"---\n? [\n---"]))
def test_any_card_is_read_or_says_nothing(card: bytes) -> None:
    assert isinstance(front_matter(card.decode("utf-8", "replace")), dict)


@pytest.fixture(scope="module")
def registry() -> Iterator[RegistryStandIn]:
    with RegistryStandIn() as running:
        yield running


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12), lambda inner: st.lists(inner, max_size=3), max_leaves=6
)
LAYERS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "mediaType": JSON | st.sampled_from([RAW, "application/vnd.oci.image.layer.v1.tar+gzip"]),
            "digest": JSON | st.just("sha256:" + hashlib.sha256(b"{}").hexdigest()),
            "size": JSON | st.just(2),
            "annotations": JSON | st.dictionaries(st.just(TITLE), PATHS | JSON, min_size=1, max_size=1),
        },
    ),
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(JSON | st.fixed_dictionaries({"layers": LAYERS | JSON}))
def test_any_manifest_of_a_registry_is_a_list_or_an_error(registry: RegistryStandIn, manifest: object) -> None:
    registry.blobs["sha256:" + hashlib.sha256(b"{}").hexdigest()] = b"{}"
    digest = registry.push_manifest("models/chat", manifest)
    source = ModelSource.parse({"oci": {"reference": f"{registry.host}/models/chat@{digest}"}})

    async def ask() -> Found | HubError:
        resolver = HubResolver("http://127.0.0.1:1", registries=RegistryAccess())
        try:
            return await resolver.resolve(Question(source=source, taking=Taking.SAFETENSORS))
        except HubError as error:
            return error
        finally:
            await resolver.close()

    answer = asyncio.run(ask())
    if isinstance(answer, Found):
        assert paths_problem([file.path for file in answer.source.files or []]) is None
        json.dumps(answer.source.wire())
    else:
        assert str(answer)


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)
URLS = (
    st.sampled_from(["{url}/token", "https://[", "http://127.0.0.1:1/token", "//", "x:y", "{url}:99999/t", "http://a@b@c/"])
    | TEXT
)
CHALLENGES = TEXT | st.builds('{} {}="{}",service="stand-in"'.format, st.sampled_from(["Bearer", "Basic", "bearer"]), TEXT, URLS)
CHALLENGES |= st.builds('Bearer realm="{}",service="{}"'.format, URLS, TEXT)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    challenge=CHALLENGES,
    redirect=st.none() | URLS.filter(lambda url: "{url}" not in url),
    token=st.binary(max_size=30) | JSON.map(lambda value: json.dumps({"token": value}).encode()),
    for_strangers=st.booleans(),
)
@example(challenge='Bearer realm="{url}/token",service="stand-in"', redirect=None, token=b"[" * 30, for_strangers=False)
def test_whatever_a_registry_wants_is_done_or_an_error(
    registry: RegistryStandIn, challenge: str, redirect: str | None, token: bytes, for_strangers: bool
) -> None:
    how = RegistryAccess(credentials=lambda *_: Credentials(username="me", password="secret"), for_strangers=for_strangers)
    reference = parse_reference(f"registry.invalid/lab/engine@{registry.push('lab/engine', 'v1')}")
    how = replace(how, mirrors={"registry.invalid": [registry.url]})
    registry.access, registry.credentials = "token", ("other", "secret")
    registry.challenge, registry.redirect, registry.token_body = challenge.replace("{url}", registry.url), redirect, token
    try:
        asyncio.run(resolve_image(reference, how))
    except RegistryError as error:
        assert "secret" not in str(error)  # noqa: PT017 # both outcomes are right
    finally:
        registry.access, registry.challenge, registry.redirect, registry.token_body = "open", None, None, None
