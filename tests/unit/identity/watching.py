"""A watch of a fake engine, with the facts that are rendered for the engine that it plays."""

import json
from pathlib import Path
from typing import Any

from holdfast.api.model import EngineType
from holdfast.identity.engine import Engine
from holdfast.identity.facts import Identity, parse
from holdfast.identity.memory import recall
from holdfast.identity.watch import Watch
from holdfast.render.version1.container import EngineRenderer
from holdfast.render.version1.llama_cpp import LlamaCpp
from holdfast.render.version1.sglang import SGLang
from holdfast.render.version1.tgi import TGI
from holdfast.render.version1.vllm import VLLM
from unit.engines.fake import Fake
from unit.render.cases import GGUF, SAFETENSORS, declared, resolved

FINGERPRINT = "v1:0123456789ab"
CONTEXT_LENGTH = 512
ENGINES: dict[str, tuple[EngineType, EngineRenderer, tuple[str, ...]]] = {
    "vllm": (
        EngineType.VLLM,
        VLLM(),
        (f"--max-model-len={CONTEXT_LENGTH}", "--fingerprint-mode=custom", f"--fingerprint-value={FINGERPRINT}"),
    ),
    "tgi": (EngineType.TGI, TGI(), (f"--max-total-tokens={CONTEXT_LENGTH}",)),
    "sglang": (EngineType.SGLANG, SGLang(), (f"--context-length={CONTEXT_LENGTH}", f"--weight-version={FINGERPRINT}")),
    "llamacpp": (EngineType.LLAMA_CPP, LlamaCpp(), ("--ctx-size", str(CONTEXT_LENGTH))),
}
FLAGS = {flavor: flags for flavor, (_, _, flags) in ENGINES.items()}
"""What makes a fake engine be what was approved."""


def approved(flavor: str, model: Path) -> dict[str, Any]:
    """Return ``identity.json`` as it is rendered, for files that are in `model` and not where pods have them."""
    kind, renderer, _ = ENGINES[flavor]
    fields = {"options": {"contextLength": CONTEXT_LENGTH}}
    found = resolved(
        declared(kind, engine_fields=fields, servedName="chat"), GGUF if kind is EngineType.LLAMA_CPP else SAFETENSORS
    )
    text = renderer.identity(found, fingerprint=FINGERPRINT).decode()
    document: dict[str, Any] = json.loads(
        text.replace("/holdfast/model/tiny.gguf", str(model)).replace("/holdfast/model", str(model))
    )
    return document


def watch(fake: Fake, identity: Identity | dict[str, Any], folder: Path, *, patience: float = 5.0) -> Watch:
    """Return a watch as a container that starts has it; `patience` is for each answer, in seconds."""
    found = parse(identity) if isinstance(identity, dict) else identity
    port = int(fake.url.rpartition(":")[2])
    engine = Engine("127.0.0.1", port, timeout=patience, completion_timeout=patience)
    memory = folder / "memory.json"
    return Watch(found, engine, quarantine=folder / "quarantine", memory=memory, remembered=recall(memory))
