"""A model of several files, and every way in which its bytes may become others than those that were approved."""

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from holdfast.api.manifest import manifest_bytes, manifest_digest
from holdfast.api.model import File
from testbed import Testbed

SHARD_BYTES: Final = 192 * 1024
FIRST: Final = "model-00001-of-00002.bin"
SECOND: Final = "model-00002-of-00002.bin"
EXTRA: Final = "extra.py"
VOLUME_LIST: Final = "holdfast-manifest.json"


def _bytes(seed: str, count: int) -> bytes:
    return b"".join(hashlib.sha256(f"{seed} {number}".encode()).digest() for number in range(count // 32))


TREE: Final[Mapping[str, bytes]] = {
    "config.json": b'{"version": 2}',
    FIRST: _bytes("first", SHARD_BYTES),
    SECOND: _bytes("second", SHARD_BYTES),
}
"""What was approved."""
OLDER: Final[Mapping[str, bytes]] = {
    "config.json": b'{"version": 1}',
    FIRST: _bytes("first of an older version", SHARD_BYTES),
    SECOND: _bytes("second of an older version", SHARD_BYTES),
}


def files(tree: Mapping[str, bytes]) -> list[File]:
    """Return the list of files of a tree, sorted."""
    return [
        File(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest()) for path, content in sorted(tree.items())
    ]


DIGEST: Final = manifest_digest(files(TREE))
HASHES: Final[Mapping[str, str]] = {file.path: file.sha256 for file in files(TREE)}


def write(folder: Path, tree: Mapping[str, bytes], *, listed: bool = False) -> None:
    """Write a tree into a folder, with its own list beside it if asked to."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in tree.items():
        (folder / path).write_bytes(content)
    if listed:
        (folder / VOLUME_LIST).write_bytes(manifest_bytes(files(tree)))


def _flip(folder: Path) -> None:
    """One bit, in place, with the times put back: the same inode, size and mtime."""
    path = folder / SECOND
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(before.st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _truncate(folder: Path) -> None:
    os.truncate(folder / SECOND, (folder / SECOND).stat().st_size - 1)


def _extra(folder: Path) -> None:
    (folder / EXTRA).write_text("print('hello')\n")


def _missing(folder: Path) -> None:
    (folder / SECOND).unlink()


def _swap(folder: Path) -> None:
    (folder / FIRST).rename(folder / "between")
    (folder / SECOND).rename(folder / FIRST)
    (folder / "between").rename(folder / SECOND)


def _other(folder: Path) -> None:
    _replace(folder / SECOND, _bytes("other", SHARD_BYTES))


def _symlink(folder: Path) -> None:
    """The right bytes, but somewhere else, where nobody looks after them."""
    elsewhere = folder.parent / "elsewhere.bin"
    elsewhere.write_bytes(TREE[SECOND])
    elsewhere.chmod(0o644)
    (folder / SECOND).unlink()
    (folder / SECOND).symlink_to("../elsewhere.bin")


def _older(folder: Path) -> None:
    listed = (folder / VOLUME_LIST).exists()
    for path, content in OLDER.items():
        _replace(folder / path, content)
    if listed:
        _replace(folder / VOLUME_LIST, manifest_bytes(files(OLDER)))


def _replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(0o444)


ON_DISK: Final[Mapping[str, Callable[[Path], None]]] = {
    "flip": _flip,
    "truncate": _truncate,
    "extra": _extra,
    "missing": _missing,
    "swap": _swap,
    "other bytes": _other,
    "symlink": _symlink,
    "older": _older,
}
"""Each changes a folder as whoever is root on the node, or as a disk that rots."""
NOTHING: Final = "nothing"
"""The control: the same way with the right bytes, which must serve."""


def tampered(how: str) -> dict[str, bytes | None]:
    """Return the tree as a Hub serves it that answers with something else; None is not there."""
    swapped = {FIRST: TREE[SECOND], SECOND: TREE[FIRST]}
    flipped = bytearray(TREE[SECOND])
    flipped[len(flipped) // 2] ^= 1
    changes: dict[str, dict[str, bytes | None]] = {
        NOTHING: {},
        "flip": {SECOND: bytes(flipped)},
        "truncate": {SECOND: TREE[SECOND][:-1]},
        "extra": {EXTRA: b"print('hello')\n"},
        "missing": {SECOND: None},
        "swap": dict(swapped),
        "other bytes": {SECOND: _bytes("other", SHARD_BYTES)},
        "symlink": {SECOND: b"../elsewhere.bin"},  # what git keeps of one
        "older": dict(OLDER),
    }
    return {**TREE, **changes[how]}


def own(folder: Path, uid: int) -> None:
    """Give everything in a folder to the user of the pods."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def copy(source: Path, target: Path) -> None:
    """Copy a folder as to another disk: other inodes and change times."""
    shutil.copytree(source, target, symlinks=True)


def modelcar(bed: Testbed, folder: Path, name: str) -> str:
    """Push an image of one layer with what is in a folder beside `layer.tar`; return its reference with its digest."""
    layer = folder / "layer.tar"
    with tarfile.open(layer, "w") as archive:
        for path in sorted(folder.iterdir()):
            if path != layer:
                archive.add(path, arcname=path.name)
    target = f"{bed.registry}/{name}"
    crane = [str(bed.programs.crane), "append", "--insecure", f"--new_layer={layer}", f"--new_tag={target}:1"]
    reference = subprocess.run(crane, check=True, capture_output=True, text=True).stdout.strip()
    return f"{target}@{reference.rpartition('@')[2]}"
