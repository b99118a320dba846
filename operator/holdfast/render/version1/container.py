"""What the engines have in common: where things are in the pod, and the part of a container that each engine decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from holdfast.api.revision import ResolvedModel

MODEL: Final = "/holdfast/model"
"""The verified files, read-only. So are the other artifacts, each in its place, if the model has them."""
TOKENIZER: Final = "/holdfast/tokenizer"
DRAFT: Final = "/holdfast/draft"
ADAPTERS: Final = "/holdfast/adapters"
"""With a folder for each adapter, by its name."""
CODE: Final = "/holdfast/code"
"""The layout of a Hub cache (HF_HUB_CACHE) in which the branch main of each repository of code is the pinned commit."""
REVISION: Final = "/holdfast/revision"
"""The revision's ConfigMap."""
ARTIFACTS_KEY: Final = "artifacts.json"
CHAT_TEMPLATE_KEY: Final = "chat-template.jinja"
CHAT_TEMPLATE: Final = f"{REVISION}/{CHAT_TEMPLATE_KEY}"
WEIGHTS: Final = "/holdfast/weights"
"""The cache of verified weights, writable for the fetching container only."""
IMAGES: Final = "/holdfast/images"
"""Image volumes as a whole, for the containers that verify them."""
SEALS: Final = "/holdfast/seals"
"""The seals of a cache that is read-only otherwise."""
SEAL: Final = "/holdfast/seal"
"""The key of seals, for the weights containers only."""
NAMED: Final = "/holdfast/named"
"""What must stay in the cache, for the Job that deletes the rest."""
REGISTRY: Final = "/holdfast/registry"
TOKEN: Final = "/holdfast/token"  # noqa: S105 # a directory
TEMPORARY: Final = "/tmp"  # noqa: S108 # a volume of the pod's own

WITHDRAW_SECONDS: Final = 10
"""How long a pod that was told to end goes on serving, so that every gateway pod has taken it out of its endpoints."""
EXIT_SECONDS: Final = 10
"""How long an engine may take to exit once its requests have ended."""

OFFLINE: Final[Mapping[str, str]] = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}
"""For the Python engines: nothing is looked up or downloaded while the model serves."""
WRITABLE: Final[Mapping[str, str]] = {
    "HF_HOME": f"{TEMPORARY}/huggingface",
    "HOME": TEMPORARY,
    "LOGNAME": "holdfast",  # the user id has no entry in the image's passwd; Python's getpass asks here first
    "PYTHONDONTWRITEBYTECODE": "1",
    "TMPDIR": TEMPORARY,
    "TORCHINDUCTOR_CACHE_DIR": f"{TEMPORARY}/torchinductor",
    "TRITON_CACHE_DIR": f"{TEMPORARY}/triton",
    "USER": "holdfast",
    "XDG_CACHE_HOME": f"{TEMPORARY}/cache",
}
"""For the Python engines: all that they write goes to the temporary volume, because the root file system is read-only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineContainer:
    """The part of the engine's container that depends on the engine. `command` None keeps the image's entrypoint."""

    command: tuple[str, ...] | None = None
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    health_path: str
    shared_memory: str | None = None
    """Most that /dev/shm may hold; None leaves the container runtime's 64 MiB."""
    finishes_requests: bool
    """On SIGTERM the engine finishes what it is answering. If not, SIGTERM is held back for the time of draining."""


class EngineRenderer(Protocol):
    """One engine."""

    VERSIONS: ClassVar[str]
    """The versions of the engine whose flags and answers were read and tried."""

    def container(self, model: ResolvedModel, *, fingerprint: str, drain_seconds: int) -> EngineContainer:
        """Return how to run a model. `model` has no `problems`."""

    def identity(self, model: ResolvedModel, *, fingerprint: str) -> bytes:
        """Return ``identity.json``: what the running engine has to report."""

    def problems(self, model: ResolvedModel) -> list[str]:
        """Return what of a model this engine cannot do, each with what to write instead."""


def environment(model: ResolvedModel, own: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an engine: Holdfast's and the owner's, which have other names.

    The kubelet would expand ``$(NAME)`` in them.
    """
    return {**own, **{variable.name: variable.value.replace("$", "$$") for variable in model.engine.env or ()}}


def transformers_problems(model: ResolvedModel) -> list[str]:
    """Return the problems of a model for every engine that reads a transformers directory."""
    return [*missing_files(model), *no_single_file(model)]


def unfit_parts(model: ResolvedModel, **parts: str) -> list[str]:
    """Return the problems of parts of a model that an engine cannot load; `parts` says for each why."""
    return [f"spec.model.{_WIRE[part]}: {why}" for part, why in parts.items() if getattr(model, part)]


_WIRE: Final = {"tokenizer": "tokenizer", "code": "code", "adapters": "adapters", "draft_model": "draftModel"}


def missing_files(model: ResolvedModel) -> list[str]:
    """Return what an engine that reads a transformers directory misses in the files of a model."""
    paths = [file.path for file in model.source.files or ()]
    if model.source.files is None:
        return []  # a volume with its own list, which nobody has read yet
    missing: list[str] = []
    if "config.json" not in paths:
        missing.append("config.json")
    if not any(path.endswith(".safetensors") and "/" not in path for path in paths):
        missing.append("*.safetensors")
    return [
        f"spec.model.source: the files have no {name}, which {model.engine.type} loads; check include and the repository"
        for name in missing
    ]


def no_single_file(model: ResolvedModel) -> list[str]:
    """Return the problem of naming a file to an engine that loads a directory."""
    if model.engine.options and model.engine.options.model_file:
        return [f"spec.model.engine.options.modelFile: {model.engine.type} loads all files; leave it out (it is for LlamaCpp)"]
    return []
