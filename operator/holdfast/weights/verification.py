"""Reads files and compares their hashes, several at a time. Memory stays at one piece of each."""

import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blake3 import blake3

from holdfast.weights.artifacts import ApprovedFile
from holdfast.weights.errors import WeightsMismatchError
from holdfast.weights.progress import Progress
from holdfast.weights.safetensors import SUFFIX, header_problem
from holdfast.weights.tree import describe

PIECE_BYTES: Final = 1024 * 1024
"""Read and hashed at once: large enough that the interpreter does not count, small enough for the processor's cache."""
_THREADS_MIN: Final = 4  # a disk or a network is read quicker by several
_THREADS_MAX: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A file whose bytes are the approved ones, as it was while they were read. `blake3` is empty when nobody asked for it."""

    status: os.stat_result
    blake3: str = ""


def verify_sha256(
    directory: Path,
    files: Sequence[ApprovedFile],
    statuses: Mapping[str, os.stat_result],
    progress: Progress,
    *,
    sealing: bool = False,
) -> dict[str, Observed]:
    """Return what was read if every file has exactly the approved bytes. `statuses` are those of `check_tree`.

    With `sealing` the same pieces are hashed by blake3 as well.

    Raises:
        WeightsMismatchError: naming the first file that is wrong, what was expected and what was found.
        OSError: something cannot be read.
    """
    observed: dict[str, Observed] = {}

    def look(file: ApprovedFile, stop: threading.Event) -> None:
        sha256, other = hashlib.sha256(), blake3() if sealing else None

        def both(piece: memoryview) -> None:
            sha256.update(piece)
            if other is not None:
                other.update(piece)

        found = _read(directory, file, statuses[file.path], both, progress, stop)
        if found is None:
            return
        size, status, problem = found
        if size != file.size or not hmac.compare_digest(sha256.hexdigest(), file.sha256):
            raise WeightsMismatchError(
                f"{file.path!a}: expected {describe(file.size, file.sha256)}, found {describe(size, sha256.hexdigest())}"
            )
        if problem:
            raise WeightsMismatchError(f"{file.path!a}: {problem}")
        observed[file.path] = Observed(status=status, blake3=other.hexdigest() if other is not None else "")

    _each(files, look, progress)
    return observed


def verify_blake3(
    directory: Path,
    files: Sequence[ApprovedFile],
    statuses: Mapping[str, os.stat_result],
    sealed: Mapping[str, str],
    progress: Progress,
) -> None:
    """Return if every file has the blake3 (lower-case hex, by path) that it had when its sha256 was the approved one.

    Raises:
        WeightsMismatchError: naming the first file that is wrong, what was expected and what was found.
        OSError: something cannot be read.
    """

    def look(file: ApprovedFile, stop: threading.Event) -> None:
        digest = blake3()
        found = _read(directory, file, statuses[file.path], digest.update, progress, stop)
        if found is None:
            return
        size, _, _ = found
        if size != file.size or not hmac.compare_digest(digest.hexdigest(), sealed[file.path]):
            verify_sha256(directory, [file], statuses, Progress("comparing the sha256", file.size))  # says what is there
            raise WeightsMismatchError(f"{file.path!a}: expected blake3 {sealed[file.path]}, found {digest.hexdigest()}")

    _each(files, look, progress)


def threads() -> int:
    """Return how many files to read at the same time on this machine."""
    return max(_THREADS_MIN, min(len(os.sched_getaffinity(0)), _THREADS_MAX))


def same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether nothing was written to a file, or put in its place, between two looks at it."""
    return (
        one.st_ino == other.st_ino
        and one.st_size == other.st_size
        and one.st_mtime_ns == other.st_mtime_ns
        and one.st_ctime_ns == other.st_ctime_ns
    )


def _each(files: Sequence[ApprovedFile], look: Callable[[ApprovedFile, threading.Event], None], progress: Progress) -> None:
    stop = threading.Event()
    # The largest first, so that none is left alone at the end.
    ordered = sorted(files, key=lambda file: -file.size)
    with ThreadPoolExecutor(max_workers=threads()) as pool:
        futures = [pool.submit(look, file, stop) for file in ordered]
        try:
            progress.wait(futures)
        finally:
            stop.set()
            for future in futures:
                future.cancel()


def _read(
    directory: Path,
    file: ApprovedFile,
    expected: os.stat_result,
    update: Callable[[memoryview], object],
    progress: Progress,
    stop: threading.Event,
) -> tuple[int, os.stat_result, str | None] | None:
    """Hand the file's bytes to `update`; return their number, the file's status and what is wrong with its header.

    None when another file was wrong, which is reported already.

    Raises:
        WeightsMismatchError: the file was changed meanwhile.
    """
    descriptor = os.open(directory / file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    size = 0
    with os.fdopen(descriptor, "rb", buffering=0) as content:
        buffer = bytearray(PIECE_BYTES)
        view = memoryview(buffer)
        while not stop.is_set() and size <= file.size and (count := content.readinto(buffer)):
            update(view[:count])
            size += count
            progress.add(count)
        if stop.is_set():
            return None
        status = os.fstat(descriptor)
        problem = None
        if size == file.size and file.path.endswith(SUFFIX):
            problem = header_problem(descriptor, size)
    if not same_file(expected, status):
        raise WeightsMismatchError(f"{file.path!a}: expected that nobody writes while it is verified, found that it changed")
    return size, status, problem
