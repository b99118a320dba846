"""Where the files of a commit are at a Hub or at a mirror of one, for programs that fetch much and need nothing else of it.

Facts: the answers of ``/{repository}/resolve/{commit}/{path}`` as huggingface_hub 2.4 reads them (``utils/_http.py``,
``hf_raise_for_status``): ``X-Repo-Commit``, ``X-Error-Code``, ``X-Error-Message``.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from holdfast.sources.hub_errors import HubError, SourceForbiddenError, SourceMismatchError, SourceNotFoundError
from holdfast.sources.ranges import Place

_DISABLED: Final = "Access to this resource is disabled."


class HubFiles:
    """A commit of a repository at one endpoint. The token, if any, goes to that endpoint only."""

    def __init__(self, endpoint: str, repository: str, commit: str, token: str | None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._repository = repository
        self._commit = commit
        self._token = token

    def place(self, path: str) -> Place:
        """Return where a file is."""
        url = f"{self.endpoint}/{quote(self._repository)}/resolve/{quote(self._commit, safe='')}/{quote(path)}"
        return Place(server=self, url=url, path=path)

    def authorization(self) -> str | None:
        """Return the header with the token."""
        return f"Bearer {self._token}" if self._token else None

    def renew(self, refused: str | None, challenge: str) -> bool:  # noqa: ARG002 # a Hub gives no other token
        """Tokens of a Hub are what they are."""
        return False

    def check(self, path: str, status: int, headers: Mapping[str, str]) -> HubError | None:
        """Return what an answer says about the repository, the commit or the file."""
        answered = headers.get("x-repo-commit", self._commit)
        if status < 400:
            if answered == self._commit:
                return None
            return SourceMismatchError(f"{path!a}: {self.endpoint} answered with commit {answered!a} instead of {self._commit}")
        if status in (408, 425, 429) or status >= 500:
            return None  # worth trying again
        name, code = self._repository, headers.get("x-error-code", "")
        if code == "GatedRepo":
            return SourceForbiddenError(
                f"{name} is gated: accept its conditions at {self.endpoint} and give a token of that account"
            )
        if headers.get("x-error-message") == _DISABLED:
            return SourceForbiddenError(f"the repository is disabled by {self.endpoint}")
        if code == "RevisionNotFound":
            return SourceNotFoundError(
                f"{name} has no such commit, branch or tag; upstream may have squashed or force-pushed it away"
            )
        if code == "EntryNotFound":
            return SourceNotFoundError(f"{name} has no such file at the pinned commit")
        if code == "RepoNotFound":
            hidden = "or the token may not see it" if self._token else "or is private and no token was given"
            return SourceNotFoundError(f"{name} does not exist at {self.endpoint}, {hidden}")
        if status in (401, 403):
            return SourceForbiddenError(f"{self.endpoint} refused the request ({status}): the token is not valid for it")
        return None
