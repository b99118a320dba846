"""Models and deployments that the tests of rendering look at, one for each engine."""

from typing import Any

from builders import ENGINE_IMAGE, WEIGHTS_IMAGE, deployment, meta
from holdfast.api.deployment import ModelDeploymentSpec
from holdfast.api.model import File, HuggingFaceSource, Model, ModelSource, RemoteCode
from holdfast.api.names import revision_name
from holdfast.api.revision import (
    ModelRevisionSpec,
    ModelRevisionStatus,
    Render,
    ResolvedAdapter,
    ResolvedDraftModel,
    ResolvedGeneration,
    ResolvedHuggingFace,
    ResolvedModel,
    ResolvedOci,
    ResolvedSource,
    ResolvedTemplate,
    ResolvedVolume,
    TemplateOrigin,
)
from holdfast.domain.pin import NEUTRAL, declared_digest, manifest_digest, pin_digest
from holdfast.domain.snapshot import DeploymentView, RevisionView

SAFETENSORS = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
GGUF = ("README.md", "tiny.gguf")
DRAFT = ("draft.gguf", "draft.safetensors")
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


def source(declared: ModelSource | HuggingFaceSource, paths: tuple[str, ...]) -> ResolvedSource:
    """Return a source with these files; one that is declared with its own list, or to have one, keeps that."""
    kind = ModelSource(hugging_face=declared) if isinstance(declared, HuggingFaceSource) else declared
    files = [File(path=path, size=100 + number, sha256=f"{number % 16:x}" * 64) for number, path in enumerate(paths, start=1)]
    digest = manifest_digest(files)
    if kind.volume is not None:
        volume = ResolvedVolume(claim_name=kind.volume.claim_name, path=kind.volume.path)
        return ResolvedSource(volume=volume, manifest_digest=kind.volume.manifest_digest, files=kind.volume.files)
    if kind.oci is not None:
        return ResolvedSource(oci=ResolvedOci(reference=kind.oci.reference), manifest_digest=digest, files=files)
    hub = kind.hugging_face
    assert hub is not None
    found = ResolvedHuggingFace(endpoint="https://hub.example", repository=hub.repository, commit=hub.commit)
    return ResolvedSource(hugging_face=found, manifest_digest=digest, files=files)


def resolved(model: Model, paths: tuple[str, ...]) -> ResolvedModel:
    """Return a model with these files, resolved without looking into any of them."""
    template = model.chat_template.text if model.chat_template else None
    adapters = [
        ResolvedAdapter(name=each.name, source=source(each.source, ("adapter_model.safetensors",)))
        for each in model.adapters or ()
    ]
    draft = model.draft_model
    return ResolvedModel(
        source=source(model.source, paths),
        tokenizer=source(model.tokenizer, ("tokenizer.json",)) if model.tokenizer else None,
        remote_code=model.remote_code or RemoteCode.FORBIDDEN,
        code=[source(each, ("modeling.py",)) for each in model.code or ()] or None,
        adapters=adapters or None,
        draft_model=ResolvedDraftModel(source=source(draft.source, DRAFT), tokens=draft.tokens) if draft else None,
        engine=model.engine,
        chat_template=ResolvedTemplate(origin=TemplateOrigin.INLINE if template else TemplateOrigin.SOURCE, text=template),
        generation=ResolvedGeneration.parse(NEUTRAL.wire() | (model.generation.wire() if model.generation else {})),
        served_name=model.served_name or "support-chat",
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
                "args": ["--parallel=4", "--flash-attn=on", "--load-mode=none"],
            },
            chatTemplate={"text": TEMPLATE},
            generation=FULL_GENERATION,
            servedName="acme/support",
        ),
        ("big/model-00001-of-00002.gguf", "big/model-00002-of-00002.gguf", "other.gguf"),
    ),
}


def _hub(name: str, letter: str) -> dict[str, Any]:
    return {"huggingFace": {"repository": name, "commit": letter * 40}}


MANY_PARTS: tuple[Model, tuple[str, ...]] = (
    declared(
        "VLLM",
        tokenizer=_hub("lab/tokenizer", "b"),
        remoteCode="Pinned",
        code=[{"repository": "lab/code", "commit": "c" * 40}],
        adapters=[{"name": "legal", "source": _hub("lab/legal", "d")}, {"name": "polite", "source": _hub("lab/polite", "e")}],
        draftModel={"source": _hub("lab/draft", "f"), "tokens": 4},
    ),
    SAFETENSORS,
)
"""A model with every part that a model can have."""
PARTS: dict[str, tuple[Model, tuple[str, ...]]] = {
    "vllm": MANY_PARTS,
    "tgi": (
        declared(
            "TGI",
            remoteCode="Pinned",
            adapters=[{"name": "legal", "source": _hub("lab/legal", "d")}, {"name": "polite", "source": _hub("lab/polite", "e")}],
        ),
        SAFETENSORS,
    ),
    "sglang": (
        declared(
            "SGLang",
            tokenizer=_hub("lab/tokenizer", "b"),
            remoteCode="Pinned",
            adapters=[{"name": "legal", "source": _hub("lab/legal", "d")}, {"name": "polite", "source": _hub("lab/polite", "e")}],
            draftModel={"source": _hub("lab/draft", "f"), "tokens": 4},
        ),
        SAFETENSORS,
    ),
    "llama-cpp": (declared("LlamaCpp", draftModel={"source": _hub("lab/draft", "f"), "tokens": 4}), GGUF),
}
"""Models with every part that their engine can load."""
MIXED: tuple[Model, tuple[str, ...]] = (
    declared(
        "VLLM",
        source={"oci": {"reference": f"registry.example/models/chat@sha256:{'0' * 64}"}},
        tokenizer={"volume": {"claimName": "texts", "path": "chat/tokenizer", "manifestDigest": f"sha256:{'1' * 64}"}},
        adapters=[{"name": "legal", "source": _hub("lab/legal", "d")}],
    ),
    SAFETENSORS,
)
"""A model with a source of each kind."""
CLAIM: dict[str, Any] = {"type": "PersistentVolumeClaim", "size": "60Gi"}
