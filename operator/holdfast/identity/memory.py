"""What outlives a restart of this container: what the engine reported first, and that it was once found to be another.

It lies on a volume that only this container mounts. A pod that was found to be another than the approved one stays out of traffic
until it is replaced, whatever it reports later.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class MemoryFileError(Exception):
    """What was remembered cannot be read or written. `str()` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is remembered; `mismatch` is empty as long as the engine was what was approved."""

    reported: dict[str, Any] = field(default_factory=dict)
    mismatch: str = ""


def recall(path: Path) -> Memory:
    """Return what was remembered, nothing at the first start; raises MemoryFileError."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Memory(reported=dict(raw["reported"]), mismatch=str(raw["mismatch"]))
    except FileNotFoundError:
        return Memory()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MemoryFileError(f"{path}: {error}") from error


def remember(path: Path, memory: Memory) -> None:
    """Write it, whole or not at all; raises MemoryFileError."""
    draft = path.with_name(path.name + ".new")
    try:
        draft.write_text(json.dumps({"reported": memory.reported, "mismatch": memory.mismatch}), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise MemoryFileError(f"{path}: {error}") from error
