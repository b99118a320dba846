"""What is in a directory, compared with the approved list without reading a byte: names, kinds and sizes.

Nothing is followed: a symbolic link, a device or a pipe in it is an extra, like any other name
that is not in the list.
"""

import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from holdfast.weights.artifacts import ApprovedFile
from holdfast.weights.errors import WeightsMismatchError


def check_tree(directory: Path, files: Sequence[ApprovedFile], *, ignored: Collection[str] = ()) -> Mapping[str, os.stat_result]:
    """Return the status of each file if the directory holds files of these names and sizes and nothing else.

    `ignored` are names of files, in the top folder, that may be there as well.

    Raises:
        WeightsMismatchError: naming the first difference, what was expected and what was found.
        OSError: something cannot be read.
    """
    if directory.is_symlink() or not directory.is_dir():
        raise WeightsMismatchError(f"{str(directory)!a}: expected a directory, found something else")
    expected = {file.path: file for file in files}
    directories = {parent for path in expected for parent in _parents(path)}
    found: dict[str, os.stat_result] = {}
    for path, entry in _walk(directory, ""):
        status = entry.stat(follow_symlinks=False)
        if path in directories and stat.S_ISDIR(status.st_mode):
            continue
        if path in ignored and stat.S_ISREG(status.st_mode):
            continue
        file = expected.get(path)
        if file is None:
            raise WeightsMismatchError(f"{path!a}: not in the approved list of files, found {_kind(status.st_mode)}")
        if not stat.S_ISREG(status.st_mode):
            raise WeightsMismatchError(f"{path!a}: expected a file, found {_kind(status.st_mode)}")
        if status.st_size != file.size:
            raise WeightsMismatchError(f"{path!a}: expected {describe(file.size, file.sha256)}, found {status.st_size} bytes")
        found[path] = status
    missing = sorted(expected.keys() - found.keys())
    if missing:
        file = expected[missing[0]]
        more = f" ({len(missing) - 1} more are missing)" if len(missing) > 1 else ""
        raise WeightsMismatchError(f"{file.path!a}: expected {describe(file.size, file.sha256)}, found nothing{more}")
    return found


def describe(size: int, sha256: str) -> str:
    """Return how sizes and hashes are shown."""
    return f"{size} bytes, sha256 {sha256}"


def _walk(directory: Path, prefix: str) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    # Names that are not UTF-8 come with surrogates (PEP 383), which no approved path has.
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
