"""What is refused before anybody is asked to approve it: each case names its field and says what to write."""

from typing import Any

import pytest

from holdfast.render.deployment import problems
from unit.render.cases import GGUF, SAFETENSORS, TEMPLATE, declared, resolved


def found(engine: str, paths: tuple[str, ...], *, engine_fields: dict[str, Any] | None = None, **fields: Any) -> list[str]:
    return problems(resolved(declared(engine, engine_fields=engine_fields, **fields), paths))


def options(**values: Any) -> dict[str, Any]:
    return {"options": values}


REFUSED: dict[str, tuple[str, tuple[str, ...], dict[str, Any], dict[str, Any], str]] = {
    "vllm-other-weights": ("VLLM", SAFETENSORS, {"args": ["--model=other"]}, {}, "spec.model.engine.args: --model "),
    "vllm-abbreviation": ("VLLM", SAFETENSORS, {"args": ["--revis=main"]}, {}, "spec.model.engine.args: --revis "),
    "vllm-short": ("VLLM", SAFETENSORS, {"args": ["-tp=2"]}, {}, "spec.model.engine.args: -tp "),
    "vllm-remote-code": ("VLLM", SAFETENSORS, {"args": ["--trust-remote-code"]}, {}, "--trust-remote-code"),
    "vllm-no-config": ("VLLM", ("model.safetensors",), {}, {}, "the files have no config.json"),
    "vllm-no-weights": ("VLLM", ("config.json", "pytorch_model.bin"), {}, {}, "the files have no *.safetensors"),
    "vllm-single-file": ("VLLM", SAFETENSORS, options(modelFile="model.safetensors"), {}, "options.modelFile"),
    "sglang-generation": ("SGLang", SAFETENSORS, {}, {"generation": {"temperature": 0.5}}, "spec.model.generation"),
    "sglang-lora": ("SGLang", SAFETENSORS, {"args": ["--lora-paths=a=b"]}, {}, "--lora-paths"),
    "tgi-generation": ("TGI", SAFETENSORS, {}, {"generation": {"temperature": 0.5}}, "spec.model.generation"),
    "tgi-template": ("TGI", SAFETENSORS, {}, {"chatTemplate": {"text": TEMPLATE}}, "spec.model.chatTemplate"),
    "tgi-seed": ("TGI", SAFETENSORS, options(seed=1), {}, "options.seed"),
    "tgi-float32": ("TGI", SAFETENSORS, options(dataType="float32"), {}, "options.dataType"),
    "tgi-both": ("TGI", SAFETENSORS, options(dataType="float16", quantization="awq"), {}, "dataType or quantization"),
    "tgi-one-token": ("TGI", SAFETENSORS, options(contextLength=1), {}, "options.contextLength"),
    "tgi-space": ("TGI", SAFETENSORS, {"args": ["--cors-allow-origin=a b"]}, {}, "hands"),
    "tgi-glob": ("TGI", SAFETENSORS, {"args": ["--cors-allow-origin=*"]}, {}, "hands"),
    "llama-no-gguf": ("LlamaCpp", SAFETENSORS, {}, {}, "there is no .gguf file"),
    "llama-two-gguf": ("LlamaCpp", ("a.gguf", "b.gguf"), {}, {}, "name the one to load"),
    "llama-missing-file": ("LlamaCpp", GGUF, options(modelFile="other.gguf"), {}, "other.gguf is not among"),
    "llama-not-gguf": ("LlamaCpp", GGUF, options(modelFile="README.md"), {}, "README.md is not among"),
    "llama-type": ("LlamaCpp", GGUF, options(dataType="float16"), {}, "options.dataType"),
    "llama-quantization": ("LlamaCpp", GGUF, options(quantization="q4"), {}, "options.quantization"),
    "llama-parallel": ("LlamaCpp", GGUF, options(tensorParallelism=2), {}, "options.tensorParallelism"),
    "llama-download": ("LlamaCpp", GGUF, {"args": ["--hf-repo=other/model"]}, {}, "--hf-repo"),
    "llama-fit": ("LlamaCpp", GGUF, {"args": ["--fit=on"]}, {}, "--fit"),
    "llama-online": ("LlamaCpp", GGUF, {"args": ["--no-offline"]}, {}, "--no-offline"),
}


@pytest.mark.parametrize(("engine", "paths", "engine_fields", "fields", "text"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_by_its_field(
    engine: str, paths: tuple[str, ...], engine_fields: dict[str, Any], fields: dict[str, Any], text: str
) -> None:
    (problem,) = found(engine, paths, engine_fields=engine_fields, **fields)
    assert problem.startswith("spec.model.")
    assert text in problem


def test_every_problem_is_told_at_once() -> None:
    assert len(found("TGI", ("README.md",), engine_fields=options(seed=1), generation={"topK": 1})) == 4


@pytest.mark.parametrize("value", ["auto", "bfloat16"])
def test_types_that_an_engine_knows_are_fine(value: str) -> None:
    assert found("TGI", SAFETENSORS, engine_fields=options(dataType=value)) == []


def test_arguments_that_tune_are_free() -> None:
    assert found("VLLM", SAFETENSORS, engine_fields={"args": ["--max-num-seqs=64", "--enforce-eager"]}) == []
