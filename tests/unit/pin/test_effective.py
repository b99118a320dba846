"""The values that a model runs with: declared, else what its own files say, else a documented value."""

from typing import Any

import pytest

from builders import ENGINE_IMAGE
from holdfast.api.found import Found
from holdfast.api.model import Model
from holdfast.api.revision import ResolvedModel
from holdfast.domain.pin import NEUTRAL, resolve_model
from holdfast.domain.texts import UnreadableError
from unit.pin.answers import CONFIG, found

TEMPLATE = "{{ messages }}"


def resolve(answer: Found, engine: str = "VLLM", options: dict[str, Any] | None = None, **fields: Any) -> ResolvedModel:
    wire = {
        "source": {"huggingFace": {"repository": "lab/model", "commit": "a" * 40}},
        "engine": {"type": engine, "image": ENGINE_IMAGE} | ({"options": options} if options else {}),
    } | fields
    return resolve_model("chat", Model.parse(wire), {"source": answer})


def options(answer: Found, engine: str = "VLLM", **declared: Any) -> dict[str, Any]:
    found_options = resolve(answer, engine, declared).engine.options
    return found_options.wire() if found_options is not None else {}


@pytest.mark.parametrize("engine", ["VLLM", "SGLang"])
def test_every_option_is_said(engine: str) -> None:
    assert options(found({"config.json": CONFIG}), engine) == {
        "contextLength": 4096,
        "dataType": "bfloat16",
        "seed": 0,
        "tensorParallelism": 1,
        "pipelineParallelism": 1,
    }


def test_tgi_has_no_seed_and_no_type_beside_a_quantization() -> None:
    assert options(found({"config.json": CONFIG}), "TGI") == {
        "contextLength": 4096,
        "dataType": "bfloat16",
        "tensorParallelism": 1,
    }
    quantized = CONFIG | {"quantization_config": {"quant_method": "awq"}}
    assert options(found({"config.json": quantized}), "TGI") == {"contextLength": 4096, "tensorParallelism": 1}
    assert options(found({"config.json": quantized}), "TGI", dataType="auto") == {"contextLength": 4096, "tensorParallelism": 1}
    assert options(found({"config.json": quantized}), "TGI", dataType="float16")["dataType"] == "float16"


def test_what_is_declared_comes_first() -> None:
    declared: dict[str, Any] = {
        "contextLength": 512,
        "dataType": "float16",
        "seed": 7,
        "tensorParallelism": 2,
        "pipelineParallelism": 3,
        "quantization": "fp8",
    }
    assert options(found({"config.json": CONFIG}), **declared) == declared


def test_auto_is_what_the_checkpoint_says() -> None:
    assert options(found({"config.json": CONFIG}), dataType="auto")["dataType"] == "bfloat16"


@pytest.mark.parametrize(
    ("config", "tokenizer", "length"),
    [
        ({"n_positions": 1024}, {}, 1024),
        ({"max_position_embeddings": 4096, "seq_length": 2048}, {}, 2048),
        ({"max_position_embeddings": 4096}, {"model_max_length": 1000}, 1000),
        ({"max_position_embeddings": 4096}, {"model_max_length": 1e30}, 4096),
        ({"text_config": {"max_position_embeddings": 8192}}, {}, 8192),
        ({"max_position_embeddings": 4096, "seq_length": True, "seq_len": -1}, {}, 4096),
    ],
)
def test_the_context_is_the_shortest_that_the_files_name(config: dict[str, Any], tokenizer: dict[str, Any], length: int) -> None:
    answer = found({"config.json": {"torch_dtype": "float16"} | config, "tokenizer_config.json": tokenizer})
    assert options(answer)["contextLength"] == length


@pytest.mark.parametrize(
    ("config", "data_type"),
    [
        ({"torch_dtype": "float32"}, "float32"),
        ({"dtype": "torch.float16"}, "float16"),
        ({"text_config": {"torch_dtype": "bfloat16"}}, "bfloat16"),
    ],
)
def test_the_type_is_the_checkpoints_own(config: dict[str, Any], data_type: str) -> None:
    assert options(found({"config.json": {"max_position_embeddings": 1} | config}))["dataType"] == data_type


@pytest.mark.parametrize("engine", ["VLLM", "SGLang", "TGI"])
def test_the_quantization_of_a_checkpoint_is_told_and_is_no_option_of_the_engine(engine: str) -> None:
    """As an option it would be an order: SGLang would not use its fastest kernels for gptq and awq."""
    answer = found({"config.json": CONFIG | {"quantization_config": {"quant_method": "GPTQ"}}})
    model = resolve(answer, engine)
    assert model.checkpoint_quantization == "gptq"
    assert model.engine.options is not None
    assert model.engine.options.quantization is None
    ordered = resolve(answer, engine, {"quantization": "gptq_marlin"})
    assert ordered.engine.options is not None
    assert (ordered.checkpoint_quantization, ordered.engine.options.quantization) == ("gptq", "gptq_marlin")


def test_a_checkpoint_without_a_quantization_has_none() -> None:
    assert resolve(found({"config.json": CONFIG})).checkpoint_quantization is None


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"config.json": {"torch_dtype": "float16"}}, "options.contextLength"),
        ({"config.json": {"max_position_embeddings": 1}}, "options.dataType"),
        ({"config.json": {"max_position_embeddings": 1, "dtype": "int3"}}, "dtype of config.json is 'int3'"),
        ({"config.json": "{"}, "config.json is not JSON"),
        ({"config.json": "[" * 100_000}, "config.json is not JSON"),
        ({"config.json": []}, "config.json is not a JSON object"),
        ({"config.json": CONFIG | {"quantization_config": {"quant_method": "A B"}}}, "quant_method"),
        ({"config.json": CONFIG, "generation_config.json": {"temperature": "hot"}}, "temperature of generation_config.json"),
        ({"config.json": CONFIG, "generation_config.json": {"top_p": 7}}, "spec.model.generation"),
        ({"config.json": CONFIG, "generation_config.json": {"top_k": True}}, "top_k of generation_config.json"),
        ({"config.json": CONFIG, "tokenizer_config.json": {"chat_template": 3}}, "chat_template of tokenizer_config.json"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_file(texts: dict[str, Any], says: str) -> None:
    with pytest.raises(UnreadableError, match=says.replace("(", r"\(")):
        resolve(found(texts))


def test_a_gguf_file_carries_its_own_settings_and_is_named() -> None:
    model = resolve(found({}, "tiny.gguf"), "LlamaCpp")
    assert model.engine.options is not None
    assert model.engine.options.wire() == {"modelFile": "tiny.gguf"}
    assert model.chat_template.wire() == {"from": "Source"}
    assert model.generation == NEUTRAL


def test_a_list_from_the_manifest_leaves_open_what_nobody_read() -> None:
    model = resolve(found({"config.json": CONFIG}, read=False))
    assert model.engine.options is not None
    assert model.engine.options.wire() == {"seed": 0, "tensorParallelism": 1, "pipelineParallelism": 1}
    assert model.chat_template.wire() == {"from": "Source"}
    assert model.generation == NEUTRAL


def test_sampling_defaults_are_the_models_own_under_the_declared() -> None:
    said = {"temperature": 0.7, "top_p": 0.8, "top_k": 0, "repetition_penalty": 1.05, "do_sample": True, "min_p": None}
    model = resolve(
        found({"config.json": CONFIG, "generation_config.json": said}), generation={"topP": 0.5, "presencePenalty": 1}
    )
    assert model.generation.wire() == {
        "temperature": 0.7,
        "topP": 0.5,
        "topK": -1,
        "minP": 0.0,
        "repetitionPenalty": 1.05,
        "presencePenalty": 1.0,
        "frequencyPenalty": 0.0,
    }


@pytest.mark.parametrize("engine", ["SGLang", "TGI"])
def test_engines_without_sampling_defaults_have_neutral_ones(engine: str) -> None:
    answer = found({"config.json": CONFIG, "generation_config.json": {"temperature": 0.7}})
    assert resolve(answer, engine).generation == NEUTRAL


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({}, {"from": "Engine"}),
        ({"chat_template.jinja": "A", "tokenizer_config.json": {"chat_template": "B"}}, {"from": "Source", "text": "A"}),
        ({"chat_template.json": {"chat_template": "A"}, "tokenizer_config.json": {"chat_template": "B"}}, {"from": "Source", "text": "A"}),
        ({"tokenizer_config.json": {"chat_template": "B"}}, {"from": "Source", "text": "B"}),
        ({"tokenizer_config.json": {"chat_template": [{"name": "default", "template": "B"}]}}, {"from": "Source", "text": "B"}),
        (
            {"tokenizer_config.json": {"chat_template": [{"name": "default", "template": "B"}, {"name": "tool_use", "template": "C"}]}},
            {"from": "Source"},
        ),
        ({"chat_template.jinja": "A", "additional_chat_templates/tool_use.jinja": "B"}, {"from": "Source"}),
    ],
    ids=["none", "own-file", "processor", "tokenizer", "named", "several-named", "additional"],
)  # fmt: skip
def test_the_template_is_the_one_that_the_files_have(texts: dict[str, Any], expected: dict[str, str]) -> None:
    assert resolve(found({"config.json": CONFIG} | texts)).chat_template.wire() == expected


def test_a_template_of_the_owner_comes_first() -> None:
    model = resolve(found({"config.json": CONFIG, "chat_template.jinja": "A"}), chatTemplate={"text": TEMPLATE})
    assert model.chat_template.wire() == {"from": "Inline", "text": TEMPLATE}


def test_the_template_of_an_own_tokenizer_counts() -> None:
    wire = {
        "source": {"huggingFace": {"repository": "lab/model", "commit": "a" * 40}},
        "tokenizer": {"huggingFace": {"repository": "lab/words", "commit": "b" * 40}},
        "engine": {"type": "VLLM", "image": ENGINE_IMAGE},
    }
    answers = {
        "source": found({"config.json": CONFIG, "chat_template.jinja": "model's"}),
        "tokenizer": found({"chat_template.jinja": "tokenizer's", "tokenizer_config.json": {"model_max_length": 100}}),
    }
    model = resolve_model("chat", Model.parse(wire), answers)
    assert model.chat_template.text == "tokenizer's"
    assert model.engine.options is not None
    assert model.engine.options.context_length == 100
