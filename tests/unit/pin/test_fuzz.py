"""Whatever stands in a manifest or in a model's files: a model, or an error with words; never a traceback, never a bad list."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from builders import ENGINE_IMAGE
from holdfast.api.deployment import ModelDeploymentSpec
from holdfast.api.model import EngineType, Model
from holdfast.api.revision import ResolvedModel
from holdfast.domain.checks import problems
from holdfast.domain.pin import pin_digest, resolve_model
from holdfast.domain.questions import questions
from holdfast.domain.texts import UnreadableError
from holdfast.render.deployment import problems as unrenderable
from unit.pin.answers import CONFIG, found

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    [
        "source",
        "huggingFace",
        "oci",
        "volume",
        "repository",
        "commit",
        "manifestDigest",
        "include",
        "files",
        "path",
        "size",
        "sha256",
        "reference",
        "claimName",
        "tokenizer",
        "remoteCode",
        "code",
        "adapters",
        "name",
        "baseModel",
        "draftModel",
        "tokens",
        "engine",
        "type",
        "image",
        "options",
        "args",
        "env",
        "value",
        "chatTemplate",
        "text",
        "clock",
        "generation",
        "temperature",
        "servedName",
    ]
)
MANIFESTS = st.recursive(
    JSON | st.sampled_from(["VLLM", "Pinned", "lab/model", "a" * 40, "sha256:" + "1" * 64, ENGINE_IMAGE, "../x", "*.json"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=25,
)
VALUES = JSON | st.sampled_from(
    ["bfloat16", "float32", 4096, 0, -1, 1e30, "awq", "other/code--m.C", "m.C", "--", "a--b--c.d", "{{ strftime_now('%d') }}"]
)
KEYS = st.sampled_from(
    [
        "max_position_embeddings",
        "n_positions",
        "torch_dtype",
        "dtype",
        "quantization_config",
        "quant_method",
        "text_config",
        "auto_map",
        "AutoModel",
        "speculators_config",
        "verifier",
        "name_or_path",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "repetition_penalty",
        "chat_template",
        "default",
        "name",
        "template",
        "model_max_length",
        "base_model_name_or_path",
        "revision",
    ]
)
DOCUMENTS = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=15
)
TEXTS = DOCUMENTS.map(json.dumps) | st.text(max_size=30) | st.sampled_from(["", "{", "[" * 10_000, '{"a":' * 5_000, "nul"])
FILES = st.dictionaries(
    st.sampled_from(
        [
            "config.json",
            "generation_config.json",
            "tokenizer_config.json",
            "chat_template.json",
            "chat_template.jinja",
            "additional_chat_templates/tool.jinja",
            "preprocessor_config.json",
            "adapter_config.json",
        ]
    ),
    TEXTS,
    max_size=6,
)


def declared(engine: EngineType, **fields: Any) -> Model:
    return Model.parse(
        {
            "source": {"huggingFace": {"repository": "lab/model", "commit": "a" * 40}},
            "engine": {"type": engine.value, "image": ENGINE_IMAGE},
        }
        | fields
    )


@given(MANIFESTS)
@example({"source": {"huggingFace": None, "oci": None}, "engine": {}})
def test_any_manifest_is_a_model_or_an_error_with_words(wire: object) -> None:
    try:
        spec = ModelDeploymentSpec.parse({"model": wire})
    except ValidationError:
        return
    assert ModelDeploymentSpec.parse(spec.wire()) == spec
    assert questions(spec.model)


@given(st.sampled_from(EngineType), FILES, st.booleans())
@example(EngineType.VLLM, {"config.json": json.dumps(CONFIG)}, False)
def test_any_files_are_a_model_or_an_error_with_words(engine: EngineType, files: dict[str, str], pinned: bool) -> None:
    model = declared(engine, **({"remoteCode": "Pinned"} if pinned else {}))
    answers = {"source": found(dict(files), "model.safetensors", "tiny.gguf")}
    told = problems(model, answers)
    try:
        resolved = resolve_model("chat", model, answers)
    except UnreadableError:
        return
    told += unrenderable(resolved)
    assert all(text.startswith("spec.model") for text in told)
    assert pin_digest(ResolvedModel.parse(json.loads(json.dumps(resolved.wire())))) == pin_digest(resolved)


@given(FILES, FILES)
def test_any_adapter_and_draft_are_a_part_or_an_error_with_words(adapter: dict[str, str], draft: dict[str, str]) -> None:
    source = {"huggingFace": {"repository": "lab/part", "commit": "b" * 40}}
    model = declared(EngineType.VLLM, adapters=[{"name": "tone", "source": source}], draftModel={"source": source, "tokens": 3})
    answers = {
        "source": found({"config.json": CONFIG}, "model.safetensors"),
        "adapters[0].source": found(dict(adapter), "adapter_model.safetensors"),
        "draftModel.source": found(dict(draft), "model.safetensors"),
    }
    told = problems(model, answers)
    assert all(text.startswith("spec.model") for text in told)
    fits = "base_model_name_or_path" in adapter.get("adapter_config.json", "")
    assert told or fits
