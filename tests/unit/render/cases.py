"""Models and deployments that the tests of rendering look at, one for each engine."""

from typing import Any

from builders import ENGINE_IMAGE, WEIGHTS_IMAGE, deployment, meta
from holdfast.api.deployment import ModelDeploymentSpec
from holdfast.api.model import File, Model
from holdfast.api.names import revision_name
from holdfast.api.revision import (
    ModelRevisionSpec,
    ModelRevisionStatus,
    Render,
    ResolvedHuggingFace,
    ResolvedModel,
    ResolvedSource,
)
from holdfast.domain.pin import declared_digest, manifest_digest, pin_digest, resolve_model
from holdfast.domain.snapshot import DeploymentView, RevisionView

SAFETENSORS = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
GGUF = ("README.md", "tiny.gguf")
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


def declared(engine: str, *, engine_fields: dict[str, Any] | None = None, **fields: Any) -> Model:
    """Return a declared model in wire form."""
    return Model.parse(
        {
            "source": {"huggingFace": {"repository": "lab/model", "commit": "a" * 40}},
            "engine": {"type": engine, "image": ENGINE_IMAGE} | (engine_fields or {}),
        }
        | fields
    )


def resolved(model: Model, paths: tuple[str, ...]) -> ResolvedModel:
    """Return a model with these files, as the Hub would answer."""
    source = model.source.hugging_face
    assert source is not None
    files = [File(path=path, size=100 + number, sha256=f"{number:x}" * 64) for number, path in enumerate(paths, start=1)]
    return resolve_model(
        "support-chat",
        model,
        ResolvedSource(
            hugging_face=ResolvedHuggingFace(endpoint="https://hub.example", repository=source.repository, commit=source.commit),
            manifest_digest=manifest_digest(files),
            files=files,
        ),
    )


def revision(model: Model, paths: tuple[str, ...], *, version: int = 1) -> RevisionView:
    """Return revision 2 of the deployment."""
    found = resolved(model, paths)
    return RevisionView(
        meta=meta(revision_name("support-chat", 2), uid="revision-2"),
        spec=ModelRevisionSpec(
            deployment="support-chat",
            number=2,
            digest=pin_digest(found),
            declared=declared_digest(model),
            model=found,
            render=Render(version=version, weights_image=WEIGHTS_IMAGE),
        ),
        status=ModelRevisionStatus(),
    )


def owner(model: Model, **serving: Any) -> DeploymentView:
    """Return the deployment; `serving` are fields of ``spec.serving`` in wire form."""
    spec: dict[str, Any] = {"model": model.wire()}
    return deployment(ModelDeploymentSpec.parse(spec | ({"serving": serving} if serving else {})))


FULL_OPTIONS = {"contextLength": 8192, "dataType": "bfloat16", "quantization": "fp8", "seed": 7, "tensorParallelism": 2}
FULL_GENERATION = {"temperature": 0.7, "topP": 0.8, "topK": 20}
FULL_SERVING: dict[str, Any] = {
    "replicas": 2,
    "accelerator": {"resource": "nvidia.com/gpu", "count": 2, "product": "NVIDIA-H100-80GB-HBM3"},
    "resources": {"requests": {"cpu": "4.5", "memory": "32768Mi"}, "limits": {"memory": "32Gi"}},
    "scheduling": {
        "nodeSelector": {"pool": "models"},
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "models", "effect": "NoSchedule"}],
        "priorityClassName": "models",
    },
    "cache": {"type": "PersistentVolumeClaim", "size": "61440Mi", "storageClassName": "fast", "accessMode": "ReadWriteMany"},
    "hubToken": {"name": "hub", "key": "token"},
    "drainSeconds": 120,
}

MINIMAL: dict[str, tuple[Model, tuple[str, ...]]] = {
    "vllm": (declared("VLLM"), SAFETENSORS),
    "tgi": (declared("TGI"), SAFETENSORS),
    "sglang": (declared("SGLang"), SAFETENSORS),
    "llama-cpp": (declared("LlamaCpp"), GGUF),
}
FULL: dict[str, tuple[Model, tuple[str, ...]]] = {
    "vllm": (
        declared(
            "VLLM",
            engine_fields={"options": FULL_OPTIONS, "args": ["--enforce-eager", "--max-num-seqs=64"]},
            chatTemplate={"text": TEMPLATE},
            generation=FULL_GENERATION,
            servedName="acme/support",
        ),
        SAFETENSORS,
    ),
    "tgi": (
        declared(
            "TGI",
            engine_fields={
                "options": {"contextLength": 8192, "dataType": "bfloat16", "tensorParallelism": 2},
                "args": ["--max-concurrent-requests=64"],
            },
            servedName="acme/support",
        ),
        SAFETENSORS,
    ),
    "sglang": (
        declared(
            "SGLang",
            engine_fields={"options": FULL_OPTIONS, "args": ["--mem-fraction-static=0.8"]},
            chatTemplate={"text": TEMPLATE},
            servedName="acme/support",
        ),
        SAFETENSORS,
    ),
    "llama-cpp": (
        declared(
            "LlamaCpp",
            engine_fields={
                "options": {"contextLength": 8192, "seed": 7, "modelFile": "big/model-00001-of-00002.gguf"},
                "args": ["--parallel=4", "--flash-attn=on", "--no-mmap"],
            },
            chatTemplate={"text": TEMPLATE},
            generation=FULL_GENERATION,
            servedName="acme/support",
        ),
        ("big/model-00001-of-00002.gguf", "big/model-00002-of-00002.gguf", "other.gguf"),
    ),
}
