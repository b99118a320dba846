"""One file while it is put together from segments that come in any order, hashed in its own order as they come."""

import errno
import hashlib
import hmac
import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from holdfast.weights.artifacts import ApprovedFile
from holdfast.weights.errors import WeightsMismatchError
from holdfast.weights.journal import SEGMENT_BYTES, Journal, segments
from holdfast.weights.safetensors import SUFFIX, header_problem
from holdfast.weights.tree import describe
from holdfast.weights.verification import PIECE_BYTES, Observed


@dataclass(slots=True)
class Segment:
    """A part of a file: from `start` to `end` (exclusive); the bytes before `position` are there."""

    index: int | None
    """Its place in the journal; None when it has none."""
    start: int
    end: int
    position: int
    claimed: bool = False
    hashing: bool = False
    """Whoever brings it hashes at the same time: everything before `position` is hashed already."""


class PartialFile:
    """A file of the list under its name in the unfinished directory. Methods may be called by several threads.

    A segment belongs to the thread that claimed it; the lock guards what the threads share. With `sealing` the bytes are hashed by
    blake3 as well.
    """

    def __init__(self, file: ApprovedFile, path: Path, journal: Journal, *, sealing: bool = False) -> None:
        self.file = file
        self.observed: Observed | None = None
        """Set once all bytes are there and right."""
        self._path = path
        self._journal = journal
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._hashed = 0
        self._hashing = False
        self._finishing = False
        self._spoiled: str | None = None
        self._alone = False
        self._sealing = sealing
        self._new_hashes()
        self._segments = self._divided()
        self.recovered = self._recover()
        """Some of the bytes came from an earlier process."""

    @property
    def whole(self) -> bool:
        """The file is asked for in one piece, so without a range."""
        return len(self._segments) == 1

    @property
    def alone(self) -> bool:
        """Its server ignores ranges: one connection brings the whole file."""
        return self._alone

    @property
    def present(self) -> int:
        """How many bytes are there, right or wrong."""
        return sum(segment.position - segment.start for segment in self._segments)

    @property
    def unclaimed(self) -> int:
        """How many of the missing bytes nobody brings."""
        return sum(segment.end - segment.position for segment in self._segments if not segment.claimed)

    @property
    def claimed(self) -> bool:
        """Whether anybody brings a part of it."""
        return any(segment.claimed for segment in self._segments)

    def claim(self) -> Segment | None:
        """Return the first segment that nobody brings, for the caller to bring; None when there is none now."""
        with self._lock:
            if self._spoiled is not None or self._finishing or (self._alone and self.claimed):
                return None
            for segment in self._segments:
                if not segment.claimed and segment.position < segment.end:
                    segment.claimed = True
                    return segment
            return None

    def segment_at(self, position: int) -> Segment:
        """Return the segment that has this byte of the file, for whoever brings the file alone and in order."""
        return self._segments[position // SEGMENT_BYTES]

    def begin(self, segment: Segment) -> None:
        """Say that bytes for a claimed segment are about to come."""
        with self._lock:
            if not self._hashing and self._hashed == segment.position:
                self._hashing = segment.hashing = True

    def write(self, segment: Segment, piece: bytes | memoryview) -> None:
        """Write the next bytes of a claimed segment, hash them if it is their turn, and note that they are there."""
        descriptor = self._open()
        view = memoryview(piece)
        position = segment.position
        while view:
            count = os.pwrite(descriptor, view, position)
            view = view[count:]
            position += count
        if segment.hashing:
            self._hash(piece)
            self._hashed = position
        segment.position = position
        if segment.index is not None:
            self._journal.write(self.file.path, segment.index, position - segment.start)

    def end(self, segment: Segment) -> None:
        """Say that no more bytes come for now; the segment stays claimed."""
        with self._lock:
            if segment.hashing:
                self._hashing = segment.hashing = False

    def release(self, segment: Segment) -> int:
        """Give a claimed segment back, complete or not. Return how many bytes have to be brought once more."""
        self.end(segment)
        with self._lock:
            segment.claimed = False
            if not self._alone or self.claimed or self._segments[0].index is None:
                return 0
            forgotten = self.present
            self._reset([Segment(None, 0, self.file.size, 0)])
            return forgotten

    def ignore_ranges(self) -> None:
        """Say that the server ignores ranges: once all segments are released, the file begins anew, as one."""
        with self._lock:
            self._alone = True

    def spoil(self, found: str) -> None:
        """Say that the file is not the approved one, whatever its bytes are. `found` is for people."""
        with self._lock:
            self._spoiled = found

    def advance(self, stop: threading.Event) -> bool:
        """Hash what is there and was not hashed. Return True when the caller, and nobody else, shall `finish` the file.

        Raises:
            OSError: the file cannot be read.
        """
        while not stop.is_set():
            with self._lock:
                if self._hashing or self._finishing or (self._spoiled is not None and self.claimed):
                    return False
                end = self._contiguous()
                if self._spoiled is not None or self._hashed == end == self.file.size:
                    self._finishing = True
                    return True
                if self._hashed == end:
                    return False
                self._hashing = True
            try:
                self._hash_until(end, stop)
            finally:
                with self._lock:
                    self._hashing = False
        return False

    def finish(self) -> str | None:
        """Return None when all bytes are right, and what was found when they are not.

        Raises:
            WeightsMismatchError: the bytes are the approved ones, but an engine could not use them safely.
            OSError: the disk does not take them.
        """
        if self._spoiled is not None:
            return self._spoiled
        if not hmac.compare_digest(self._sha256.hexdigest(), self.file.sha256):
            return describe(self.file.size, self._sha256.hexdigest())
        descriptor = self._open()
        problem = header_problem(descriptor, self.file.size) if self.file.path.endswith(SUFFIX) else None
        if problem:
            raise WeightsMismatchError(f"{self.file.path!a}: {problem}")
        os.fchmod(descriptor, 0o444)
        os.fsync(descriptor)
        other = self._blake3.hexdigest() if self._blake3 is not None else ""
        self.observed = Observed(status=os.fstat(descriptor), blake3=other)
        self.close()
        return None

    def restart(self) -> None:
        """Forget everything that came. For whoever was told to `finish`."""
        with self._lock:
            self._reset([Segment(None, 0, self.file.size, 0)] if self._alone else self._divided())
            self._spoiled = None
            self._finishing = False
            self.recovered = False

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _divided(self) -> list[Segment]:
        starts = [index * SEGMENT_BYTES for index in range(segments(self.file.size))]
        return [Segment(index, start, min(start + SEGMENT_BYTES, self.file.size), start) for index, start in enumerate(starts)]

    def _recover(self) -> bool:
        """Take over what the journal says is there, as far as it can be true."""
        try:
            status = self._path.lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EEXIST, "something else stands in the way of a file", str(self._path))
        if not status.st_mode & stat.S_IWUSR:  # it was complete
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                os.fchmod(descriptor, 0o600)
            finally:
                os.close(descriptor)
        for index, segment in enumerate(self._segments):
            count = self._journal.read(self.file.path, index)
            segment.position = segment.start + max(0, min(count, segment.end - segment.start, status.st_size - segment.start))
        return self.present > 0

    def _reset(self, parts: list[Segment]) -> None:
        os.ftruncate(self._open(), 0)
        for index in range(segments(self.file.size)):
            self._journal.write(self.file.path, index, 0)
        self._segments = parts
        self._hashed = 0
        self._new_hashes()

    def _new_hashes(self) -> None:
        self._sha256 = hashlib.sha256()
        self._blake3 = blake3() if self._sealing else None

    def _hash(self, piece: bytes | memoryview) -> None:
        self._sha256.update(piece)
        if self._blake3 is not None:
            self._blake3.update(piece)

    def _contiguous(self) -> int:
        """Return how many bytes from the beginning are there without a gap."""
        for segment in self._segments:
            if segment.position < segment.end:
                return segment.position
        return self.file.size

    def _hash_until(self, end: int, stop: threading.Event) -> None:
        buffer = bytearray(min(PIECE_BYTES, end - self._hashed))
        view = memoryview(buffer)
        descriptor = self._open()
        while self._hashed < end and not stop.is_set():
            count = os.preadv(descriptor, [view[: end - self._hashed]], self._hashed)
            if not count:
                raise OSError(errno.EIO, "bytes that were written are gone", str(self._path))
            self._hash(view[:count])
            self._hashed += count

    def _open(self) -> int:
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            self._descriptor = os.open(self._path, flags, 0o600)
        return self._descriptor
