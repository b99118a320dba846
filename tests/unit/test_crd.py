"""The definitions are made from the models, and lose nothing on the way."""

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field

from holdfast.api import engine_environment
from holdfast.api.base import ApiModel
from holdfast.api.crd import KINDS, Kind, definition, main, object_schema, render
from holdfast.api.crd_rule import regex, text
from holdfast.api.crd_schema import UnsupportedSchemaError, at, structural_schema, walk
from holdfast.api.engine_arguments import REFUSED, refusal
from holdfast.api.model import EngineType

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "crds", ROOT / "charts/holdfast/files/crds")


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_committed_definitions_are_the_generated_ones(folder: Path, tmp_path: Path) -> None:
    main(["--write", str(tmp_path)])
    generated = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert {file.name: file.read_text() for file in folder.iterdir()} == generated, (
        "run: python -m holdfast.api.crd --write crds charts/holdfast/files/crds"
    )


def test_prints_all_three_as_one_stream() -> None:
    out = io.StringIO()
    with redirect_stdout(out):
        main([])
    names = [document["metadata"]["name"] for document in yaml.safe_load_all(out.getvalue())]
    assert names == ["modeldeployments.holdfast.dev", "modelrevisions.holdfast.dev", "modelapprovals.holdfast.dev"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_yaml_says_what_was_meant(kind: Kind) -> None:
    assert yaml.safe_load(render(kind)) == definition(kind)


def fields(kind: Kind) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, node in walk(object_schema(kind)):
        if path.startswith(("spec", "status")):
            yield path, node


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_field_is_explained(kind: Kind) -> None:
    silent = [path for path, node in fields(kind) if "description" not in node and not path.endswith(("[]", "{}"))]
    assert silent == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_everything_is_bounded(kind: Kind) -> None:
    """CEL costs are estimated from maximum lengths, and an object must fit into etcd."""
    bounds = {"string": {"maxLength", "enum", "format"}, "array": {"maxItems"}, "object": {"maxProperties", "properties"}}
    unbounded = [path for path, node in fields(kind) if node["type"] in bounds and not bounds[node["type"]] & node.keys()]
    assert unbounded == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_no_pattern_is_lost(kind: Kind) -> None:
    """What the models match is matched at admission, by the schema or by a rule with better words."""
    schema = object_schema(kind)
    rules = [rule["rule"] for _, node in walk(schema) for rule in node.get("x-kubernetes-validations", [])]
    for part, model in (("spec", kind.spec), ("status", kind.status)):
        for path, node in walk(structural_schema(model)):
            if "pattern" in node:
                kept = at(schema, f"{part}.{path}" if path else part).get("pattern") == node["pattern"]
                assert kept or any(f"matches({regex(node['pattern'])})" in rule for rule in rules), path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_patterns_of_fields_that_people_write_have_words(kind: Kind) -> None:
    """The API server only repeats a regular expression, so no person should ever meet one."""
    if kind.kind != "ModelRevision":
        assert [path for path, node in fields(kind) if path.startswith("spec") and "pattern" in node] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_columns_and_selectors_exist(kind: Kind) -> None:
    schema = object_schema(kind)
    paths = {f".{path}" for path, _ in walk(schema)}
    for _, _, path, _ in kind.columns:
        plain = path.replace("[?(@.type=='", "[]|").split("|")
        field = plain[0] + path.rsplit("]", 1)[1] if len(plain) > 1 else path
        assert field in paths or path == ".metadata.creationTimestamp", path
    assert {*kind.selectable, *(kind.scale or {}).values()} <= paths


def test_nothing_has_a_default() -> None:
    """What absent means is decided in code, in one place, and shown by `holdfast diff`."""
    assert [path for kind in KINDS for path, node in fields(kind) if "default" in node] == []


class Inner(ApiModel):
    """Something   inside."""

    name: str = Field(max_length=3)


class Outer(ApiModel):
    """Something outside."""

    one: Inner
    many: list[Inner] | None = Field(default=None, max_length=2, description="Several.")
    kind: Literal["Only"] = "Only"
    named: dict[Annotated[str, Field(max_length=9)], int] | None = Field(default=None, max_length=4)


def test_converts_what_a_server_does_not_take() -> None:
    inner = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string", "maxLength": 3}}}
    assert structural_schema(Outer) == {
        "description": "Something outside.",
        "type": "object",
        "required": ["one"],
        "properties": {
            "one": {"description": "Something inside.", **inner},
            "many": {
                "description": "Several.",
                "type": "array",
                "maxItems": 2,
                "items": {"description": "Something inside.", **inner},
                "x-kubernetes-list-type": "atomic",
            },
            "kind": {"type": "string", "enum": ["Only"]},
            "named": {"type": "object", "maxProperties": 4, "additionalProperties": {"type": "integer"}},
        },
    }


class Choice(ApiModel):
    """A field of two types."""

    value: int | str


class Anything(ApiModel):
    """A field of no type."""

    value: Any


class Open(ApiModel):
    """A bound that a structural schema writes in another way."""

    value: int = Field(gt=0)


@pytest.mark.parametrize("model", [Choice, Anything, Open])
def test_refuses_what_it_cannot_say(model: type[ApiModel]) -> None:
    with pytest.raises(UnsupportedSchemaError):
        structural_schema(model)


def test_no_node_where_there_is_none() -> None:
    with pytest.raises(KeyError):
        at(structural_schema(Outer), "many[].nme")


def test_quotes_text_for_cel() -> None:
    assert text("Holdfast's \\") == r"'Holdfast\'s \\'"
    with pytest.raises(ValueError, match="no quote"):
        regex("it's")


@pytest.mark.parametrize(
    ("engine", "argument", "word"),
    [
        (EngineType.VLLM, "--revision=main", "spec.model.source"),
        (EngineType.VLLM, "--trust-remote", "spec.model.remoteCode"),
        (EngineType.VLLM, "--no-trust-remote-code", "spec.model.remoteCode"),
        (EngineType.VLLM, "--hf-overrides.rope=1", "spec.model.source"),
        (EngineType.VLLM, "--max-model-len=512", "spec.model.engine.options.contextLength"),
        (EngineType.VLLM, "--tokenizer=other", "spec.model.tokenizer"),
        (EngineType.VLLM, "--lora-modules=a=other/adapter", "spec.model.adapters"),
        (EngineType.VLLM, "--speculative-config={}", "spec.model.draftModel"),
        (EngineType.VLLM, "--spec-model=other", "spec.model.draftModel"),
        (EngineType.VLLM, "--ignore-patterns=x", "spec.model.source"),
        (EngineType.VLLM, "--distributed-executor-backend=a.B", "nobody hashed"),
        (EngineType.VLLM, "--logging-config={}", "nobody hashed"),
        (EngineType.VLLM, "--data-parallel-address=10.0.0.1", "other programs"),
        (EngineType.VLLM, "--pipeline-parallel-size=2", "spec.model.engine.options.pipelineParallelism"),
        (EngineType.VLLM, "--kv-cache-dtype=fp8", "spec.model.engine.options.kvCacheDataType"),
        (EngineType.VLLM, '--structured-outputs-config={"reasoning_parser_plugin": "/holdfast/model/x.py"}', "nobody hashed"),
        (EngineType.VLLM, '--structured-outputs-config={"reasoning\\u005fparser_plugin": "/x.py"}', "write the character itself"),
        (EngineType.VLLM, '--compilation-config={"cache_dir": "/holdfast/model"}', "nobody hashed"),
        (EngineType.VLLM, '--compilation-config={"inductor_passes": {"post_grad_custom_post_pass": "a.b"}}', "nobody hashed"),
        (EngineType.VLLM, '--ec-manager-config={"encoder_cache_manager_cls": "a.B"}', "nobody hashed"),
        (EngineType.VLLM, "--enable-fault", "without its owner"),
        (EngineType.VLLM, '--profiler-config={"profiler": "torch"}', "without its owner"),
        (EngineType.VLLM, "--kv-offloading-backend=lmcache", "other programs"),
        (EngineType.VLLM, "--otlp-traces-endpoint=http://x", "sent while the model serves"),
        (EngineType.SGLANG, "--ple-offload-dir=/tmp", "spec.model.source"),
        (EngineType.SGLANG, "--otlp-traces-endpoint=x", "sent while the model serves"),
        (EngineType.TGI, "--otlp-endpoint=http://x", "sent while the model serves"),
        (EngineType.SGLANG, "--tp=2", "tensorParallelism"),
        (EngineType.SGLANG, "--speculative-ngram-external-corpus-path=x", "spec.model.draftModel"),
        (EngineType.SGLANG, "--sidecar=x", "nobody hashed"),
        (EngineType.SGLANG, "--hicache-storage-backend=file", "other programs"),
        (EngineType.SGLANG, "--model-checksum=other/model", "spec.model.source"),
        (EngineType.TGI, "--model-id=other/model", "spec.model.source"),
        (EngineType.LLAMA_CPP, "--hf-repo-draft=x", "spec.model.source"),
        (EngineType.LLAMA_CPP, "--draft-max=4", "spec.model.draftModel"),
        (EngineType.LLAMA_CPP, "--tools=all", "without its owner"),
        (EngineType.LLAMA_CPP, "--agent", "without its owner"),
        (EngineType.LLAMA_CPP, "--cache-type-k=q8_0", "kvCacheDataType"),
        (EngineType.LLAMA_CPP, "-m=x", "--name=value"),
        (EngineType.LLAMA_CPP, "--lora-scaled=x", "spec.model.adapters"),
    ],
)
def test_refuses_arguments_that_loosen_the_pin(engine: EngineType, argument: str, word: str) -> None:
    assert word in str(refusal(engine, argument))


@pytest.mark.parametrize(
    ("engine", "argument"),
    [
        (EngineType.VLLM, "--enforce-eager"),
        (EngineType.VLLM, "--max-num-seqs=4"),
        (EngineType.VLLM, "--reasoning-parser=qwen3"),
        (EngineType.VLLM, "--tool-call-parser=hermes"),
        (EngineType.VLLM, "--max-lora-rank=64"),
        (EngineType.VLLM, "--data-parallel-size=2"),
        (EngineType.SGLANG, "--ep=2"),
        (EngineType.VLLM, "--no-enable-prefix-caching"),
        (EngineType.VLLM, "--kv-cache-memory-bytes=67108864"),
        (EngineType.SGLANG, "--mem-fraction-static=0.8"),
        (EngineType.TGI, "--max-batch-prefill-tokens=4096"),
        (EngineType.LLAMA_CPP, "--threads=2"),
        (EngineType.LLAMA_CPP, "--no-kv-offload"),
        (EngineType.VLLM, '--compilation-config={"mode": 0}'),
        (EngineType.VLLM, '--structured-outputs-config={"backend": "xgrammar"}'),
    ],
)
def test_lets_arguments_pass_that_only_tune(engine: EngineType, argument: str) -> None:
    assert refusal(engine, argument) is None


def test_every_engine_has_its_refused_arguments() -> None:
    assert set(REFUSED) == set(EngineType)


@pytest.mark.parametrize(
    ("engine", "name", "word"),
    [
        (EngineType.VLLM, "VLLM_SERVER_DEV_MODE", "without its owner"),
        (EngineType.VLLM, "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "without its owner"),
        (EngineType.VLLM, "VLLM_PLUGINS", "nobody hashed"),
        (EngineType.VLLM, "VLLM_LORA_RESOLVER_HF_REPO_LIST", "spec.model.adapters"),
        (EngineType.VLLM, "VLLM_MODEL_REDIRECT_PATH", "spec.model.source"),
        (EngineType.VLLM, "VLLM_USE_MODELSCOPE", "spec.model.source"),
        (EngineType.VLLM, "VLLM_LOOPBACK_IP", "Holdfast sets it"),
        (EngineType.TGI, "OTLP_ENDPOINT", "sent while the model serves"),
        (EngineType.VLLM, "VLLM_NIXL_SIDE_CHANNEL_HOST", "other programs"),
        (EngineType.SGLANG, "SGLANG_EXTERNAL_MODEL_PACKAGE", "nobody hashed"),
        (EngineType.SGLANG, "SGLANG_PLUGINS", "nobody hashed"),
        (EngineType.TGI, "MODEL_ID", "spec.model.source"),
        (EngineType.TGI, "TRUST_REMOTE_CODE", "spec.model.remoteCode"),
        (EngineType.TGI, "QUANTIZE", "options.quantization"),
        (EngineType.LLAMA_CPP, "LLAMA_ARG_HF_REPO", "as an argument"),
        (EngineType.LLAMA_CPP, "GGML_BACKEND_PATH", "nobody hashed"),
        *(
            (engine, name, word)
            for engine in EngineType
            for name, word in {
                "LD_PRELOAD": "nobody hashed",
                "PYTHONPATH": "nobody hashed",
                "PATH": "nobody hashed",
                "SHELLOPTS": "nobody hashed",
                "PS4": "nobody hashed",
                "OMP_TOOL_LIBRARIES": "nobody hashed",
                "UCX_MODULE_DIR": "nobody hashed",
                "TRITON_KERNEL_OVERRIDE": "nobody hashed",
                "TRITON_OVERRIDE_DIR": "Holdfast sets it",
                "NVCC_APPEND_FLAGS": "nobody hashed",
                "CPLUS_INCLUDE_PATH": "nobody hashed",
                "LOCAL_KERNELS": "nobody hashed",
                "NUMBA_CACHE_DIR": "Holdfast sets it",
                "PYTORCH_KERNEL_CACHE_PATH": "Holdfast sets it",
                "TIKTOKEN_ENCODINGS_BASE": "spec.model.source",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "looked up",
                "HF_HUB_OFFLINE": "spec.model.source",
                "HF_ENDPOINT": "spec.model.source",
                "HF_HUB_CACHE": "spec.model.source",
                "TRANSFORMERS_OFFLINE": "spec.model.source",
                "HTTPS_PROXY": "looked up",
                "https_proxy": "looked up",
                "SOME_TOKEN": "no place for secrets",
                "AWS_SECRET_ACCESS_KEY": "no place for secrets",
                "HOME": "Holdfast sets it",
                "NVIDIA_VISIBLE_DEVICES": "spec.serving.accelerator",
            }.items()
        ),
    ],
)
def test_refuses_variables_that_loosen_the_pin(engine: EngineType, name: str, word: str) -> None:
    assert word in str(engine_environment.refusal(engine, name))


@pytest.mark.parametrize(
    "name", ["OMP_NUM_THREADS", "VLLM_BATCH_INVARIANT", "NCCL_DEBUG", "PYTORCH_CUDA_ALLOC_CONF", "MODEL_NAME"]
)
@pytest.mark.parametrize("engine", EngineType)
def test_lets_variables_pass_that_only_tune(engine: EngineType, name: str) -> None:
    assert engine_environment.refusal(engine, name) is None


def test_every_engine_has_its_refused_variables() -> None:
    assert set(engine_environment.REFUSED) == set(EngineType)
