"""Streams one file from the Hub to disk, hashing what it writes."""

import hashlib
import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2

from holdfast.sources.hub_client import HubClient
from holdfast.sources.hub_errors import HubError, SourceMismatchError, SourceUnavailableError
from holdfast.sources.hub_transport import Limits
from holdfast.weights.errors import WeightsMismatchError, WeightsUnavailableError
from holdfast.weights.listing import ApprovedFile
from holdfast.weights.progress import Progress, log
from holdfast.weights.verification import describe

_REQUEST_SECONDS: Final = 30.0
_TRIES: Final = 8  # in a row that brought not one byte
_LONGEST_PAUSE_SECONDS: Final = 60.0
_LONGEST_RATE_LIMIT_SECONDS: Final = 330.0  # the Hub's windows are of five minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the files are, and how to wait. `pause` sleeps for seconds and returns True when the work was cancelled."""

    client: HubClient
    repository: str
    commit: str
    jitter: Callable[[], float]
    """A random factor around 1, so that pods do not come back together."""
    cancelled: threading.Event = field(default_factory=threading.Event)


def download(source: Source, file: ApprovedFile, destination: Path, progress: Progress) -> None:
    """Write a file that is exactly as approved. What breaks off goes on where it stopped.

    Wrong bytes are asked for once more, from the beginning, because a proxy or a disk may have been at fault; then it fails.

    Raises:
        WeightsMismatchError: the Hub has other bytes, naming what was expected and found.
        WeightsUnavailableError: the Hub does not give the file.
        OSError: the file cannot be written.
    """
    first = _Attempt(source, file, destination, progress)
    if first.run():
        return
    log("wrong bytes, fetching again", level="warning", file=file.path, found=first.found())
    progress.add(-first.received)
    destination.unlink()
    second = _Attempt(source, file, destination, progress)
    if not second.run():
        raise WeightsMismatchError(
            f"{file.path!a}: expected {describe(file.size, file.sha256)}, found {second.found()} at {source.client.endpoint}"
        )


class _Attempt:
    """One file from its first byte to its last, over as many connections as it takes."""

    def __init__(self, source: Source, file: ApprovedFile, destination: Path, progress: Progress) -> None:
        self._source = source
        self._file = file
        self._destination = destination
        self._progress = progress
        self._digest = hashlib.sha256()
        self.received = 0

    def run(self) -> bool:
        """Fetch; return whether size and hash are right."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self._destination, flags, 0o600), "wb", buffering=0) as output:
            failures = 0
            while True:
                before = self.received
                try:
                    self._receive(output.fileno())
                    break
                except SourceUnavailableError as error:
                    failures = 1 if self.received > before else failures + 1
                    if failures > 1 and self.received:
                        self._restart(output.fileno())  # going on brought nothing; perhaps the file there is shorter
                    self._pause(error, failures)
                except SourceMismatchError as error:
                    raise WeightsMismatchError(str(error)) from error
                except HubError as error:
                    raise WeightsUnavailableError(f"{self._file.path!a}: {error}") from error
            os.fsync(output.fileno())
        return self.received == self._file.size and self._digest.hexdigest() == self._file.sha256

    def found(self) -> str:
        """Return what came, for people."""
        if self.received > self._file.size:
            return f"more than {self._file.size} bytes"
        return describe(self.received, self._digest.hexdigest())

    def _receive(self, output: int) -> None:
        """Take bytes until the end of the answer or one byte too many. Raises `HubError`."""
        limits = Limits(request_seconds=_REQUEST_SECONDS, total_seconds=math.inf, cancelled=self._source.cancelled)
        client, start = self._source.client, self.received
        with (
            client.within(limits),
            client.open(self._source.repository, self._source.commit, self._file.path, start=start) as response,
        ):
            if start and not _continues(response, start):
                self._restart(output)
            for chunk in response.iter_bytes():
                self._write(output, chunk)
                if self.received > self._file.size:
                    return

    def _write(self, output: int, chunk: bytes) -> None:
        self._digest.update(chunk)
        self.received += len(chunk)
        self._progress.add(len(chunk))
        view = memoryview(chunk)
        while view:
            view = view[os.write(output, view) :]

    def _restart(self, output: int) -> None:
        os.ftruncate(output, 0)
        os.lseek(output, 0, os.SEEK_SET)
        self._progress.add(-self.received)
        self._digest = hashlib.sha256()
        self.received = 0

    def _pause(self, error: SourceUnavailableError, failures: int) -> None:
        if failures > _TRIES or self._source.cancelled.is_set():
            raise WeightsUnavailableError(f"{self._file.path!a}: {error}; gave up after {failures} tries") from error
        seconds = min(2.0 ** (failures - 1), _LONGEST_PAUSE_SECONDS) * self._source.jitter()
        if error.retry_after is not None:
            seconds = min(max(seconds, error.retry_after), _LONGEST_RATE_LIMIT_SECONDS)
        log("trying again", level="warning", file=self._file.path, error=str(error), pause=round(seconds, 1))
        self._source.cancelled.wait(seconds)


def _continues(response: httpx2.Response, start: int) -> bool:
    """Whether the answer begins at the byte that was asked for (RFC 9110 §14.4); servers may ignore a Range."""
    whole = "content-encoding" not in response.headers
    return whole and response.status_code == 206 and response.headers.get("content-range", "").startswith(f"bytes {start}-")
