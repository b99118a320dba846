"""Brings a model's files into the cache. What is under the entry's name afterwards was verified byte by byte just now."""

import random
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.weights.cache import Cache
from holdfast.weights.errors import WeightsMismatchError, WeightsUnavailableError
from holdfast.weights.listing import ApprovedFile
from holdfast.weights.progress import Progress, log
from holdfast.weights.verification import WORKERS, verify

_SPARE_BYTES: Final = 16 * 1024 * 1024  # for the file system's own use


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The pinned repository. The token, if any, is read when the network is needed."""

    endpoint: str
    repository: str
    commit: str
    token_file: Path | None = None


def fetch(directory: Path, digest: str, files: Sequence[ApprovedFile], origin: Origin) -> str:
    """Make ``<directory>/sha256-<hex of digest>`` exactly the approved files and return in one sentence how.

    A published entry is verified, not trusted; a wrong one is set aside before anything else happens and never served. The
    network is used only when there is no right one.

    Raises:
        WeightsMismatchError: the Hub has other bytes than approved.
        WeightsUnavailableError: the Hub does not give the files, or they do not fit.
        OSError: the directory cannot be read or written.
    """
    cache = Cache(directory, digest, unique=secrets.token_hex(8))
    total = sum(file.size for file in files)
    what = f"{len(files)} files, {total} bytes"
    rejected = ""
    if cache.exists():
        rejected = _wrong(cache, files, total)
        if not rejected:
            return f"verified {what} in the cache"
    with cache.alone():
        if cache.exists():
            rejected = _wrong(cache, files, total)
            if not rejected:
                return f"verified {what} in the cache, which another pod had filled"
            log("the cached copy is wrong and is not used", level="warning", error=rejected)
            cache.reject()
        try:
            _fetch(cache, files, total, origin)
        except (WeightsMismatchError, WeightsUnavailableError) as error:
            if rejected:
                raise type(error)(f"{error}; the copy in the cache was wrong and was deleted ({rejected})") from error
            raise
        finally:
            cache.abandon()
    wrong = f"; the copy in the cache was wrong and was replaced ({rejected})" if rejected else ""
    return f"fetched and verified {what}{wrong}"


def _wrong(cache: Cache, files: Sequence[ApprovedFile], total: int) -> str:
    """Return what is wrong with the published entry; empty when it is right."""
    try:
        verify(cache.entry, files, Progress("verifying the cached copy", total))
    except WeightsMismatchError as error:
        return str(error)
    return ""


def _fetch(cache: Cache, files: Sequence[ApprovedFile], total: int, origin: Origin) -> None:
    free = cache.free_bytes()
    if free < total + _SPARE_BYTES:
        raise WeightsUnavailableError(
            f"the volume of weights has {free} bytes left and the model needs {total}: enlarge spec.serving.cache.size or the"
            " node's disk, or delete copies of models that are no longer used"
        )
    _download_all(cache.begin(), files, total, origin)
    if cache.publish():
        return
    # Another pod was first. Its copy counts if it is right; a wrong one is replaced.
    wrong = _wrong(cache, files, total)
    if wrong:
        log("another pod published a wrong copy, which is replaced", level="warning", error=wrong)
        cache.reject()
        if not cache.publish():
            raise WeightsUnavailableError("other pods keep publishing copies of this model; start again")


def _download_all(incoming: Path, files: Sequence[ApprovedFile], total: int, origin: Origin) -> None:
    # Imported here: huggingface_hub takes most of a second that a pod with a filled cache does not spend.
    from holdfast.sources.hub import read_token
    from holdfast.sources.hub_client import HubClient
    from holdfast.weights.download import Source, download

    cancelled = threading.Event()
    source = Source(
        client=HubClient(origin.endpoint, read_token(origin.token_file)),
        repository=origin.repository,
        commit=origin.commit,
        jitter=lambda: random.uniform(0.8, 1.2),  # noqa: S311 # spreads load, protects nothing
        cancelled=cancelled,
    )
    for file in files:
        (incoming / file.path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    progress = Progress("fetching", total)
    # The largest first, so that none is left alone at the end.
    ordered = sorted(files, key=lambda file: -file.size)
    with ThreadPoolExecutor(max_workers=WORKERS) as threads:
        futures = [threads.submit(download, source, file, incoming / file.path, progress) for file in ordered]
        try:
            progress.wait(futures)
        finally:
            cancelled.set()
            for future in futures:
                future.cancel()
