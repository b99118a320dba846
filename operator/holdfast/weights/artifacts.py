"""What a pod needs on its disk, as its ConfigMap says it: ``artifacts.json``, and the list of files that a volume carries itself.

No pydantic here: importing it would take longer than checking a sealed cache.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from holdfast.api.manifest import MANIFEST_MAX_BYTES, manifest_bytes, manifest_digest, paths_problem
from holdfast.weights.errors import WeightsMismatchError

ARTIFACTS_MAX_BYTES: Final = 1024 * 1024  # a ConfigMap holds no more (Kubernetes API, ConfigMap)
VOLUME_MANIFEST: Final = "holdfast-manifest.json"
"""The canonical list of files of an owner's volume, in its top folder; it is not in the list itself."""
_SIZE_MAX: Final = 2**53 - 1  # JSON numbers are exact up to here (RFC 8785)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedFile:
    """One file that must be there, byte by byte. `size` is in bytes, `sha256` in lower-case hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HubOrigin:
    """A commit of a repository of a Hub."""

    endpoint: str
    repository: str
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OciOrigin:
    """An artifact or image in a registry: ``registry/name@sha256:…``."""

    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeOrigin:
    """The owner's own claim. Nothing can be fetched into it."""

    claim_name: str
    path: str = ""


Origin = HubOrigin | OciOrigin | VolumeOrigin


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One directory of files. `files` is None for a volume that carries its own list, whose digest is `manifest_digest`."""

    name: str
    manifest_digest: str
    origin: Origin
    files: tuple[ApprovedFile, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How origins are reached: files with secrets, read when the network is needed, and an owner's mirror to ask instead."""

    token_file: Path | None = None
    registry_credentials: Path | None = None
    mirror: str | None = None


def read_artifacts(path: Path, digest: str) -> tuple[Artifact, ...]:
    """Return the artifacts of the list with this digest.

    Raises:
        WeightsMismatchError: the file is another list, or one that cannot be right.
        OSError: it cannot be read.
    """
    content = _read(path, digest, ARTIFACTS_MAX_BYTES, "the list of artifacts")
    return _parsed(path, "a list of artifacts", lambda: _artifacts(content))


def read_manifest(path: Path, digest: str) -> tuple[ApprovedFile, ...]:
    """Return the files of the canonical list with this digest.

    Raises:
        WeightsMismatchError: the file is another list, or one that cannot be right.
        OSError: it cannot be read.
    """
    content = _read(path, digest, MANIFEST_MAX_BYTES, "the list of files")
    files = _parsed(path, "a list of files", lambda: _files(_load(content)))
    if manifest_bytes(files) != content:
        raise WeightsMismatchError(f"{path}: the list of files is not in canonical form")
    return files


def _read(path: Path, digest: str, limit: int, what: str) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise WeightsMismatchError(f"{path}: {what} is longer than {limit} bytes")
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if not hmac.compare_digest(found.encode(), digest.encode()):
        raise WeightsMismatchError(f"{path}: {what} is not the approved one: expected {digest}, found {found}")
    return content


def _parsed(path: Path, what: str, parse: Callable[[], _T]) -> _T:
    try:
        return parse()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsMismatchError(f"{path}: not {what}: {error}") from error


def _load(content: bytes) -> Any:
    return json.loads(content.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _artifacts(content: bytes) -> tuple[Artifact, ...]:
    (listed,) = _fields(_load(content), "artifacts")
    if not isinstance(listed, list) or not listed:
        raise ValueError("there are no artifacts")
    found = tuple(_artifact(entry) for entry in listed)
    if len({artifact.name for artifact in found}) != len(found):
        raise ValueError("two artifacts have the same name")
    return found


def _artifact(entry: object) -> Artifact:
    name, digest, source, files = _fields(entry, "name", "manifestDigest", "source", optional=("files",))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("an artifact's name is malformed")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError(f"the manifestDigest of {name} is malformed")
    origin = _origin(source)
    if files is None and not isinstance(origin, VolumeOrigin):
        raise ValueError(f"{name} has no files")
    listed = None if files is None else _files(files)
    if listed is not None and not hmac.compare_digest(manifest_digest(listed), digest):
        raise ValueError(f"the files of {name} do not have the manifestDigest {digest}")
    return Artifact(name=name, manifest_digest=digest, origin=origin, files=listed)


def _origin(source: object) -> Origin:
    if not isinstance(source, dict) or len(source) != 1:
        raise ValueError("a source is not one of huggingFace, oci and volume")
    ((kind, value),) = source.items()
    match kind:
        case "huggingFace":
            endpoint, repository, commit = _texts(value, "endpoint", "repository", "commit")
            return HubOrigin(endpoint=endpoint, repository=repository, commit=commit)
        case "oci":
            (reference,) = _texts(value, "reference")
            return OciOrigin(reference=reference)
        case "volume":
            claim, path = _fields(value, "claimName", optional=("path",))
            if not isinstance(claim, str) or not isinstance(path, str | None):
                raise ValueError("a volume is malformed")
            return VolumeOrigin(claim_name=claim, path=path or "")
    raise ValueError("a source is not one of huggingFace, oci and volume")


def _files(listed: object) -> tuple[ApprovedFile, ...]:
    if not isinstance(listed, list):
        raise ValueError("the files are not a list")
    files = tuple(_file(entry) for entry in listed)
    problem = paths_problem([file.path for file in files])
    if problem:
        raise ValueError(problem)
    return files


def _file(entry: object) -> ApprovedFile:
    path, size, sha256 = _fields(entry, "path", "size", "sha256")
    if not isinstance(path, str) or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError("a path or a sha256 is malformed")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _SIZE_MAX:
        raise ValueError("a size is malformed")
    return ApprovedFile(path=path, size=size, sha256=sha256)


def _texts(value: object, *names: str) -> list[str]:
    found = _fields(value, *names)
    texts = [text for text in found if isinstance(text, str) and text and text.isascii() and text.isprintable()]
    if len(texts) != len(found):
        raise ValueError(f"one of {', '.join(names)} is not a plain text")
    return texts


def _fields(value: object, *names: str, optional: tuple[str, ...] = ()) -> list[object]:
    """Return the values of an object that has these names and no others; an absent optional one is None."""
    if not isinstance(value, dict):
        raise ValueError("an object is expected")
    unknown = value.keys() - {*names, *optional}
    missing = set(names) - value.keys()
    if unknown or missing:
        raise ValueError(f"unknown or missing names: {', '.join(sorted(ascii(name)[:40] for name in unknown | missing))}")
    return [value[name] for name in names] + [value.get(name) for name in optional]
