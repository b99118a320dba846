"""The directory of verified models: one entry for each list of files, published whole or not at all.

``sha256-HEX`` is a published entry, ``.incoming-HEX-…`` one that is being fetched, ``.rejected-HEX-…`` one that was wrong and is
being deleted, ``.lock-HEX`` who may work on it. Several pods, also on several nodes, may share the directory.
"""

import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from holdfast.weights.progress import log

_UNSUPPORTED: Final = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
_UNFINISHED: Final = re.compile(r"\.(?:incoming|rejected)-([0-9a-f]{64})-.+")
_ABANDONED_SECONDS: Final = 86_400.0  # without locks: how old unfinished work must be to count as nobody's
_POLL_SECONDS: Final = 0.5
_REPORT_SECONDS: Final = 10.0


class Cache:
    """The entry of one list of files inside the directory. `unique` tells this process from all others that ever ran."""

    def __init__(self, directory: Path, digest: str, *, unique: str) -> None:
        self._directory = directory
        self._hex = digest.removeprefix("sha256:")
        self.entry = directory / f"sha256-{self._hex}"
        self._incoming = directory / f".incoming-{self._hex}-{unique}"
        self._rejected = directory / f".rejected-{self._hex}-{unique}"

    def exists(self) -> bool:
        """Whether something is published under the entry's name, right or wrong."""
        return os.path.lexists(self.entry)

    @contextmanager
    def alone(self) -> Generator[None]:
        """Wait until no other pod fetches the same files, so that they are fetched, and take up space, once.

        Where the file system has no locks there is no waiting: both fetch, and `publish` decides.
        """
        with self._lock_file(self._hex) as descriptor:
            held = _lock(descriptor)
            waited = 0.0
            while held is False:
                if waited % _REPORT_SECONDS == 0:
                    log("waiting for another pod that fetches the same files", seconds=waited)
                time.sleep(_POLL_SECONDS)
                waited += _POLL_SECONDS
                held = _lock(descriptor)
            self._remove_abandoned(held)
            yield

    def begin(self) -> Path:
        """Return a new empty directory to fetch into."""
        self._incoming.mkdir(mode=0o755)
        return self._incoming

    def publish(self) -> bool:
        """Give the fetched directory the entry's name, atomically and durably; False when another pod was first."""
        seal(self._incoming)
        try:
            self._incoming.rename(self.entry)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                return False
            raise
        _sync(self._directory)
        return True

    def reject(self) -> None:
        """Take a wrong entry out of the way, at once and for good."""
        try:
            self.entry.rename(self._rejected)
        except FileNotFoundError:
            return  # another pod did it
        _sync(self._directory)
        _remove(self._rejected)

    def abandon(self) -> None:
        """Delete what was fetched and is not needed."""
        if os.path.lexists(self._incoming):
            _remove(self._incoming)

    def free_bytes(self) -> int:
        """Return how much may still be written to the directory's file system."""
        status = os.statvfs(self._directory)
        return status.f_bavail * status.f_frsize

    def _remove_abandoned(self, held: bool | None) -> None:
        """Delete the unfinished work of processes that are gone: whoever still works holds the lock of its list of files."""
        for path in sorted(self._directory.iterdir()):
            match = _UNFINISHED.fullmatch(path.name)
            if not match:
                continue
            if match[1] == self._hex:
                self._remove_if_abandoned(path, held)
            else:
                with self._lock_file(match[1]) as descriptor:
                    self._remove_if_abandoned(path, _lock(descriptor))

    def _remove_if_abandoned(self, path: Path, locked: bool | None) -> None:
        if locked is None:
            try:
                locked = time.time() - path.lstat().st_mtime > _ABANDONED_SECONDS
            except FileNotFoundError:
                return
        if locked:
            log("deleting what an interrupted pod left", path=path.name)
            _remove(path)

    @contextmanager
    def _lock_file(self, hexadecimal: str) -> Generator[int]:
        """Open the lock of a list of files; closing it, as a killed process does, gives the lock back. It is never deleted."""
        path = self._directory / f".lock-{hexadecimal}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def seal(directory: Path) -> None:
    """Make a fetched tree read-only for everybody and readable for every user, and write it to the disk."""
    for root, _, files in os.walk(directory, topdown=False):
        for name in files:
            (Path(root) / name).chmod(0o444)
        Path(root).chmod(0o555)
        _sync(Path(root))


def _lock(descriptor: int) -> bool | None:
    """Return whether the lock is ours now; None when the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise
    return True


def _remove(path: Path) -> None:
    """Delete an entry. Failing to is worth a warning only: nothing looks at it any more."""
    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
        for root, _, _ in os.walk(path):
            Path(root).chmod(0o700)  # sealed directories let nobody delete
        shutil.rmtree(path)
    except OSError as error:
        log("cannot delete", level="warning", path=path.name, error=str(error))


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
