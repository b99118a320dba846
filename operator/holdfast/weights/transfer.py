"""Brings many files at once, and large files by several connections at once, hashing them while they come."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from holdfast.sources.hub_errors import HubError, SourceMismatchError, SourceUnavailableError
from holdfast.sources.ranges import Body, Place, Ranges
from holdfast.weights.errors import WeightsMismatchError, WeightsUnavailableError
from holdfast.weights.partial import PartialFile, Segment
from holdfast.weights.progress import Progress, log
from holdfast.weights.tree import describe

CONNECTIONS: Final = 8
_PIECE_BYTES: Final = 512 * 1024
_TRIES: Final = 8  # in a row that brought not one byte
_LONGEST_PAUSE_SECONDS: Final = 60.0
_LONGEST_RATE_LIMIT_SECONDS: Final = 330.0  # the Hub's windows are of five minutes


@dataclass(slots=True)
class _Job:
    """A file and where it is. `wrong`: all of it came once and was not right."""

    partial: PartialFile
    place: Place
    wrong: bool = False


class _OtherSizeError(Exception):
    """The server has a file of another size. `str()` is what was found."""


class _NoRangesError(Exception):
    """The server answers a range with something else."""


class Transfer:
    """One round of fetching.

    Args:
        ranges: how to ask.
        progress: told about each byte.
        jitter: a random factor around 1, so that pods do not come back together.
        hold: called before bytes are written; raises when another process may write them by now.
        clock: seconds that never go back.
        connections: how many to use.
    """

    def __init__(
        self,
        ranges: Ranges,
        progress: Progress,
        *,
        jitter: Callable[[], float],
        hold: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        connections: int = CONNECTIONS,
    ) -> None:
        self._ranges = ranges
        self._progress = progress
        self._jitter = jitter
        self._hold = hold
        self._clock = clock
        self._connections = connections
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._fresh: deque[_Job] = deque()
        self._begun: list[_Job] = []
        self._not_before = clock()

    def run(self, files: Sequence[tuple[PartialFile, Place]]) -> None:
        """Return when all files are there, exactly as approved.

        Raises:
            WeightsMismatchError: a server has other bytes, naming what was expected and found.
            WeightsUnavailableError: a server does not give a file.
            OSError: a file cannot be read or written.
        """
        # The largest first, so that none is left alone at the end.
        self._fresh.extend(_Job(partial, place) for partial, place in sorted(files, key=lambda pair: -pair[0].file.size))
        self._progress.add(sum(partial.present for partial, _ in files))
        with ThreadPoolExecutor(max_workers=self._connections) as threads:
            futures = [threads.submit(self._work) for _ in range(self._connections)]
            try:
                self._progress.wait(futures)
            finally:
                self._cancelled.set()
        if any(partial.observed is None for partial, _ in files):
            raise RuntimeError("a file was forgotten")

    def _work(self) -> None:
        job: _Job | None = None
        while not self._cancelled.is_set():
            taken = self._next(job)
            if taken is None:
                return
            job, segment = taken
            if segment is not None:
                self._bring(job, segment)
            self._complete(job)

    def _next(self, last: _Job | None) -> tuple[_Job, Segment | None] | None:
        """Return what to do next: go on with the same file, begin another, or help where most is missing.

        Without a segment there is only hashing to do: the file is empty, or an earlier process had brought all of it.
        """
        with self._lock:
            if last is not None and (segment := last.partial.claim()):
                return last, segment
            if self._fresh:
                job = self._fresh.popleft()
                self._begun.append(job)
                return job, job.partial.claim()
            self._begun = [job for job in self._begun if job.partial.observed is None]
            for job in sorted(self._begun, key=lambda job: -job.partial.unclaimed):
                if segment := job.partial.claim():
                    return job, segment
            return None

    def _complete(self, job: _Job) -> None:
        """Hash what came; once all of it did, keep it if it is right and ask once more if it is not."""
        partial = job.partial
        if not partial.advance(self._cancelled):
            return
        found = partial.finish()
        if found is None:
            return
        file, endpoint = partial.file, job.place.server.endpoint
        if job.wrong or not file.size:
            raise WeightsMismatchError(f"{file.path!a}: expected {describe(file.size, file.sha256)}, found {found} at {endpoint}")
        log("wrong bytes, fetching again", level="warning", file=file.path, found=found)
        # A proxy, a disk or an earlier process may have been at fault; only the second of those is the server's word.
        job.wrong = not partial.recovered
        job.place.direct = None
        self._progress.add(-partial.present)
        partial.restart()

    def _bring(self, job: _Job, segment: Segment) -> None:
        """Bring a claimed segment, over as many connections as it takes."""
        partial, failures = job.partial, 0
        try:
            while segment.position < segment.end and not self._cancelled.is_set():
                before = segment.position
                self._wait_for_turn()
                try:
                    self._receive(job, segment)
                except SourceUnavailableError as error:
                    failures = 1 if segment.position > before else failures + 1
                    self._pause(job, error, failures)
        except _OtherSizeError as error:
            partial.spoil(str(error))
        except _NoRangesError:
            partial.ignore_ranges()
        except SourceMismatchError as error:
            raise WeightsMismatchError(str(error)) from error
        except HubError as error:
            raise WeightsUnavailableError(f"{partial.file.path!a}: {error}") from error
        finally:
            self._progress.add(-partial.release(segment))

    def _receive(self, job: _Job, segment: Segment) -> None:
        """Take bytes until the end of the answer or of the segment. Raises `HubError` and the two of this module."""
        partial = job.partial
        whole = partial.alone or (partial.whole and not segment.position)
        with self._ranges.open(job.place, segment.position, None if whole else segment.end) as body:
            if body.pause_seconds:
                self._no_request_for(body.pause_seconds)
            if body.total is not None and body.total != partial.file.size:
                raise _OtherSizeError(f"{body.total} bytes")
            if body.position != segment.position and not partial.alone:
                raise _NoRangesError
            partial.begin(segment)
            try:
                self._copy(body, partial, segment)
            finally:
                partial.end(segment)

    def _copy(self, body: Body, partial: PartialFile, segment: Segment) -> None:
        skip = segment.position - body.position  # what came over an earlier connection
        received = 0
        while segment.position < segment.end and not self._cancelled.is_set():
            piece = body.read(_PIECE_BYTES)
            self._hold()
            received += len(piece)
            if not piece:
                break
            view = memoryview(piece)[skip:]
            skip -= len(piece) - len(view)
            room = segment.end - segment.position
            if len(view) > room and body.total is None:
                raise _OtherSizeError(f"more than {partial.file.size} bytes")
            partial.write(segment, view[:room])
            self._progress.add(len(view[:room]))
        if body.total is None and not self._cancelled.is_set():
            # Only its end tells how long such an answer is.
            if segment.position < segment.end:
                raise _OtherSizeError(f"{segment.position} bytes")
            if body.read(1):
                raise _OtherSizeError(f"more than {partial.file.size} bytes")
        elif not received and not self._cancelled.is_set():
            raise SourceUnavailableError(f"{body.endpoint} sent nothing")

    def _pause(self, job: _Job, error: SourceUnavailableError, failures: int) -> None:
        path = job.partial.file.path
        if failures > _TRIES:
            raise WeightsUnavailableError(f"{path!a}: {error}; gave up after {failures} tries") from error
        seconds = min(2.0 ** (failures - 1), _LONGEST_PAUSE_SECONDS) * self._jitter()
        if error.retry_after is not None:
            seconds = min(max(seconds, error.retry_after), _LONGEST_RATE_LIMIT_SECONDS)
            self._no_request_for(seconds)
        log("trying again", level="warning", file=path, error=str(error), pause=round(seconds, 1))
        self._cancelled.wait(seconds)

    def _no_request_for(self, seconds: float) -> None:
        """Keep all connections from asking while the server's window of requests is used up."""
        with self._lock:
            self._not_before = max(self._not_before, self._clock() + min(seconds, _LONGEST_RATE_LIMIT_SECONDS))

    def _wait_for_turn(self) -> None:
        while (seconds := self._not_before - self._clock()) > 0 and not self._cancelled.is_set():
            self._cancelled.wait(seconds)
