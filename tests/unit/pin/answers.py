"""Answers about sources, with the contents of the small files that matter."""

import hashlib
import json
from typing import Any, Final

from holdfast.api.found import Found
from holdfast.api.manifest import manifest_digest
from holdfast.api.model import File
from holdfast.api.revision import ResolvedHuggingFace, ResolvedSource

COMMIT: Final = "a" * 40
CONFIG: Final[dict[str, Any]] = {"max_position_embeddings": 4096, "torch_dtype": "bfloat16"}


def found(
    texts: dict[str, Any] | None = None, *paths: str, repository: str = "lab/model", commit: str = COMMIT, read: bool = True
) -> Found:
    """Return an answer with these files; values that are no text become JSON. Without `read` nobody looked inside."""
    written = {path: text if isinstance(text, str) else json.dumps(text) for path, text in (texts or {}).items()}
    contents = written | {path: path for path in paths}
    files = [
        File(path=path, size=len(text), sha256=hashlib.sha256(text.encode()).hexdigest())
        for path, text in sorted((contents or {"model.safetensors": ""}).items())
    ]
    source = ResolvedSource(
        hugging_face=ResolvedHuggingFace(endpoint="https://hub.example", repository=repository, commit=commit),
        manifest_digest=manifest_digest(files),
        files=files,
    )
    return Found(source=source, texts=written if read else None)
