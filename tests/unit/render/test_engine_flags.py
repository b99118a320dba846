"""Each part and each option of an approved model is said to its engine in so many words."""

import json
from typing import Any

import pytest

from holdfast.api import engine_environment
from holdfast.api.engine_arguments import refusal
from holdfast.api.model import EngineType, Model
from holdfast.render.deployment import engine_objects, problems
from holdfast.render.version1.container import EngineRenderer
from holdfast.render.version1.sglang import SGLang
from holdfast.render.version1.tgi import TGI
from holdfast.render.version1.vllm import VLLM
from unit.render.cases import FULL, GGUF, MINIMAL, PARTS, SAFETENSORS, declared, owner, resolved, revision

ALL = {
    f"{name}-{kind}": case
    for kind, cases in {"minimal": MINIMAL, "full": FULL, "parts": PARTS}.items()
    for name, case in cases.items()
}
every = pytest.mark.parametrize(("model", "paths"), ALL.values(), ids=ALL)


def engine(model: Model, paths: tuple[str, ...]) -> dict[str, Any]:
    spec = engine_objects(owner(model), revision(model, paths), 1)[-1]["spec"]["template"]["spec"]
    container: dict[str, Any] = next(each for each in spec["containers"] if each["name"] == "engine")
    return container


def flags(model: Model, paths: tuple[str, ...]) -> dict[str, list[str]]:
    """The values of each flag, whether behind ``=`` or in the arguments after it."""
    found: dict[str, list[str]] = {}
    flag = ""
    for argument in engine(model, paths)["args"]:
        if argument.startswith("--"):
            flag, _, value = argument.partition("=")
            found[flag] = [value] if value else []
        elif flag:
            found[flag].append(argument)
    return found


def told(kind: EngineType, paths: tuple[str, ...] = SAFETENSORS, **fields: Any) -> dict[str, list[str]]:
    options = fields.pop("options", None)
    return flags(declared(kind, engine_fields={"options": options} if options else None, **fields), paths)


OPTIONS = {
    "contextLength": 4096,
    "dataType": "float16",
    "quantization": "awq",
    "kvCacheDataType": "fp8_e4m3",
    "seed": 3,
    "tensorParallelism": 4,
    "pipelineParallelism": 2,
}


def test_vllm_is_told_every_option() -> None:
    found = told(EngineType.VLLM, options=OPTIONS)
    assert {
        "--max-model-len": ["4096"],
        "--dtype": ["float16"],
        "--quantization": ["awq"],
        "--kv-cache-dtype": ["fp8_e4m3"],
        "--seed": ["3"],
        "--tensor-parallel-size": ["4"],
        "--pipeline-parallel-size": ["2"],
        "--load-format": ["safetensors"],
        "--no-trust-remote-code": [],
    }.items() <= found.items()


def test_sglang_is_told_every_option() -> None:
    found = told(EngineType.SGLANG, options=OPTIONS)
    assert {
        "--context-length": ["4096"],
        "--dtype": ["float16"],
        "--quantization": ["awq"],
        "--kv-cache-dtype": ["fp8_e4m3"],
        "--random-seed": ["3"],
        "--tensor-parallel-size": ["4"],
        "--pipeline-parallel-size": ["2"],
        "--load-format": ["safetensors"],
    }.items() <= found.items()
    assert "--trust-remote-code" not in found


def test_tgi_is_told_every_option() -> None:
    options = {"contextLength": 4096, "quantization": "awq", "kvCacheDataType": "fp8_e5m2", "tensorParallelism": 4}
    found = told(EngineType.TGI, options=options)
    assert {
        "--max-total-tokens": ["4096"],
        "--max-input-tokens": ["4095"],
        "--quantize": ["awq"],
        "--kv-cache-dtype": ["fp8_e5m2"],
        "--num-shard": ["4"],
    }.items() <= found.items()


def test_llama_cpp_is_told_every_option() -> None:
    generation = {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 5,
        "minP": 0.1,
        "repetitionPenalty": 1.1,
        "presencePenalty": 0.2,
        "frequencyPenalty": 0.3,
    }
    found = told(
        EngineType.LLAMA_CPP, GGUF, options={"contextLength": 4096, "seed": 3, "kvCacheDataType": "q8_0"}, generation=generation
    )
    assert {
        "--ctx-size": ["4096"],
        "--seed": ["3"],
        "--cache-type-k": ["q8_0"],
        "--cache-type-v": ["q8_0"],
        "--temp": ["0.5"],
        "--top-p": ["0.9"],
        "--top-k": ["5"],
        "--min-p": ["0.1"],
        "--repeat-penalty": ["1.1"],
        "--presence-penalty": ["0.2"],
        "--frequency-penalty": ["0.3"],
    }.items() <= found.items()


def test_parts_are_given_as_folders_and_never_as_names_of_repositories() -> None:
    adapters = ["legal=/holdfast/adapters/legal", "polite=/holdfast/adapters/polite"]
    vllm = flags(*PARTS["vllm"])
    assert vllm["--lora-modules"] == adapters
    assert {"--enable-lora", "--trust-remote-code"} <= vllm.keys()
    assert vllm["--tokenizer"] == ["/holdfast/tokenizer"]
    assert json.loads(vllm["--speculative-config"][0]) == {"model": "/holdfast/draft", "num_speculative_tokens": 4}
    sglang = flags(*PARTS["sglang"])
    assert sglang["--lora-paths"] == adapters
    assert {"--enable-lora", "--trust-remote-code"} <= sglang.keys()
    assert sglang["--tokenizer-path"] == ["/holdfast/tokenizer"]
    assert sglang["--speculative-draft-model-path"] == ["/holdfast/draft"]
    assert (sglang["--speculative-num-steps"], sglang["--speculative-num-draft-tokens"]) == (["4"], ["5"])
    tgi = flags(*PARTS["tgi"])
    assert tgi["--lora-adapters"] == [",".join(adapters)]
    assert "--trust-remote-code" in tgi
    llama = flags(*PARTS["llama-cpp"])
    assert (llama["--spec-draft-model"], llama["--spec-draft-n-max"]) == (["/holdfast/draft/draft.gguf"], ["4"])


@pytest.mark.parametrize(
    ("kind", "renderer"), [(EngineType.VLLM, VLLM()), (EngineType.SGLANG, SGLang()), (EngineType.TGI, TGI())]
)
def test_the_quantization_of_a_checkpoint_is_left_to_its_files(kind: EngineType, renderer: EngineRenderer) -> None:
    model = resolved(declared(kind), SAFETENSORS).model_copy(update={"checkpoint_quantization": "gptq"})
    arguments = renderer.container(model, fingerprint="", drain_seconds=1).args
    assert arguments
    assert [argument for argument in arguments if argument.startswith("--quanti")] == []


@pytest.mark.parametrize(("context_length", "looks_back"), [(4096, "4096"), (None, "262144")])
def test_llama_cpp_looks_as_far_back_for_repetitions_as_the_context_is_long(context_length: int | None, looks_back: str) -> None:
    options = {"contextLength": context_length} if context_length else None
    assert told(EngineType.LLAMA_CPP, GGUF, options=options)["--repeat-last-n"] == [looks_back]


def test_llama_cpp_is_told_no_number_that_its_floats_do_not_have() -> None:
    found = told(EngineType.LLAMA_CPP, GGUF, generation={"temperature": 5e-324, "minP": 1e-30})
    assert (found["--temp"], found["--min-p"]) == (["0"], ["1e-30"])


@every
def test_no_argument_or_variable_of_ours_can_be_set_otherwise(model: Model, paths: tuple[str, ...]) -> None:
    own = {argument.split("=", 1)[0] for argument in model.engine.args or ()}
    rendered = {argument.split("=", 1)[0] for argument in engine(model, paths)["args"] if argument.startswith("--")}
    variables = {variable["name"] for variable in engine(model, paths)["env"]}
    kind = model.engine.type
    assert {flag for flag in rendered - own if refusal(kind, f"{flag}=other") is None} == set()
    assert {name for name in variables if engine_environment.refusal(kind, name) is None} == set()


@pytest.mark.parametrize("kind", EngineType)
def test_variables_of_the_owner_reach_the_engine_as_they_are(kind: EngineType) -> None:
    paths = GGUF if kind is EngineType.LLAMA_CPP else SAFETENSORS
    model = declared(kind, engine_fields={"env": [{"name": "OMP_NUM_THREADS", "value": "$(HOME)"}]})
    assert {"name": "OMP_NUM_THREADS", "value": "$$(HOME)"} in engine(model, paths)["env"]
    assert problems(resolved(model, paths)) == []


def test_nobody_knows_the_key_of_sglangs_routes_that_replace_weights() -> None:
    command = engine(*MINIMAL["sglang"])["command"]
    assert "--admin-api-key={secrets.token_hex(32)}" in command[2]


@pytest.mark.parametrize(
    ("kind", "paths", "fields", "text"),
    [
        (EngineType.TGI, SAFETENSORS, {"tokenizer": PARTS["vllm"][0].wire()["tokenizer"]}, "spec.model.tokenizer: "),
        (EngineType.TGI, SAFETENSORS, {"draftModel": PARTS["vllm"][0].wire()["draftModel"]}, "spec.model.draftModel: "),
        (EngineType.TGI, (*SAFETENSORS, "chat_template.jinja"), {}, "TGI does not read chat_template.jinja"),
        (EngineType.LLAMA_CPP, GGUF, {"tokenizer": PARTS["vllm"][0].wire()["tokenizer"]}, "spec.model.tokenizer: "),
        (EngineType.LLAMA_CPP, GGUF, {"adapters": PARTS["vllm"][0].wire()["adapters"]}, "spec.model.adapters: "),
        (EngineType.LLAMA_CPP, GGUF, {"remoteCode": "Pinned"}, "spec.model.remoteCode: "),
    ],
)
def test_parts_that_an_engine_cannot_load_are_refused(
    kind: EngineType, paths: tuple[str, ...], fields: dict[str, Any], text: str
) -> None:
    (problem,) = problems(resolved(declared(kind, **fields), paths))
    assert text in problem


@pytest.mark.parametrize("kind", [EngineType.TGI, EngineType.LLAMA_CPP])
def test_pipelines_are_refused_where_there_are_none(kind: EngineType) -> None:
    paths = GGUF if kind is EngineType.LLAMA_CPP else SAFETENSORS
    (problem,) = problems(resolved(declared(kind, engine_fields={"options": {"pipelineParallelism": 2}}), paths))
    assert problem.startswith("spec.model.engine.options.pipelineParallelism: ")


def test_a_refused_variable_is_a_problem_too() -> None:
    model = declared("VLLM", engine_fields={"env": [{"name": "VLLM_SERVER_DEV_MODE", "value": "1"}]})
    (problem,) = problems(resolved(model, SAFETENSORS))
    assert problem.startswith("spec.model.engine.env: VLLM_SERVER_DEV_MODE is refused: ")
