"""Deletes copies that no revision names any more: never one that might still be named, and nothing without the owner's word.

The list of what is named comes from the operator and may be old: it was read from a volume that the kubelet refreshes in its own
time. So it counts only against what it can know. Whoever uses a copy for a revision first puts a mark beside its seal, the empty
file ``seals/HEX.NUMBER``; revisions are numbered in their order; and a list made when revision N was the newest says nothing of a
copy that is marked with N or a later one. The copy is moved away first and its marks are read once more, so that a mark is either
seen or its writer finds the copy gone, before it is relied on.

``.removed-HEX-…`` is a copy that was moved away. If a pod is killed then, the next one deletes it or, once it is named, puts it back.
"""

import json
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast.weights.cache import remove, sync
from holdfast.weights.layout import SEALS
from holdfast.weights.lease import Holder, Lease
from holdfast.weights.progress import log

_ENTRY: Final = re.compile(r"sha256-([0-9a-f]{64})")
_REMOVED: Final = re.compile(r"\.removed-([0-9a-f]{64})-.+")
_MARK: Final = re.compile(r"([0-9a-f]{64})\.([1-9][0-9]{0,9})")
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_NAMED_MAX_BYTES: Final = 2 * 1024 * 1024  # a ConfigMap has half of that at most
_CLOSED: Final = 0o555


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What was named when `revision` was the newest; `hexes` are manifest digests without their prefix."""

    revision: int
    hexes: frozenset[str]


def read_named(path: Path | None) -> Named | None:
    """Return the list of what is named; None when there is none that can be relied on: then nothing may be deleted."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            content = file.read(_NAMED_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        log("the list of what is named cannot be read, so nothing is deleted", level="warning", path=str(path), error=str(error))
        return None
    try:
        return _named(json.loads(content))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        log("the list of what is named is not one, so nothing is deleted", level="warning", path=str(path), error=str(error))
        return None


def _named(found: Any) -> Named:
    revision, digests = found["revision"], found["manifestDigests"]
    if type(revision) is not int or revision < 1 or not isinstance(digests, list) or not digests:
        raise ValueError("a number and digests are expected")
    hexes: set[str] = set()
    for digest in digests:
        match = _DIGEST.fullmatch(digest)
        if match is None:
            raise ValueError(f"{digest!a} is no digest")
        hexes.add(match[1])
    return Named(revision=revision, hexes=frozenset(hexes))


def mark(seals: Path, manifest_digest: str, revision: int) -> None:
    """Say that a revision uses a copy, before it is looked at. On a full volume, which has no room for that, it is used all the same."""
    path = seals / f"{manifest_digest.removeprefix('sha256:')}.{revision}"
    try:
        seals.mkdir(mode=0o755, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o444))
    except OSError as error:
        log("a copy cannot be marked as used", level="warning", path=str(path), error=str(error))


def restore(directory: Path, manifest_digest: str) -> None:
    """Put back a copy that was moved away and is needed after all. Whoever holds its lease calls this; it is verified afterwards."""
    name = manifest_digest.replace(":", "-")
    for path in _removed(directory, name.removeprefix("sha256-")):
        _put_back(path, directory / name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruner:
    """Deletes what no revision names, for the Job of one revision.

    Args:
        directory: the cache.
        named: the file with what is named; it is read each time.
        revision: the Job's own.
        own: the manifest digests of that revision.
    """

    directory: Path
    named: Path
    revision: int
    own: Collection[str]
    holder: Holder

    def prune(self) -> int:
        """Delete every copy that no revision names, and return how many. A copy that somebody works on is left for later.

        Raises:
            OSError: the directory cannot be read or written.
        """
        named = read_named(self.named)
        if named is None:
            return 0
        own = {digest.removeprefix("sha256:") for digest in self.own}
        if named.revision < self.revision or not own <= named.hexes:
            log("the list of what is named is older than this Job, so nothing is deleted", revision=named.revision)
            return 0
        found = {
            match[1]
            for path in self.directory.iterdir()
            if (match := _ENTRY.fullmatch(path.name) or _REMOVED.fullmatch(path.name))
        }
        return sum(self._prune(hexadecimal, named) for hexadecimal in sorted(found))

    def _prune(self, hexadecimal: str, named: Named) -> bool:
        entry = self.directory / f"sha256-{hexadecimal}"
        if self._is_named(hexadecimal, named) and not _removed(self.directory, hexadecimal):
            return False
        with Lease(self.directory, hexadecimal, self.holder).held_if_free() as free:
            if not free:
                log("a copy that no revision names is in use and stays", path=entry.name)
                return False
            if os.path.lexists(entry) and not self._is_named(hexadecimal, named):
                entry.rename(self.directory / f".removed-{hexadecimal}-{self.holder.unique}")
                sync(self.directory)
            left = _removed(self.directory, hexadecimal)
            if self._is_named(hexadecimal, named):  # from before, or since
                for path in left:
                    _put_back(path, entry)
                return False
            for path in left:
                log("deleting a copy that no revision names", path=entry.name)
                remove(path)
            self._forget(hexadecimal, named.revision)
            return not any(os.path.lexists(path) for path in left)

    def _is_named(self, hexadecimal: str, named: Named) -> bool:
        """Whether a revision names the copy, or one may that the list does not know."""
        return hexadecimal in named.hexes or max(self._marks(hexadecimal).values(), default=0) >= named.revision

    def _marks(self, hexadecimal: str) -> dict[Path, int]:
        """Return the revisions that used a copy."""
        try:
            paths = list((self.directory / SEALS).iterdir())
        except FileNotFoundError:
            return {}
        matches = {path: _MARK.fullmatch(path.name) for path in paths}
        return {path: int(match[2]) for path, match in matches.items() if match and match[1] == hexadecimal}

    def _forget(self, hexadecimal: str, revision: int) -> None:
        """Delete the seal and the marks of a copy that is gone; a mark that came since is of somebody who waits for its lease."""
        marks = [path for path, number in self._marks(hexadecimal).items() if number < revision]
        for path in (self.directory / SEALS / f"{hexadecimal}.json", *marks):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log("cannot delete", level="warning", path=path.name, error=str(error))


def _removed(directory: Path, hexadecimal: str) -> Sequence[Path]:
    return [path for path in sorted(directory.iterdir()) if (match := _REMOVED.fullmatch(path.name)) and match[1] == hexadecimal]


def _put_back(path: Path, entry: Path) -> None:
    if os.path.lexists(entry):
        remove(path)
        return
    log("a copy that was about to be deleted is named and stays", path=entry.name)
    if path.is_dir() and not path.is_symlink():
        for root, _, _ in os.walk(path):
            Path(root).chmod(_CLOSED)  # deleting may have begun by opening them
    path.rename(entry)
    sync(entry.parent)
