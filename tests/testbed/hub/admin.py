"""A typed client of the admin API: what tests and the demo do to the hub behind the product's back."""

import http.client
import time
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from testbed.hub import admin_messages as m
from testbed.hub.faults import AnyFault
from testbed.hub.journal import Counters, RequestRecord, UnexpectedRequest
from testbed.hub.ratelimit import Bucket
from testbed.hub.repository import Gated

_R = TypeVar("_R", bound=BaseModel)
_POLL_SECONDS = 0.02


class HubAdminError(Exception):
    """The hub refused an operation; the text is its reason."""


class HubAdmin:
    """Administers a running hub.

    Args:
        url: where the hub listens, ``http://address:port``.
        token: the admin token the hub was started with.
        timeout: seconds that one operation may take.

    Every method raises `HubAdminError` when the hub refuses, ``OSError`` when it cannot be reached.
    """

    def __init__(self, url: str, token: str, *, timeout: float = 30.0) -> None:
        self._url = url
        self._token = token
        self._timeout = timeout

    def health(self) -> None:
        """Return if the hub answers and the token is right."""
        self._call("health", m.Nothing(), m.Nothing)

    # Repositories

    def repos(self) -> m.Repos:
        """Return all repositories and redirects."""
        return self._call("repos", m.Nothing(), m.Repos)

    def create_repo(self, repo: str, *, private: bool = False, gated: Gated = False) -> str:
        """Create ``namespace/name`` with the Hub's own first commit (``.gitattributes``); return its id.

        A name that redirects elsewhere after a rename is taken over.
        """
        return self._commit("create-repo", m.CreateRepo(repo=repo, private=private, gated=gated))

    def delete_repo(self, repo: str) -> None:
        """Delete a repository."""
        self._call("delete-repo", m.OneRepo(repo=repo), m.Nothing)

    def rename(self, repo: str, to: str) -> None:
        """Rename a repository; requests for the old name are redirected."""
        self._call("rename", m.Rename(repo=repo, to=to), m.Nothing)

    def commit(
        self,
        repo: str,
        files: Mapping[str, bytes | None],
        *,
        branch: str = "main",
        title: str = "Upload files",
        message: str = "",
        author: str | None = None,
        lfs: Mapping[str, bool] | None = None,
    ) -> str:
        """Commit files on a branch and return the commit id.

        Bytes write a file, None deletes it, files not named stay. A file goes to LFS as on the Hub: by its suffix, above
        10 MiB, or when it is binary; ``lfs`` overrides that per path.
        """
        return self._commit(
            "commit",
            m.CommitFiles(
                repo=repo,
                files=dict(files),
                lfs=dict(lfs or {}),
                ref=_branch(branch),
                author=author,
                title=title,
                message=message,
            ),
        )

    def set_card(self, repo: str, card: Mapping[str, object], *, branch: str = "main") -> str:
        """Replace the metadata at the head of README.md (a commit, as on the Hub) and return the commit id."""
        return self._commit("set-card", m.SetCard(repo=repo, card=dict(card), ref=_branch(branch)))

    def move_branch(self, repo: str, branch: str, to: str) -> str:
        """Point a branch (new or old) at a revision, as a force-push does; return the commit id."""
        return self._commit("set-ref", m.SetRef(repo=repo, ref=_branch(branch), revision=to))

    def delete_branch(self, repo: str, branch: str) -> None:
        """Delete a branch."""
        self._call("delete-ref", m.OneRef(repo=repo, ref=_branch(branch)), m.Nothing)

    def tag(self, repo: str, name: str, revision: str = "main") -> str:
        """Create or move a tag; return the commit id."""
        return self._commit("set-ref", m.SetRef(repo=repo, ref=f"refs/tags/{name}", revision=revision))

    def delete_tag(self, repo: str, name: str) -> None:
        """Delete a tag."""
        self._call("delete-ref", m.OneRef(repo=repo, ref=f"refs/tags/{name}"), m.Nothing)

    def open_pull_request(self, repo: str, number: int, files: Mapping[str, bytes | None], *, title: str) -> str:
        """Create ``refs/pr/<number>`` from main with these changes; return the commit id."""
        ref = f"refs/pr/{number}"
        self._commit("set-ref", m.SetRef(repo=repo, ref=ref, revision="main"))
        return self._commit("commit", m.CommitFiles(repo=repo, files=dict(files), ref=ref, title=title))

    def delete_commit(self, repo: str, sha: str) -> None:
        """Make a commit vanish: its id answers 404 from now on, also while a branch still names it."""
        self._call("delete-commit", m.OneCommit(repo=repo, sha=sha), m.Nothing)

    def squash(self, repo: str, *, branch: str = "main", title: str = "Super-squash branch 'main'") -> str:
        """Replace the history of a branch by one commit, whose id is returned; the old commits vanish."""
        return self._commit("squash", m.Squash(repo=repo, ref=_branch(branch), title=title))

    # Access

    def set_private(self, repo: str, private: bool = True) -> None:
        """Hide a repository from all but its owner's people, or show it again."""
        self._call("configure", m.Configure(repo=repo, private=private), m.Nothing)

    def set_gated(self, repo: str, gated: Gated = "auto") -> None:
        """Put a repository behind a gate (``auto`` or ``manual``), or open it with False."""
        self._call("configure", m.Configure(repo=repo, gated=gated), m.Nothing)

    def set_disabled(self, repo: str, disabled: bool = True) -> None:
        """Disable a repository, as the Hub's moderators do, or enable it again."""
        self._call("configure", m.Configure(repo=repo, disabled=disabled), m.Nothing)

    def add_account(self, name: str, token: str, *, organizations: tuple[str, ...] = ()) -> None:
        """Create an account with a token, or replace it; members see the private repositories of their organisations."""
        self._call("add-account", m.AddAccount(name=name, token=token, organizations=organizations), m.Nothing)

    def delete_account(self, name: str) -> None:
        """Delete an account; its token is invalid from now on."""
        self._call("delete-account", m.OneAccount(name=name), m.Nothing)

    def grant_access(self, repo: str, account: str) -> None:
        """Let an account through the gate of a repository."""
        self._call("set-access", m.SetAccess(repo=repo, account=account, granted=True), m.Nothing)

    def revoke_access(self, repo: str, account: str) -> None:
        """Take back what `grant_access` gave."""
        self._call("set-access", m.SetAccess(repo=repo, account=account, granted=False), m.Nothing)

    # Faults

    def add_fault(self, fault: AnyFault) -> int:
        """Put a fault of `testbed.hub.faults` in force and return its id."""
        return self._call("add-fault", m.AddFault(fault=fault), m.FaultId).id

    def remove_fault(self, fault_id: int) -> None:
        """End a fault."""
        self._call("remove-fault", m.OneFault(id=fault_id), m.Nothing)

    def clear_faults(self) -> None:
        """End all faults."""
        self._call("clear-faults", m.Nothing(), m.Nothing)

    def faults(self) -> list[m.FaultReport]:
        """Return all faults with how often they were met and struck."""
        return self._call("faults", m.Nothing(), m.Faults).faults

    # What was asked

    def requests(self, match: str = ".", *, after: int = 0) -> list[RequestRecord]:
        """Return logged requests, oldest first: numbered above ``after``, with ``match`` in ``<METHOD> <path>``."""
        return self._call("requests", m.FindRequests(match=match, after=after), m.Requests).requests

    def wait_for_requests(self, match: str, *, count: int = 1, after: int = 0, timeout: float = 10.0) -> list[RequestRecord]:
        """Wait until at least ``count`` such requests came in (answered or not) and return them.

        Raises ``TimeoutError`` after ``timeout`` seconds, naming what did come in.
        """
        deadline = time.monotonic() + timeout
        while len(found := self.requests(match, after=after)) < count:
            if time.monotonic() > deadline:
                seen = [f"{r.method} {r.path}" for r in self.requests(after=after)]
                raise TimeoutError(f"{len(found)} of {count} requests for {match!r} in {timeout} s; seen: {seen}")
            time.sleep(_POLL_SECONDS)
        return found

    def counters(self) -> Counters:
        """Return the totals per route and status, and of bytes per route."""
        return self._call("counters", m.Nothing(), Counters)

    def reset_journal(self) -> None:
        """Forget logged requests and totals."""
        self._call("reset-journal", m.Nothing(), m.Nothing)

    def unexpected(self) -> list[UnexpectedRequest]:
        """Return what the hub did not understand."""
        return self._call("unexpected", m.Nothing(), m.Unexpected).unexpected

    def forget_unexpected(self) -> None:
        """Forget it: for tests that are about strictness."""
        self._call("forget-unexpected", m.Nothing(), m.Nothing)

    def change_settings(
        self,
        *,
        page_size: int | None = None,
        commit_page_size: int | None = None,
        cdn_link_seconds: int | None = None,
        quotas: Mapping[Bucket, int] | None = None,
        rate_limit_window_seconds: int | None = None,
    ) -> None:
        """Change the hub's habits; None leaves one as it is. ``cdn_link_seconds`` 0 makes links that are stale at once.

        ``quotas`` are requests per caller and rate-limit window, in the buckets ``api`` and ``resolvers``.
        """
        change = m.ChangeSettings(
            page_size=page_size,
            commit_page_size=commit_page_size,
            cdn_link_seconds=cdn_link_seconds,
            quotas=dict(quotas or {}),
            rate_limit_window_seconds=rate_limit_window_seconds,
        )
        self._call("change-settings", change, m.Nothing)

    def _commit(self, operation: str, argument: m.Message) -> str:
        return self._call(operation, argument, m.CommitId).sha

    def _call(self, operation: str, argument: m.Message, result: type[_R]) -> _R:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=self._timeout)
        try:
            connection.request("POST", f"/admin/{operation}", argument.model_dump_json().encode(), headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise HubAdminError(m.Failure.model_validate_json(body).error)
        return result.model_validate_json(body)


def _branch(name: str) -> str:
    return f"refs/heads/{name}"
