"""The digest of a model: the same for the same model, whatever made it, and another for any other."""

import hashlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import ENGINE_IMAGE
from holdfast.api.found import Found
from holdfast.api.model import File, Model
from holdfast.api.revision import ResolvedModel, ResolvedSource
from holdfast.domain.pin import (
    NEUTRAL,
    Difference,
    declared_digest,
    differences,
    manifest_bytes,
    manifest_digest,
    pin_digest,
    resolve_model,
    short_digest,
)

FILES = [File(path="config.json", size=2, sha256="1" * 64), File(path="model.safetensors", size=9, sha256="2" * 64)]
DECLARED: dict[str, Any] = {
    "source": {"huggingFace": {"repository": "lab/model", "commit": "a" * 40}},
    "engine": {
        "type": "VLLM",
        "image": ENGINE_IMAGE,
        "options": {"contextLength": 4096, "dataType": "bfloat16", "seed": 1},
        "args": ["--enforce-eager"],
    },
    "chatTemplate": {"text": "{{ messages }}"},
    "generation": {"temperature": 1, "topP": 0.7, "topK": 20},
    "servedName": "chat",
}


def source(files: list[File] | None = None, **changes: str) -> ResolvedSource:
    found = FILES if files is None else files
    hub = {"endpoint": "https://hub.example", "repository": "lab/model", "commit": "a" * 40} | changes
    return ResolvedSource.model_validate({"huggingFace": hub, "manifest_digest": manifest_digest(found), "files": found})


def resolve(wire: dict[str, Any] | None = None, found: ResolvedSource | None = None) -> ResolvedModel:
    return resolve_model("support-chat", Model.parse(wire or DECLARED), {"source": Found(source=found or source())})


def changed(path: str, value: object) -> dict[str, Any]:
    wire = json.loads(json.dumps(DECLARED))
    *parents, last = path.split(".")
    inner = wire
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    return wire  # type: ignore[no-any-return]


def test_the_digest_of_a_known_model_never_changes() -> None:
    """Revisions in clusters carry it: another value here makes every deployment ask its owner again."""
    assert pin_digest(resolve()) == "v1:82dcacfde0c1dd2f8818280796b671c0d7a67da206d47d906dee75fe19fc00d1"


def test_the_digest_is_of_canonical_json() -> None:
    wire = resolve().wire()
    text = json.dumps(wire, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    text = re.sub(r":(\d+)\.0([,}])", r":\1\2", text)
    assert pin_digest(resolve()) == f"v1:{hashlib.sha256(text.encode()).hexdigest()}"


def test_a_round_through_the_api_server_keeps_the_digest() -> None:
    stored = json.loads(json.dumps(resolve().wire()).replace("1.0", "1"))  # the server writes whole numbers without a fraction
    assert pin_digest(ResolvedModel.parse(stored)) == pin_digest(resolve())


@given(st.floats(0, 10), st.floats(0, 1), st.integers(-1, 1_000_000))
def test_any_number_keeps_the_digest_through_json(temperature: float, top_p: float, top_k: int) -> None:
    model = resolve().model_copy(
        update={"generation": NEUTRAL.model_copy(update={"temperature": temperature, "top_p": top_p, "top_k": top_k})}
    )
    assert pin_digest(ResolvedModel.parse(json.loads(json.dumps(model.wire())))) == pin_digest(model)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("engine.type", "SGLang"),
        ("engine.image", "registry.example/engine@sha256:" + "f" * 64),
        ("engine.options.contextLength", 4097),
        ("engine.options.dataType", "float16"),
        ("engine.options.seed", 2),
        ("engine.options.quantization", "fp8"),
        ("engine.options.tensorParallelism", 2),
        ("engine.args", ["--enforce-eager", "--max-num-seqs=4"]),
        ("chatTemplate.text", "{{ messages }} "),
        ("generation.temperature", 0.99),
        ("generation.topP", 0.71),
        ("generation.topK", 21),
        ("servedName", "other"),
    ],
)
def test_every_declared_field_is_part_of_the_identity(path: str, value: object) -> None:
    other = resolve(changed(path, value))
    assert pin_digest(other) != pin_digest(resolve())
    assert len(differences(resolve(), other)) == 1


@pytest.mark.parametrize(
    "found",
    [
        source(commit="b" * 40),
        source(repository="lab/other"),
        source(endpoint="https://other.example"),
        source([FILES[0]]),
        source([FILES[0], File(path="model.safetensors", size=9, sha256="3" * 64)]),
        source([*FILES, File(path="extra.py", size=1, sha256="4" * 64)]),
    ],
    ids=["commit", "repository", "endpoint", "missing-file", "other-bytes", "extra-file"],
)
def test_every_byte_and_where_it_came_from_is_part_of_the_identity(found: ResolvedSource) -> None:
    assert pin_digest(resolve(found=found)) != pin_digest(resolve())


def test_the_order_in_which_the_hub_lists_files_is_not() -> None:
    assert pin_digest(resolve(found=source(FILES[::-1]))) == pin_digest(resolve())


@pytest.mark.parametrize("path", ["engine.options", "generation"])
def test_an_empty_object_says_nothing(path: str) -> None:
    absent = changed(path, None)
    assert pin_digest(resolve(changed(path, {}))) == pin_digest(resolve(absent))


def test_the_served_name_is_the_deployments_unless_declared() -> None:
    assert resolve(changed("servedName", None)).served_name == "support-chat"
    assert resolve().served_name == "chat"


def test_an_inline_template_becomes_its_text() -> None:
    assert resolve().chat_template.wire() == {"from": "Inline", "text": "{{ messages }}"}


def test_declarations_differ_by_their_own_digest() -> None:
    assert declared_digest(Model.parse(DECLARED)) != declared_digest(Model.parse(changed("servedName", "other")))
    assert declared_digest(Model.parse(DECLARED)) == declared_digest(Model.parse(json.loads(json.dumps(DECLARED))))
    assert declared_digest(Model.parse(DECLARED)).startswith("sha256:")


def test_a_short_digest_keeps_its_scheme() -> None:
    assert short_digest("v1:0123456789abcdef") == "v1:0123456789ab"


def test_the_manifest_is_sorted_canonical_json() -> None:
    assert manifest_bytes(FILES[::-1]) == (
        b'[{"path":"config.json","sha256":"' + b"1" * 64 + b'","size":2},'
        b'{"path":"model.safetensors","sha256":"' + b"2" * 64 + b'","size":9}]'
    )
    assert manifest_digest(FILES) == f"sha256:{hashlib.sha256(manifest_bytes(FILES)).hexdigest()}"


def test_differences_name_fields_as_they_are_written() -> None:
    new = resolve(
        changed("generation", {"temperature": 0.5}) | {"servedName": "other"},
        source([FILES[0], File(path="new.json", size=3, sha256="5" * 64)], commit="b" * 40),
    )
    assert differences(resolve(), new) == [
        Difference("generation.temperature", "1.0", "0.5"),
        Difference("generation.topK", "20", "-1"),
        Difference("generation.topP", "0.7", "1.0"),
        Difference("servedName", "chat", "other"),
        Difference("source.files[model.safetensors]", f"sha256:{'2' * 64} (9 bytes)", None),
        Difference("source.files[new.json]", None, f"sha256:{'5' * 64} (3 bytes)"),
        Difference("source.huggingFace.commit", "a" * 40, "b" * 40),
        Difference("source.manifestDigest", resolve().source.manifest_digest, new.source.manifest_digest),
    ]


def test_a_model_does_not_differ_from_itself() -> None:
    assert differences(resolve(), resolve()) == []
