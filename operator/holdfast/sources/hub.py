"""The Hub as the operator and the command line see it: exact files of an exact commit, or a typed error."""

import asyncio
import hashlib
import hmac
import itertools
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from holdfast.api.manifest import FILES_MAX, MANIFEST_MAX_BYTES, manifest_bytes, manifest_digest, paths_problem
from holdfast.api.model import File, HuggingFaceSource
from holdfast.api.revision import ResolvedHuggingFace, ResolvedSource
from holdfast.sources.hub_client import HubClient, RepositoryFile, matching
from holdfast.sources.hub_errors import SourceMismatchError, SourceNotFoundError, SourceUnusableError
from holdfast.sources.hub_transport import Limits

_LISTED_MAX: Final = 100_000  # entries of a repository, before `include` chooses
_PLAIN_FILE_MAX_BYTES: Final = 16 * 1024 * 1024
_PLAIN_TOTAL_MAX_BYTES: Final = 64 * 1024 * 1024

_T = TypeVar("_T")


def read_token(path: Path | None) -> str | None:
    """Return the token in a file; None without a file or when it is empty or not there. Read at each use: tokens are rotated."""
    if path is None:
        return None
    try:
        return path.read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


class HubResolver:
    """Resolves declared sources against one Hub.

    Work runs in `workers` threads of its own. Cancelling a call returns at once; its thread ends at the next answer of the Hub,
    `request_seconds` later at most. No answer is remembered.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        token: Callable[[], str | None] = lambda: None,
        workers: int = 4,
        request_seconds: float = 10.0,
        total_seconds: float = 300.0,
    ) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._token = token
        self._request_seconds = request_seconds
        self._total_seconds = total_seconds
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="hub")

    async def resolve(self, source: HuggingFaceSource) -> ResolvedSource:
        """Return the exact files of a declared source.

        Plain git files, for which the Hub has no sha256, are read (16 MiB each and 64 MiB together at most), compared with git's
        hash of them, and hashed.

        Raises:
            HubError: with the `Reason` to show; `SourceUnavailableError` is worth trying again.
        """
        return await self._run(lambda client: _resolve(client, source))

    async def resolve_ref(self, repository: str, ref: str) -> str:
        """Return the commit (40 hex digits) that a branch, a tag or a shortened hash means now.

        Raises:
            HubError: with the `Reason` to show.
        """
        return await self._run(lambda client: client.commit(repository, ref))

    async def repository_files(self, repository: str, commit: str) -> list[RepositoryFile]:
        """Return all files of a commit, ordered by path, without reading any.

        Raises:
            HubError: with the `Reason` to show.
        """
        return await self._run(lambda client: _listed(client, repository, commit))

    async def close(self) -> None:
        """Stop accepting work. Threads that wait for the Hub end by their own limits."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[HubClient], _T]) -> _T:
        cancelled = threading.Event()
        limits = Limits(request_seconds=self._request_seconds, total_seconds=self._total_seconds, cancelled=cancelled)

        def run() -> _T:
            client = HubClient(self.endpoint, self._token())
            with client.within(limits):
                return work(client)

        try:
            return await asyncio.wrap_future(self._threads.submit(run))
        finally:
            cancelled.set()


def _resolve(client: HubClient, source: HuggingFaceSource) -> ResolvedSource:
    commit = client.commit(source.repository, source.commit)
    if commit != source.commit:
        raise SourceMismatchError(f"{client.endpoint} answered with commit {commit} instead of {source.commit}")
    files = _included(_listed(client, source.repository, commit), source)
    hashed = [
        File(path=file.path, size=file.size, sha256=file.sha256 or _hash_plain(client, source.repository, commit, file))
        for file in files
    ]
    if len(manifest_bytes(hashed)) > MANIFEST_MAX_BYTES:
        raise SourceUnusableError(
            f"{source.repository}: the list of its {len(hashed)} files is longer than {MANIFEST_MAX_BYTES} bytes;"
            " name the files that the engine needs in source.huggingFace.include"
        )
    digest = manifest_digest(hashed)
    if source.manifest_digest and not hmac.compare_digest(digest, source.manifest_digest):
        raise SourceMismatchError(
            f"{source.repository} at {commit} has the file list {digest}, but manifestDigest says {source.manifest_digest}"
        )
    return ResolvedSource(
        hugging_face=ResolvedHuggingFace(endpoint=client.endpoint, repository=source.repository, commit=commit),
        manifest_digest=digest,
        files=hashed,
    )


def _listed(client: HubClient, repository: str, commit: str) -> list[RepositoryFile]:
    files = list(itertools.islice(client.files(repository, commit), _LISTED_MAX + 1))
    if len(files) > _LISTED_MAX:
        raise SourceUnusableError(f"{repository} has more than {_LISTED_MAX} files")
    return sorted(files, key=lambda file: file.path)


def _included(files: Iterable[RepositoryFile], source: HuggingFaceSource) -> list[RepositoryFile]:
    chosen = matching(files, source.include)
    if not chosen:
        patterns = ", ".join(source.include) if source.include else "*"
        raise SourceNotFoundError(f"{source.repository} at {source.commit} has no file that matches {patterns}")
    problem = paths_problem([file.path for file in chosen])
    if problem:
        raise SourceUnusableError(
            f"{source.repository} at {source.commit}: {problem}; name the files that the engine needs in"
            f" source.huggingFace.include (at most {FILES_MAX})"
        )
    for file in chosen:
        if file.sha256 is None and file.size > _PLAIN_FILE_MAX_BYTES:
            raise SourceUnusableError(f"{file.path!a} is a plain git file of {file.size} bytes: too large to hash it beforehand")
    if sum(file.size for file in chosen if file.sha256 is None) > _PLAIN_TOTAL_MAX_BYTES:
        raise SourceUnusableError(
            f"{source.repository}: its plain git files are more than {_PLAIN_TOTAL_MAX_BYTES} bytes together;"
            " name the files that the engine needs in source.huggingFace.include"
        )
    return chosen


def _hash_plain(client: HubClient, repository: str, commit: str, file: RepositoryFile) -> str:
    """Return the sha256 of a plain git file after comparing it with git's hash: sha1 over ``blob SIZE NUL`` and the bytes."""
    blob = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    sha256 = hashlib.sha256()
    received = 0
    with client.open(repository, commit, file.path) as response:
        for chunk in response.iter_bytes():
            received += len(chunk)
            if received > file.size:
                break
            blob.update(chunk)
            sha256.update(chunk)
    if received != file.size or not hmac.compare_digest(blob.hexdigest(), file.blob):
        raise SourceMismatchError(
            f"{file.path!a}: the Hub lists {file.size} bytes of git blob {file.blob} and sent"
            f" {'more' if received > file.size else received} bytes of {blob.hexdigest()}"
        )
    return sha256.hexdigest()
