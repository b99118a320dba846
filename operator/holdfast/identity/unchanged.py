"""Whether an engine that begins anew reads the files that were verified when its pod began: one that is restarted reads them again.

What counts is their status. A file's change time is what no process can set, so whoever writes into a file, or puts another one in its
place, shows; what is changed behind the node's kernel does not. Some file systems change inodes and times by themselves, so a
difference decides nothing: it makes the files be hashed, and the hashes decide.

A cache that was repaired meanwhile is another folder of the same name. The engine's container sees that one, since it was
started after; this one still sees the former. So files that are found to be others are looked at once more by the next start of this
container.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.identity.rehash import Answer, Outcome, Rehash

_WORD: Final = "restart"

Status = tuple[int, int, int, int]
"""Inode, size, modification and change time in nanoseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is known of the files before an engine may be ready."""

    right: bool = False
    """They are what was verified."""
    again: bool = False
    """They are others, as this start of the container sees them."""
    answer: Answer | None = None
    """What came of hashing them, once it is known."""


class Unchanged:
    """Looks at the files of an engine that is not ready.

    Args:
        folders: where the engine sees what it reads.
        memory: a folder of its own to remember in, across restarts of this container; it is made if it is not there.
        commands: programs that hash the files, as for `Rehash`; without any nothing is looked at.

    Raises:
        OSError: how the files are cannot be remembered.
    """

    def __init__(self, *, folders: Sequence[Path], memory: Path, commands: Sequence[Sequence[str]]) -> None:
        self._folders = folders if commands else ()
        self._known_file = memory / "files.json"
        self._doubt_file = memory / "doubt"
        self._found: Mapping[str, Status] = {}
        if self._folders:
            memory.mkdir(exist_ok=True)
            if not self._known_file.exists():
                self._remember(statuses(self._folders))
        self._rehash = Rehash(request=Path(os.devnull), memory=memory, commands=commands)

    @property
    def busy(self) -> bool:
        """Whether the files are being hashed now."""
        return self._rehash.busy

    def look(self) -> Look:
        """Look once.

        Raises:
            OSError: a process cannot be started, or what was found cannot be remembered.
        """
        if not self._folders:
            return Look(right=True)
        if not self._rehash.busy:
            self._found = statuses(self._folders)
            if self._found == self._recall():
                return Look(right=True)
            self._rehash.begin(_WORD)
            return Look()
        answer = self._rehash.poll()
        if answer is None:
            return Look()
        if answer.outcome is Outcome.VERIFIED:
            self._doubt_file.unlink(missing_ok=True)
            self._remember(self._found)
        elif answer.outcome is Outcome.MISMATCH and not self._doubt_file.exists():
            self._doubt_file.touch()
            return Look(again=True, answer=answer)
        return Look(answer=answer)

    def _recall(self) -> Mapping[str, Status] | None:
        try:
            found = json.loads(self._known_file.read_text(encoding="utf-8"))
            return {str(path): (int(a), int(b), int(c), int(d)) for path, (a, b, c, d) in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return None  # nothing is known, so they are hashed

    def _remember(self, found: Mapping[str, Status]) -> None:
        draft = self._known_file.with_suffix(".new")
        draft.write_text(json.dumps(found), encoding="utf-8")
        draft.replace(self._known_file)


def statuses(folders: Sequence[Path]) -> dict[str, Status]:
    """Return the status of everything in folders that is no folder, by path. Links are not followed."""
    found: dict[str, Status] = {}
    for folder in folders:
        for root, _, files in os.walk(folder):
            for name in files:
                path = os.path.join(root, name)  # noqa: PTH118 # of ten thousand files, each time
                try:
                    status = os.lstat(path)
                except OSError:
                    continue  # gone meanwhile: it is missing
                found[path] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found
