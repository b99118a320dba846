"""References to images and artifacts, in full."""

import re
from dataclasses import dataclass
from typing import Final

from holdfast.sources.registry_errors import ImageReferenceError

DOCKER_HUB: Final = "docker.io"
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_REGISTRY: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")
_REPOSITORY: Final = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """A reference in full: no part of it is implied."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def pinned(self) -> str | None:
        """The form for ``spec.model.engine.image``: registry, repository and digest, without the tag; None without a digest."""
        return f"{self.registry}/{self.repository}@{self.digest}" if self.digest else None


def parse_reference(text: str) -> ImageReference:
    """Read an image reference as container tools do: ``vllm/vllm-openai:v1`` is ``docker.io/vllm/vllm-openai:v1``.

    Raises:
        ImageReferenceError: it is malformed, or names neither tag nor digest (``latest`` is never implied).
    """
    rest, at, digest = text.partition("@")
    if at and not DIGEST.fullmatch(digest):
        raise ImageReferenceError(f"{text!r}: a digest is sha256: and 64 lower-case hex digits")
    first, slash, remainder = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, path = first, remainder
    else:
        registry, path = DOCKER_HUB, rest
    path, colon, tag = path.partition(":")
    if registry == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    if not _REGISTRY.fullmatch(registry) or not _REPOSITORY.fullmatch(path) or (colon and not _TAG.fullmatch(tag)):
        raise ImageReferenceError(f"{text!r} is not an image; write registry/name:tag or registry/name@sha256:…")
    if not colon and not at:
        raise ImageReferenceError(f"{text!r} names no version; add the tag that was tested, such as {text}:v1.2.3, or a digest")
    return ImageReference(registry=registry, repository=path, tag=tag or None, digest=digest or None)
