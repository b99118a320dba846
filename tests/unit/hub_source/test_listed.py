"""A list of files that came with the manifest: nobody is asked, and no list is believed that pods could not write."""

from typing import Any

import pytest

from holdfast.api.found import Question, Taking
from holdfast.api.manifest import manifest_digest
from holdfast.api.model import File, ModelSource
from holdfast.api.reasons import Reason
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_errors import HubError

FILES = [{"path": "config.json", "size": 2, "sha256": "1" * 64}, {"path": "model.safetensors", "size": 9, "sha256": "2" * 64}]
DIGEST = manifest_digest([File.parse(file) for file in FILES])
HUB = {"repository": "lab/model", "commit": "a" * 40}
OCI = {"reference": "registry.example/models/chat@sha256:" + "3" * 64}
VOLUME = {"claimName": "models", "manifestDigest": DIGEST}
KINDS = {"huggingFace": HUB, "oci": OCI, "volume": VOLUME}


def question(kind: str, *, python: bool = False, **fields: Any) -> Question:
    source = ModelSource.parse({kind: KINDS[kind] | {"files": FILES} | fields})
    return Question(source=source, taking=Taking.SAFETENSORS, python=python)


async def resolve(asked: Question) -> dict[str, Any]:
    resolver = HubResolver("http://127.0.0.1:1")  # nobody listens there
    try:
        return (await resolver.resolve(asked)).source.wire()
    finally:
        await resolver.close()


async def refused(asked: Question) -> HubError:
    with pytest.raises(HubError) as raised:
        await resolve(asked)
    return raised.value


@pytest.mark.parametrize(
    ("kind", "origin"),
    [
        ("huggingFace", {"endpoint": "http://127.0.0.1:1", **HUB}),
        ("oci", OCI),
        ("volume", {"claimName": "models"}),
    ],
)
async def test_nobody_is_asked(kind: str, origin: dict[str, Any]) -> None:
    assert await resolve(question(kind)) == {kind: origin, "manifestDigest": DIGEST, "files": FILES}


async def test_a_volume_may_carry_its_own_list() -> None:
    asked = Question(source=ModelSource.parse({"volume": VOLUME | {"path": "llama/3.1"}}), taking=Taking.SAFETENSORS)
    assert await resolve(asked) == {"volume": {"claimName": "models", "path": "llama/3.1"}, "manifestDigest": DIGEST}


@pytest.mark.parametrize("kind", KINDS)
async def test_another_digest_than_declared_is_refused(kind: str) -> None:
    error = await refused(question(kind, manifestDigest="sha256:" + "9" * 64))
    assert error.reason is Reason.SOURCE_MISMATCH
    assert DIGEST in str(error)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("files", "says"),
    [
        (FILES[::-1], "not in ascending order"),
        ([FILES[0], FILES[0]], "is listed twice"),
        ([{**FILES[0], "path": "../a"}], "'..' component"),
        ([{**FILES[0], "path": "A"}, {**FILES[0], "path": "a"}], "differ by case only"),
        ([{**FILES[0], "path": "a"}, {**FILES[0], "path": "a/b"}], "both a file and a directory"),
        ([{**FILES[0], "path": "a\u202eb"}], "invisible character"),
        ([{**FILES[0], "path": "modeling.py"}], "remoteCode: Pinned"),
    ],
)
async def test_a_list_that_pods_may_not_write_is_refused(kind: str, files: list[dict[str, Any]], says: str) -> None:
    error = await refused(question(kind, files=files))
    assert error.reason is Reason.INVALID_SPEC
    assert says in str(error)


async def test_code_is_listed_where_it_may_run() -> None:
    found = await resolve(question("huggingFace", python=True, files=[{**FILES[0], "path": "modeling.py"}]))
    assert [file["path"] for file in found["files"]] == ["modeling.py"]


async def test_patterns_beside_a_list_are_refused() -> None:
    assert "not both" in str(await refused(question("huggingFace", include=["*"])))
