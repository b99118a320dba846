"""What pods need on their disks: each source of a model under a name, as ``holdfast-weights`` reads it."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import rfc8785

from holdfast.api.revision import ResolvedModel, ResolvedSource

MODEL: Final = "model"
TOKENIZER: Final = "tokenizer"
DRAFT: Final = "draft"
_ADAPTER: Final = "adapter-"
_CODE: Final = "code-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One directory of files: ``model``, ``tokenizer``, ``draft``, ``adapter-NAME`` or ``code-OWNER--NAME``."""

    name: str
    source: ResolvedSource

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; ``files`` is absent for a volume that carries its own list."""
        origin = self.source.wire()
        digest, files = origin.pop("manifestDigest"), origin.pop("files", None)
        listed = {} if files is None else {"files": files}
        return {"name": self.name, "manifestDigest": digest, "source": origin, **listed}


def artifacts(model: ResolvedModel) -> tuple[Artifact, ...]:
    """Return what pods of a model need, the model first."""
    found = [Artifact(name=MODEL, source=model.source)]
    if model.tokenizer is not None:
        found.append(Artifact(name=TOKENIZER, source=model.tokenizer))
    if model.draft_model is not None:
        found.append(Artifact(name=DRAFT, source=model.draft_model.source))
    found += [Artifact(name=f"{_ADAPTER}{adapter.name}", source=adapter.source) for adapter in model.adapters or ()]
    found += [Artifact(name=f"{_CODE}{_repository(source)}", source=source) for source in model.code or ()]
    return tuple(found)


def artifacts_bytes(model: ResolvedModel) -> bytes:
    """Return the canonical list of artifacts: RFC 8785 JSON, the same for the same model for ever."""
    return rfc8785.dumps({"artifacts": [artifact.wire() for artifact in artifacts(model)]})


def artifacts_digest(model: ResolvedModel) -> str:
    """Return ``sha256:`` and the hex digest of the canonical list of artifacts."""
    return f"sha256:{hashlib.sha256(artifacts_bytes(model)).hexdigest()}"


def _repository(source: ResolvedSource) -> str:
    if source.hugging_face is None:
        raise ValueError("code comes from a repository of a Hub")
    return source.hugging_face.repository.replace("/", "--")
