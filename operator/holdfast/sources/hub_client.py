"""Synchronous access to one Hub through huggingface_hub: what Holdfast asks for, and what it makes of the answers."""

import json
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import httpx2
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import ModelInfo, RepoFile
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import get_session, hf_raise_for_status
from huggingface_hub.utils._paths import filter_repo_objects

from holdfast import __version__
from holdfast.sources.hub_errors import (
    HubError,
    SourceForbiddenError,
    SourceMismatchError,
    SourceNotFoundError,
    SourceUnavailableError,
    SourceUnusableError,
)
from holdfast.sources.hub_transport import Limits, within

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryFile:
    """A file as the Hub lists it. Large files carry their sha256; plain git files only git's hash of the blob (sha1)."""

    path: str
    size: int
    blob: str
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What the Hub says about a repository at a commit, beside its files."""

    commit: str
    gated: bool | None
    last_modified: datetime | None
    security_status: str | None
    """What its scans say; None when it did not say."""


def matching(files: Iterable[RepositoryFile], patterns: list[str] | None) -> list[RepositoryFile]:
    """Return the files whose whole path matches one of the glob patterns; all files when there are no patterns.

    The meaning is huggingface_hub's ``allow_patterns``: ``*`` crosses slashes, case counts, a pattern that ends with a slash
    takes everything below that directory.
    """
    return list(filter_repo_objects(files, allow_patterns=patterns, key=lambda file: file.path))


class HubClient:
    """Synchronous access to one Hub. Every use happens inside `within`."""

    def __init__(self, endpoint: str, token: str | None = None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._token = token or False
        self._api = HfApi(endpoint=self.endpoint, token=self._token, library_name="holdfast", library_version=__version__)

    @contextmanager
    def within(self, limits: Limits) -> Generator[None]:
        """Bound everything that this thread asks the Hub for, and turn every failure into a `HubError`."""
        with within(self.endpoint, limits), self.errors():
            yield

    def commit(self, repository: str, revision: str) -> str:
        """Return the commit that a branch, a tag or a hash means now.

        Raises:
            SourceMismatchError: the repository was renamed; the Hub redirects to whoever has the new name.
        """
        return str(self._info(repository, revision).sha)

    def _info(self, repository: str, revision: str, *, security: bool = False) -> ModelInfo:
        info = self._api.model_info(repository, revision=revision, securityStatus=security or None)
        if info.id != repository:
            raise SourceMismatchError(f"{repository} is now {info.id}: check who owns it, then pin it under that name")
        if not isinstance(info.sha, str) or not _COMMIT.fullmatch(info.sha):
            raise SourceUnavailableError(f"{self.endpoint} named no commit for {repository} at {revision}")
        return info

    def describe(self, repository: str, commit: str) -> Description:
        """Return what the Hub says about a repository at a commit.

        Raises:
            SourceMismatchError: the repository was renamed; the Hub redirects to whoever has the new name.
        """
        info = self._info(repository, commit, security=True)
        status = getattr(info, "security_repo_status", None)
        return Description(
            commit=str(info.sha),
            gated=bool(info.gated) if info.gated is not None else None,
            last_modified=info.last_modified,
            security_status=_security(status) if isinstance(status, dict) else None,
        )

    def refs_to(self, repository: str, commit: str) -> list[str]:
        """Return the full names of the branches and tags that mean a commit now, sorted."""
        refs = self._api.list_repo_refs(repository)
        return sorted(ref.ref for ref in (*refs.branches, *refs.tags) if ref.target_commit == commit)

    def files(self, repository: str, commit: str) -> Iterator[RepositoryFile]:
        """List all files of a commit, in the Hub's order."""
        for entry in self._api.list_repo_tree(repository, recursive=True, revision=commit):
            if not isinstance(entry, RepoFile):
                continue
            if entry.lfs is None:
                yield RepositoryFile(path=entry.path, size=entry.size, blob=entry.blob_id, sha256=None)
            elif _SHA256.fullmatch(entry.lfs.sha256):
                yield RepositoryFile(path=entry.path, size=entry.lfs.size, blob=entry.blob_id, sha256=entry.lfs.sha256)
            else:
                raise SourceUnavailableError(f"{self.endpoint} names no sha256 for {entry.path!a}")

    def get(self, target: str, *, etag: str | None = None) -> httpx2.Response:
        """Ask for JSON of the Hub's API, at a path and query below the endpoint.

        With `etag` the answer may be a 304 without a body: it is still what it was.
        """
        headers = build_hf_headers(token=self._token, library_name="holdfast", library_version=__version__)
        if etag is not None:
            headers["If-None-Match"] = etag
        response = get_session().get(f"{self.endpoint}{target}", headers=headers)
        if response.status_code != httpx2.codes.NOT_MODIFIED:
            hf_raise_for_status(response)
        return response

    @contextmanager
    def open(self, repository: str, commit: str, path: str, *, start: int = 0) -> Generator[httpx2.Response]:
        """Open a file of a commit for streaming, from byte `start`.

        The token goes to the Hub only: a redirect to another origin is followed without it.

        Raises:
            SourceMismatchError: the Hub says that the bytes are of another commit.
        """
        url = hf_hub_url(repository, path, revision=commit, endpoint=self.endpoint)
        headers = build_hf_headers(
            token=self._token,
            library_name="holdfast",
            library_version=__version__,
            headers={"Accept-Encoding": "identity"},
        )
        if start:
            headers["Range"] = f"bytes={start}-"
        with get_session().stream("GET", url, headers=headers) as response:
            hf_raise_for_status(response)
            for answer in (*response.history, response):
                answered = answer.headers.get("x-repo-commit", commit)
                if answered != commit:
                    raise SourceMismatchError(f"{path}: {self.endpoint} answered with commit {answered} instead of {commit}")
            yield response

    @contextmanager
    def errors(self) -> Generator[None]:
        """Turn every failure into a `HubError`; `within` does so too, this is for who goes on after one."""
        try:
            yield
        except HubError:
            raise
        except GatedRepoError as error:  # a subclass of RepositoryNotFoundError
            raise SourceForbiddenError(
                f"{_repository(error)} is gated: accept its conditions at {self.endpoint} and give a token of that account"
            ) from error
        except DisabledRepoError as error:
            raise SourceForbiddenError(f"the repository is disabled by {self.endpoint}") from error
        except RevisionNotFoundError as error:
            raise SourceNotFoundError(
                f"{_repository(error)} has no such commit, branch or tag; upstream may have squashed or force-pushed it away"
            ) from error
        except RemoteEntryNotFoundError as error:
            raise SourceNotFoundError(f"{_repository(error)} has no such file at the pinned commit") from error
        except RepositoryNotFoundError as error:
            hidden = "or the token may not see it" if self._token else "or is private and no token was given"
            raise SourceNotFoundError(f"{_repository(error)} does not exist at {self.endpoint}, {hidden}") from error
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status in {401, 403}:
                raise SourceForbiddenError(
                    f"{self.endpoint} refused the request ({status}): the token is not valid for it"
                ) from error
            raise SourceUnavailableError(f"{self.endpoint} answered {status}, which is not understood") from error
        except HFValidationError as error:
            raise SourceUnusableError(f"not a name of a repository: {error}") from error
        except OfflineModeIsEnabled as error:
            raise SourceUnavailableError(
                "the environment asks to stay offline (HF_HUB_OFFLINE): unset it to reach the Hub"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SourceUnavailableError(f"{self.endpoint} sent an answer that is not understood; is it a Hub?") from error


def _repository(error: HfHubHTTPError) -> str:
    return getattr(error, "repo_id", None) or "the repository"


def _security(status: dict[str, Any]) -> str:
    """Return the state of the Hub's scans in words (``securityRepoStatus`` of model info)."""
    issues = status.get("filesWithIssues")
    if isinstance(issues, list) and issues:
        paths = [str(issue.get("path")) for issue in issues if isinstance(issue, dict)]
        return f"issues: {json.dumps(paths)}"
    return "no issues" if status.get("scansDone") else "scans not done"
