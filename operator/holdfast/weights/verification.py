"""Compares a directory with the approved list: every byte of every file, and nothing else may be there."""

import hashlib
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from holdfast.weights.errors import WeightsMismatchError
from holdfast.weights.listing import ApprovedFile
from holdfast.weights.progress import Progress

_CHUNK_BYTES: Final = 1024 * 1024
WORKERS: Final = 4
"""Files hashed or fetched at the same time: hashing releases the interpreter's lock, and memory stays at some chunks each."""


def verify(directory: Path, files: Sequence[ApprovedFile], progress: Progress) -> None:
    """Return if the directory holds exactly these files with exactly these bytes.

    Raises:
        WeightsMismatchError: naming the first file that is wrong, what was expected and what was found.
        OSError: something cannot be read.
    """
    _verify_tree(directory, files)
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=WORKERS) as threads:
        futures = [threads.submit(_verify_file, directory, file, progress, stop) for file in files]
        try:
            progress.wait(futures)
        finally:
            stop.set()


def describe(size: int, sha256: str) -> str:
    """Return how sizes and hashes are shown."""
    return f"{size} bytes, sha256 {sha256}"


def _verify_tree(directory: Path, files: Sequence[ApprovedFile]) -> None:
    """Compare names, kinds and sizes, which costs no reading. Symbolic links are never followed."""
    if directory.is_symlink() or not directory.is_dir():
        raise WeightsMismatchError(f"{directory}: expected a directory, found something else")
    expected = {file.path: file for file in files}
    directories = {parent for path in expected for parent in _parents(path)}
    seen: set[str] = set()
    for path, entry in _walk(directory, ""):
        status = entry.stat(follow_symlinks=False)
        if path in directories and stat.S_ISDIR(status.st_mode):
            continue
        file = expected.get(path)
        if file is None:
            raise WeightsMismatchError(f"{path!a}: not in the approved list of files, found {_kind(status.st_mode)}")
        if not stat.S_ISREG(status.st_mode):
            raise WeightsMismatchError(f"{path!a}: expected a file, found {_kind(status.st_mode)}")
        if status.st_size != file.size:
            raise WeightsMismatchError(f"{path!a}: expected {describe(file.size, file.sha256)}, found {status.st_size} bytes")
        seen.add(path)
    missing = sorted(expected.keys() - seen)
    if missing:
        file = expected[missing[0]]
        more = f" ({len(missing) - 1} more are missing)" if len(missing) > 1 else ""
        raise WeightsMismatchError(f"{file.path!a}: expected {describe(file.size, file.sha256)}, found nothing{more}")


def _verify_file(directory: Path, file: ApprovedFile, progress: Progress, stop: threading.Event) -> None:
    digest = hashlib.sha256()
    size = 0
    descriptor = os.open(directory / file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as content:
        buffer = bytearray(_CHUNK_BYTES)
        view = memoryview(buffer)
        while not stop.is_set() and (count := content.readinto(buffer)):
            digest.update(view[:count])
            size += count
            progress.add(count)
    if stop.is_set():
        return  # another file was wrong, which is reported already
    if size != file.size or digest.hexdigest() != file.sha256:
        raise WeightsMismatchError(
            f"{file.path!a}: expected {describe(file.size, file.sha256)}, found {describe(size, digest.hexdigest())}"
        )


def _walk(directory: Path, prefix: str) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda found: found.name):
            path = f"{prefix}{entry.name}"
            yield path, entry
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(directory / entry.name, f"{path}/")


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rsplit("/", 1)[0]
        yield path


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a file" if stat.S_ISREG(mode) else "a special file"
