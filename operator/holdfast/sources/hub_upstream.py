"""One look at a repository of a Hub: what it is called, what its branches and tags mean, whether pinned commits are still there.

A look is 2 requests and one for each pinned commit, in the Hub's bucket ``api`` (https://huggingface.co/docs/hub/rate-limits). What
the Hub gave an ETag for is asked for conditionally (RFC 9110 §13.1.2): an unchanged answer has no body. It still counts for the limit.
"""

import asyncio
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote

from huggingface_hub.errors import DisabledRepoError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils._http import RateLimitInfo, parse_ratelimit_headers
from pydantic import BaseModel, ConfigDict, Field

from holdfast.domain.snapshot import RepositoryMissing, RepositorySeen
from holdfast.sources.hub_client import HubClient
from holdfast.sources.hub_transport import Limits

_REMEMBERED_MAX: Final = 20_000
"""Answers that are asked for conditionally; each is a few hundred bytes here. Whether one is still good, the Hub says to the caller."""
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_REF: Final = re.compile(r"refs/(heads|tags)/[\x21-\x7e]{1,245}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_TEXTS: Final = re.compile(r"README\.md|[^/]*(licen[cs]e|copying|notice|use[-_]policy)[^/]*", re.IGNORECASE)
"""The card and files with terms, at the top of a repository."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Sibling(_Answer):
    path: str = Field(alias="rfilename")
    blob: str | None = Field(default=None, alias="blobId")


class _Info(_Answer):
    """``GET /api/models/{repository}?blobs=true`` (huggingface_hub 2.4, ``hf_api.ModelInfo``)."""

    id: str
    gated: bool | str = False
    disabled: bool | None = None
    card: dict[str, Any] | None = Field(default=None, alias="cardData")
    siblings: list[_Sibling] | None = None


class _Ref(_Answer):
    ref: str
    commit: str = Field(alias="targetCommit")


class _Refs(_Answer):
    """``GET /api/models/{repository}/refs`` (``hf_api.GitRefs``)."""

    branches: list[_Ref] = []
    tags: list[_Ref] = []


class _Entry(_Answer):
    path: str
    oid: str


class _Tree(_Answer):
    """The first page of ``GET /api/models/{repository}/tree/{commit}`` (``hf_api.RepoFile``): the top of the repository."""

    entries: list[_Entry]


_A = TypeVar("_A", bound=_Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What the Hub said is left of its limit."""

    remaining: int
    limit: int | None
    reset_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the Hub showed, and what asking took of its limit."""

    found: RepositorySeen | RepositoryMissing
    requests: int
    allowance: Allowance | None = None
    """After the last request; None when the Hub announces no limit."""


class HubUpstream:
    """Looks at repositories of one Hub, one at a time, in a thread of its own so that nobody waits for it.

    Args:
        endpoint: URL of the Hub.
        token: the operator's own, as for resolving; it shows gated and private repositories.
        request_seconds: how long one answer may take.
        total_seconds: how long one look may take.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        token: Callable[[], str | None] = lambda: None,
        request_seconds: float = 10.0,
        total_seconds: float = 60.0,
    ) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._token = token
        self._request_seconds = request_seconds
        self._total_seconds = total_seconds
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="upstream")
        self._remembered: OrderedDict[str, tuple[str, _Answer]] = OrderedDict()

    async def look(self, repository: str, commits: Collection[str]) -> Look:
        """Look at a repository and at pinned commits of it.

        Raises:
            HubError: the Hub gave no usable answer, which says nothing about the repository; with `retry_after` if it is its limit.
        """
        cancelled = threading.Event()
        limits = Limits(request_seconds=self._request_seconds, total_seconds=self._total_seconds, cancelled=cancelled)

        def run() -> Look:
            client = HubClient(self.endpoint, self._token())
            with client.within(limits):
                return _Looking(client, self._remembered).look(repository, commits)

        try:
            return await asyncio.wrap_future(self._threads.submit(run))
        finally:
            cancelled.set()

    async def close(self) -> None:
        """Stop accepting work. A request under way ends by its own limits."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Looking:
    """One look."""

    def __init__(self, client: HubClient, remembered: OrderedDict[str, tuple[str, _Answer]]) -> None:
        self._client = client
        self._remembered = remembered
        self._requests = 0
        self._limit: RateLimitInfo | None = None

    def look(self, repository: str, commits: Collection[str]) -> Look:
        try:
            found = self._repository(repository, commits)
        except GatedRepoError:  # a subclass of RepositoryNotFoundError, and no answer to what is asked here
            raise
        except DisabledRepoError:
            return self._result(RepositoryMissing(disabled=True))
        except RepositoryNotFoundError:
            return self._result(RepositoryMissing())
        return self._result(found)

    def _result(self, found: RepositorySeen | RepositoryMissing) -> Look:
        limit = self._limit
        allowance = (
            Allowance(remaining=limit.remaining, limit=limit.limit, reset_seconds=float(limit.reset_in_seconds))
            if limit is not None
            else None
        )
        return Look(found=found, requests=self._requests, allowance=allowance)

    def _repository(self, repository: str, commits: Collection[str]) -> RepositorySeen | RepositoryMissing:
        try:
            info = self._get(f"/api/models/{repository}?blobs=true", _Info)
        except RevisionNotFoundError:  # it has no default branch
            info = _Info(id=repository)
        if info.disabled:
            return RepositoryMissing(disabled=True)
        name = _name(info.id)
        refs = self._get(f"/api/models/{name}/refs", _Refs)
        return RepositorySeen(
            name=name,
            gated=bool(info.gated),
            license=_license(info.card),
            refs={r.ref: r.commit for r in (*refs.branches, *refs.tags) if _REF.fullmatch(r.ref) and _COMMIT.fullmatch(r.commit)},
            texts={s.path: s.blob for s in info.siblings or () if s.blob is not None and _TEXTS.fullmatch(s.path)},
            commits={commit: self._commit(name, commit) for commit in sorted(commits)},
        )

    def _commit(self, repository: str, commit: str) -> Mapping[str, str] | None:
        """Return git's hashes of card and terms at a commit, None when it is gone.

        The tree is asked for, not the commit: a ref may go on naming a commit whose files are gone (huggingface_hub issue 3406).
        """
        try:
            tree = self._get(f"/api/models/{repository}/tree/{quote(commit, safe='')}?recursive=false&expand=false", _Tree)
        except RevisionNotFoundError:
            return None
        return {entry.path: entry.oid for entry in tree.entries if _TEXTS.fullmatch(entry.path)}

    def _get(self, target: str, kind: type[_A]) -> _A:
        tag, known = self._remembered.get(target, (None, None))
        self._requests += 1
        response = self._client.get(target, etag=tag)
        self._requests += len(response.history)
        self._limit = parse_ratelimit_headers(response.headers) or self._limit
        if response.status_code == 304 and isinstance(known, kind):
            self._remembered.move_to_end(target)
            return known
        value = response.json()
        answer = kind.model_validate({"entries": value} if kind is _Tree else value)
        self._remember(target, response.headers.get("etag"), _slim(answer))
        return answer

    def _remember(self, target: str, tag: str | None, answer: _Answer) -> None:
        self._remembered.pop(target, None)
        if tag is None:
            return
        self._remembered[target] = (tag, answer)
        while len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)


def _slim(answer: _Answer) -> _Answer:
    """Return the part of an answer that is used: a listing of thousands of files is not kept."""
    if isinstance(answer, _Info):
        kept = [sibling for sibling in answer.siblings or () if _TEXTS.fullmatch(sibling.path)]
        return answer.model_copy(update={"siblings": kept, "card": {"license": _license(answer.card)}})
    if isinstance(answer, _Tree):
        return _Tree(entries=[entry for entry in answer.entries if _TEXTS.fullmatch(entry.path)])
    return answer


def _license(card: Mapping[str, Any] | None) -> str | None:
    """Return the identifier in the card; a card may name several."""
    value = (card or {}).get("license")
    texts = (
        [value]
        if isinstance(value, str)
        else [item for item in value if isinstance(item, str)]
        if isinstance(value, list)
        else []
    )
    return ", ".join(text for text in texts if text.isprintable())[:256] or None


def _name(text: str) -> str:
    """Return a repository's name.

    Raises:
        ValueError: it is none, so that the answer is not understood.
    """
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!a} is no name of a repository")
    return text
