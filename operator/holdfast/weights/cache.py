"""The directory of verified models: one entry for each list of files, published whole or not at all.

``sha256-HEX`` is a published entry, ``.incoming-HEX-…`` one that is being fetched (its files, and the journal of how far they are),
``.rejected-HEX-…`` one that was wrong and is being deleted, ``.removed-HEX-…`` one that no revision named (`holdfast.weights.pruning`),
``.lock-HEX`` and ``.lease-HEX`` who may work on it, ``seals`` what is known of published ones. Several pods, also on several nodes, may
share the directory.
"""

import errno
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from holdfast.weights.artifacts import ApprovedFile
from holdfast.weights.journal import Journal, segments
from holdfast.weights.layout import entry_path
from holdfast.weights.lease import Hold, Holder, Lease, Pace
from holdfast.weights.partial import PartialFile
from holdfast.weights.progress import log

_UNFINISHED: Final = re.compile(r"\.(incoming|rejected|lease)-([0-9a-f]{64})-.+")
_FORGOTTEN_SECONDS: Final = 86_400.0  # unfinished work of other lists of files is kept for their next try, but not for ever
_COPY_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Work:
    """An unfinished entry that is this process's alone."""

    folder: Path
    hold: Hold

    @property
    def files(self) -> Path:
        """Where the files are."""
        return self.folder / "files"

    @property
    def journal(self) -> Path:
        """How far they are."""
        return self.folder / "journal"


class Cache:
    """The entry of one list of files inside the directory. `clock` is in seconds since 1970."""

    def __init__(
        self,
        directory: Path,
        digest: str,
        files: Sequence[ApprovedFile],
        holder: Holder,
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._digest = digest
        self._hex = digest.removeprefix("sha256:")
        self._files = files
        self._holder = holder
        self._pace = pace
        self._clock = clock
        self.entry = entry_path(directory, digest)
        self._incoming = directory / f".incoming-{self._hex}-{holder.unique}"
        self._rejected = directory / f".rejected-{self._hex}-{holder.unique}"

    def exists(self) -> bool:
        """Whether something is published under the entry's name, right or wrong."""
        return os.path.lexists(self.entry)

    @contextmanager
    def alone(self) -> Generator[Work]:
        """Wait until no other pod fetches the same files, so that they are fetched, and take up space, once."""
        with Lease(self._directory, self._hex, self._holder, pace=self._pace).held() as hold:
            self._remove_forgotten(_FORGOTTEN_SECONDS)
            yield Work(self._incoming, hold)

    def begin(self, work: Work) -> None:
        """Make the unfinished entry, out of what an earlier process left if there is something."""
        left = sorted(self._left(self._hex, "incoming"), key=_allocated, reverse=True)
        for folder in left:
            if not work.folder.exists() and not folder.is_symlink() and (folder / "files").is_dir():
                log("going on with what an interrupted pod left", path=folder.name)
                if work.hold.sole:
                    folder.rename(work.folder)
                    continue
                work.folder.mkdir(mode=0o755)
                work.files.mkdir(mode=0o755)
                self._copy(folder, work)
            remove(folder)
        _keep_only(work.files, self._files)
        work.files.mkdir(mode=0o755, parents=True, exist_ok=True)
        _make_folders(work.files, self._files)

    def publish(self, work: Work) -> bool:
        """Give the fetched directory the entry's name, atomically and durably; False when another pod was first."""
        _close_tree(work.files)
        work.hold.check()
        try:
            work.files.rename(self.entry)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                return False
            raise
        self.entry.chmod(0o555)  # not before: moving a directory takes the right to write to it
        sync(self._directory)
        remove(work.folder)
        return True

    def reject(self) -> None:
        """Take a wrong entry out of the way, at once and for good."""
        try:
            self.entry.rename(self._rejected)
        except FileNotFoundError:
            return  # another pod did it
        sync(self._directory)
        remove(self._rejected)

    def make_room(self, needed: int) -> int:
        """Return how many bytes may still be written, after giving up other unfinished work if they are fewer than needed."""
        free = self._free_bytes()
        if free < needed:
            self._remove_forgotten(0.0)
            free = self._free_bytes()
        return free

    def _free_bytes(self) -> int:
        status = os.statvfs(self._directory)
        return status.f_bavail * status.f_frsize

    def _left(self, hexadecimal: str, kind: str) -> list[Path]:
        return [path for path in self._directory.iterdir() if path.name.startswith(f".{kind}-{hexadecimal}-")]

    def _remove_forgotten(self, seconds: float) -> None:
        """Delete what was rejected, and unfinished work on other lists of files that nobody went on with for so long."""
        for path in sorted(self._directory.iterdir()):
            match = _UNFINISHED.fullmatch(path.name)
            if not match:
                continue
            if match[2] == self._hex:
                if match[1] == "rejected":
                    remove(path)
                continue
            with Lease(self._directory, match[2], self._holder).held_if_free() as free:
                if free and self._clock() - _touched(path) >= seconds:
                    log("deleting what an interrupted pod left", path=path.name)
                    remove(path)

    def _copy(self, source: Path, work: Work) -> None:
        """Take over files that a process on another node may still have open: what it writes must not reach ours."""
        _make_folders(work.files, self._files)
        old, new = (Journal(path, self._digest, self._files) for path in (source / "journal", work.journal))
        try:
            for file in self._files:
                counts = [old.read(file.path, index) for index in range(segments(file.size))]
                if any(counts) and _copied(source / "files" / file.path, work.files / file.path, work.hold):
                    for index, count in enumerate(counts):
                        new.write(file.path, index, count)
        finally:
            old.close()
            new.close()


def partial_files(work: Work, digest: str, files: Sequence[ApprovedFile], *, sealing: bool) -> tuple[Journal, list[PartialFile]]:
    """Return the files of an unfinished entry, with what is there of them.

    Raises:
        OSError: the directory cannot be read or written.
    """
    journal = Journal(work.journal, digest, files)
    return journal, [PartialFile(file, work.files / file.path, journal, sealing=sealing) for file in files]


def remove(path: Path) -> None:
    """Delete a tree. Failing to is worth a warning only: nothing looks at it any more."""
    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
            return
        for root, _, _ in os.walk(path):
            Path(root).chmod(0o700)  # closed directories let nobody delete
        shutil.rmtree(path)
    except OSError as error:
        log("cannot delete", level="warning", path=path.name, error=str(error))


def sync(directory: Path) -> None:
    """Write the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keep_only(directory: Path, files: Sequence[ApprovedFile]) -> None:
    """Take away whatever is no approved file: what an interrupted pod left lay on a volume that others may write to."""
    if directory.is_symlink():
        directory.unlink()
    expected = {file.path for file in files}
    parents = {parent.as_posix() for path in expected for parent in PurePosixPath(path).parents}
    for root, folders, names in os.walk(directory):  # links to directories are not followed
        for name in [*folders, *names]:
            path = Path(root, name)
            mode, relative = path.lstat().st_mode, path.relative_to(directory).as_posix()
            if stat.S_ISDIR(mode) and relative in parents:
                continue
            if stat.S_ISREG(mode) and relative in expected:
                continue
            log("something that is no approved file is deleted", level="warning", path=ascii(relative))
            remove(path)
            if name in folders:
                folders.remove(name)


def _make_folders(directory: Path, files: Sequence[ApprovedFile]) -> None:
    for parent in sorted({(directory / file.path).parent for file in files}):
        parent.mkdir(mode=0o755, parents=True, exist_ok=True)


def _copied(source: Path, target: Path, hold: Hold) -> bool:
    """Copy a file, holes included, into a new one; False when there is none."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    with os.fdopen(descriptor, "rb", buffering=0) as reading, target.open("xb", buffering=0) as writing:
        while piece := reading.read(_COPY_BYTES):
            hold.check()
            if piece.strip(b"\0"):
                writing.write(piece)
            else:
                writing.seek(len(piece), os.SEEK_CUR)
        writing.truncate(writing.tell())
    source.unlink()
    return True


def _close_tree(directory: Path) -> None:
    """Make a fetched tree readable for every user and writable for none, and write it to the disk. Its top follows later."""
    for root, _, _ in os.walk(directory, topdown=False):
        path = Path(root)
        path.chmod(0o755 if path == directory else 0o555)
        sync(path)


def _allocated(folder: Path) -> int:
    return sum((Path(root) / name).lstat().st_blocks for root, _, names in os.walk(folder) for name in names)


def _touched(path: Path) -> float:
    """Return when somebody last worked on an unfinished entry, in seconds since 1970."""
    newest = 0.0
    for candidate in (path / "journal", path):
        try:
            newest = max(newest, candidate.lstat().st_mtime)
        except FileNotFoundError:
            continue
    return newest
