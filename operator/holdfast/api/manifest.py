"""The list of files that a model consists of: its canonical form, its digest, and which lists are refused.

The same rules hold in the operator, which makes the list from what the Hub says, and in the pod, which writes files by it; so
they live here, on plain values, without the cost of importing the models.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import rfc8785

FILES_MAX: Final = 10_000
"""Most files of one model."""
MANIFEST_MAX_BYTES: Final = 768 * 1024
"""Longest canonical list. A ConfigMap keeps it beside a chat template, and holds 1 MiB (Kubernetes API, ConfigMap)."""
PATH_MAX_LENGTH: Final = 512
_COMPONENT_MAX_BYTES: Final = 255  # NAME_MAX of Linux file systems

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that a person cannot see or a terminal acts on: controls, formats (bidirectional marks), surrogates."""


class ListedFile(Protocol):
    """One file of the list: path with forward slashes, size in bytes, sha256 in lower-case hex."""

    @property
    def path(self) -> str: ...  # noqa: D102 # a protocol's members are described by the class
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def sha256(self) -> str: ...  # noqa: D102


def manifest_bytes(files: Iterable[ListedFile]) -> bytes:
    """Return the canonical list: RFC 8785 JSON of ``{path, sha256, size}``, sorted by path in Unicode code point order."""
    listed = sorted(files, key=lambda file: file.path)
    return rfc8785.dumps([{"path": file.path, "sha256": file.sha256, "size": file.size} for file in listed])


def manifest_digest(files: Iterable[ListedFile]) -> str:
    """Return ``sha256:`` and the hex digest of the canonical list."""
    return f"sha256:{hashlib.sha256(manifest_bytes(files)).hexdigest()}"


def path_problem(path: str) -> str | None:
    """Say why a path may not be part of a model, or None when it may."""
    shown = ascii(path[:80])
    if not path or path.startswith("/"):
        return f"{shown} is not a relative path"
    if len(path) > PATH_MAX_LENGTH:
        return f"{shown}… is longer than {PATH_MAX_LENGTH} characters"
    if "\\" in path:
        return f"{shown} holds a backslash"
    if any(unicodedata.category(character) in _INVISIBLE for character in path):
        return f"{shown} holds a control or invisible character"
    if unicodedata.normalize("NFC", path) != path:
        return f"{shown} is not in Unicode normal form C"
    for component in path.split("/"):
        if component in {"", ".", ".."}:
            return f"{shown} has an empty, '.' or '..' component"
        if len(component.encode()) > _COMPONENT_MAX_BYTES:
            return f"{shown} has a component longer than {_COMPONENT_MAX_BYTES} bytes"
    return None


def paths_problem(paths: Sequence[str]) -> str | None:
    """Say why these paths together may not be a model, or None when they may.

    Beside what each path must fulfil, no two may be the same file on a file system that ignores case, and none may be a
    directory of another.
    """
    if not paths:
        return "it has no files"
    if len(paths) > FILES_MAX:
        return f"it has {len(paths)} files; {FILES_MAX} are the most"
    spelling: dict[str, str] = {}
    files: set[str] = set()
    for path in paths:
        problem = path_problem(path)
        if problem:
            return problem
        if path in files:
            return f"{path!a} is listed twice"
        files.add(path)
        components = path.split("/")
        for depth in range(1, len(components) + 1):
            prefix = "/".join(components[:depth])
            other = spelling.setdefault(unicodedata.normalize("NFC", prefix.casefold()), prefix)
            if other != prefix:
                return f"{prefix!a} and {other!a} differ by case only"
    for path in paths:
        components = path.split("/")
        for depth in range(1, len(components)):
            if (prefix := "/".join(components[:depth])) in files:
                return f"{prefix!a} is both a file and a directory"
    return None
