"""From an artifact in a registry to exact files. A ``raw`` layer of a ModelPack artifact is a file: its digest is the file's sha256.

Archives do not say what is in them before they are fetched, so for those the list comes with the manifest (``files``).
"""

import hmac
import json
from collections.abc import Mapping
from typing import Any

from holdfast.api.found import Found, Question
from holdfast.api.manifest import MANIFEST_MAX_BYTES, manifest_bytes, manifest_digest, paths_problem
from holdfast.api.model import File, OciSource
from holdfast.api.revision import ResolvedOci, ResolvedSource
from holdfast.sources.hub_client import RepositoryFile
from holdfast.sources.hub_errors import (
    HubError,
    SourceForbiddenError,
    SourceMismatchError,
    SourceNotFoundError,
    SourceUnavailableError,
    SourceUnusableError,
)
from holdfast.sources.hub_resolution import TEXT_MAX_BYTES, TEXTS
from holdfast.sources.oci_blobs import parse_layers
from holdfast.sources.registry import read_manifest, read_small_blob
from holdfast.sources.registry_access import RegistryAccess
from holdfast.sources.registry_errors import (
    ImageNotFoundError,
    ImageReferenceError,
    RegistryError,
    RegistryForbiddenError,
)
from holdfast.sources.registry_reference import ImageReference, parse_reference
from holdfast.sources.selection import choose


def list_it(reference: str) -> str:
    """Say how the list of files comes into a manifest."""
    return f"write files, which this prints: holdfast pin oci://{reference} --files"


async def resolve_oci(question: Question, source: OciSource, registries: RegistryAccess) -> Found:
    """Return the exact files of a declared artifact.

    Raises:
        HubError: with the `Reason` to show.
    """
    try:
        return await _resolve(question, source, registries)
    except RegistryError as error:
        raise _kind(error)(f"{error}; or {list_it(source.reference)}") from error


async def _resolve(question: Question, source: OciSource, registries: RegistryAccess) -> Found:
    reference = parse_reference(source.reference)
    manifest = _manifest(await read_manifest(reference, registries), source.reference)
    files = choose(
        _files(manifest, source.reference),
        include=None,
        taking=question.taking,
        python=question.python,
        file=question.file,
        where=source.reference,
    )
    problem = paths_problem([file.path for file in files])
    if problem:
        raise SourceUnusableError(f"{source.reference}: {problem}")
    listed = [File(path=file.path, size=file.size, sha256=file.sha256 or "") for file in files]
    if len(manifest_bytes(listed)) > MANIFEST_MAX_BYTES:
        raise SourceUnusableError(
            f"{source.reference}: the list of its {len(listed)} files is longer than {MANIFEST_MAX_BYTES} bytes"
        )
    digest = manifest_digest(listed)
    if source.manifest_digest is not None and not hmac.compare_digest(digest, source.manifest_digest):
        raise SourceMismatchError(
            f"{source.reference} has the file list {digest}, but manifestDigest says {source.manifest_digest}"
        )
    texts = {file.path: await _text(reference, file, registries) for file in listed if TEXTS.fullmatch(file.path)}
    resolved = ResolvedSource(oci=ResolvedOci(reference=source.reference), manifest_digest=digest, files=listed)
    return Found(source=resolved, texts=texts)


def _manifest(content: bytes, name: str) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SourceUnusableError(f"{name} is not a manifest") from error
    if not isinstance(manifest, dict):
        raise SourceUnusableError(f"{name} is not a manifest")
    if "manifests" in manifest:
        raise SourceUnusableError(f"{name} is an index of images, whose archives do not say what is in them; {list_it(name)}")
    return manifest


def _files(manifest: Mapping[str, Any], name: str) -> list[RepositoryFile]:
    """Return the files of an artifact, ordered by path."""
    layers = parse_layers(manifest, name)
    if any(layer.archive for layer in layers):
        raise SourceUnusableError(f"{name} has its files in archives, which do not say what is in them; {list_it(name)}")
    untitled = [layer for layer in layers if layer.title is None]
    if untitled:
        raise SourceUnusableError(f"{name} has a layer that does not say which file it is: sha256:{untitled[0].sha256}")
    found = [RepositoryFile(path=layer.title or "", size=layer.size, blob="", sha256=layer.sha256) for layer in layers]
    return sorted(found, key=lambda file: file.path)


async def _text(reference: ImageReference, file: File, registries: RegistryAccess) -> str:
    if file.size > TEXT_MAX_BYTES:
        raise SourceUnusableError(f"{file.path!a} has {file.size} bytes: too large for what it is")
    content = await read_small_blob(reference, f"sha256:{file.sha256}", registries, max_bytes=file.size)
    if len(content) != file.size:
        raise SourceMismatchError(f"{file.path!a}: the manifest says {file.size} bytes, and the blob has {len(content)}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceUnusableError(f"{file.path!a} of {reference} is not text in UTF-8") from error


def _kind(error: RegistryError) -> type[HubError]:
    match error:
        case ImageReferenceError():
            return SourceUnusableError
        case ImageNotFoundError():
            return SourceNotFoundError
        case RegistryForbiddenError():
            return SourceForbiddenError
        case _:
            return SourceUnavailableError
