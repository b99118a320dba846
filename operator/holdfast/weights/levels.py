"""How closely a copy that was verified once is looked at again. Decisions only; nothing is read here."""

from collections.abc import Mapping
from enum import Enum, StrEnum, auto
from os import stat_result

from holdfast.weights.seals import Seal, SealedFile


class Level(StrEnum):
    """``spec.serving.cache.verify``."""

    ALWAYS = "Always"
    """sha256 of every byte at each start."""
    ON_NODE = "OnNode"
    """sha256 at fetch, blake3 of every byte at the first start after each boot of a node, then names and times."""
    ON_FETCH = "OnFetch"
    """sha256 at fetch, then names and times, on any node."""


class Look(Enum):
    """What to do with a copy."""

    STATUS = auto()
    """Nothing more: its names, sizes, inodes and times are the sealed ones."""
    BLAKE3 = auto()
    SHA256 = auto()


def look_at(level: Level, seal: Seal | None, statuses: Mapping[str, stat_result], boot_id: str) -> Look:
    """Return how closely to look at a copy with this (proven) seal and these files."""
    if level is Level.ALWAYS or seal is None:
        return Look.SHA256
    sealed = {file.path: file for file in seal.files}
    if sealed.keys() != statuses.keys() or not all(_untouched(sealed[path], status) for path, status in statuses.items()):
        return Look.SHA256
    if level is Level.ON_NODE and boot_id not in seal.boot_ids:
        return Look.BLAKE3
    return Look.STATUS


def _untouched(sealed: SealedFile, status: stat_result) -> bool:
    """Whether a file is the one that was sealed. Nobody but the kernel sets the change time (stat(2), ``st_ctim``)."""
    found = (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    return found == (sealed.size, sealed.inode, sealed.mtime_ns, sealed.ctime_ns)
