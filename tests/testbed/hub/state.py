"""Everything the hub knows, and the operations that change it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from testbed.hub import layout, repository
from testbed.hub.accounts import Account
from testbed.hub.content import ContentStore
from testbed.hub.faults import FaultBook
from testbed.hub.journal import Journal
from testbed.hub.ratelimit import RateLimiter
from testbed.hub.repository import MAIN, Commit, Gated, Repository

# All repositories are born at this moment, so that their commit ids depend on their content alone.
EPOCH = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)

# Outside fact: what huggingface_hub's `validate_repo_id` and the Hub accept, namespace included.
_REPOSITORY_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_PATH = re.compile(r"(?!/)(?!.*//)(?!(?:.*/)?\.{1,2}(?:/|$))[^\0\\]+(?<!/)")
_REF = re.compile(r"refs/(?:heads|tags|pr|convert)/[\w./-]+")


class InvalidOperationError(Exception):
    """An administrator asked for something that cannot be; the text says what and why."""


@dataclass(slots=True)
class Settings:
    """How the hub behaves where the real one has a fixed habit; tests make pages small and links short-lived.

    ``page_size`` is the number of tree entries a page (the Hub: 1000), ``commit_page_size`` of commits;
    ``cdn_link_seconds`` is how long a CDN link is good for.
    """

    page_size: int = 1000
    commit_page_size: int = 50
    cdn_link_seconds: int = 3600


@dataclass(slots=True)
class HubState:
    """All state of a hub. ``clock`` gives seconds since 1970; ``save`` is called after every lasting change."""

    store: ContentStore
    clock: Callable[[], float]
    signing_key: bytes
    cdn_url: str = ""
    save: Callable[["HubState"], None] = lambda _state: None
    settings: Settings = field(default_factory=Settings)
    repositories: dict[str, Repository] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    faults: FaultBook = field(default_factory=FaultBook)
    journal: Journal = field(default_factory=Journal)
    limiter: RateLimiter = field(init=False)

    def __post_init__(self) -> None:
        self.limiter = RateLimiter(self.clock)

    def get(self, repo: str) -> Repository:
        """Return a repository. Raises `InvalidOperationError` when there is none of this name."""
        found = self.repositories.get(repo)
        if found is None:
            raise InvalidOperationError(f"there is no repository {repo!r}; there are {sorted(self.repositories)}")
        return found

    def create_repo(self, repo: str, *, private: bool, gated: Gated) -> Commit:
        """Create a repository with the Hub's first commit. A redirect from this name ends: it is taken over."""
        if not _REPOSITORY_ID.fullmatch(repo):
            raise InvalidOperationError(f"{repo!r} is not a repository id of the form 'namespace/name'")
        if repo in self.repositories:
            raise InvalidOperationError(f"the repository {repo!r} exists already")
        self.redirects.pop(repo, None)
        created = Repository(id=repo, created_at=EPOCH, private=private, gated=gated)
        self.repositories[repo] = created
        digest = self.store.put(layout.GITATTRIBUTES)
        first = repository.entry(".gitattributes", layout.GITATTRIBUTES, digest, lfs=False)
        return self._saved(
            created.append(ref=MAIN, files={first.path: first}, author="system", title="initial commit", message="")
        )

    def delete_repo(self, repo: str) -> None:
        """Delete a repository, as its owner could at any time."""
        self.get(repo)
        del self.repositories[repo]
        self.save(self)

    def rename(self, repo: str, to: str) -> None:
        """Rename a repository; the old name redirects to the new one."""
        if not _REPOSITORY_ID.fullmatch(to) or to in self.repositories:
            raise InvalidOperationError(f"{to!r} is taken or not a repository id of the form 'namespace/name'")
        moved = self.get(repo)
        del self.repositories[repo]
        moved.id = to
        self.repositories[to] = moved
        self.redirects.pop(to, None)
        self.redirects = {old: to if new == repo else new for old, new in self.redirects.items()} | {repo: to}
        self.save(self)

    def commit(
        self,
        repo: str,
        changes: Mapping[str, bytes | None],
        *,
        lfs: Mapping[str, bool],
        ref: str,
        author: str | None,
        title: str,
        message: str,
    ) -> Commit:
        """Commit changes on top of a ref: bytes write a file, None deletes it. ``lfs`` overrides how it is stored."""
        target = self.get(repo)
        if ref not in target.refs:
            raise InvalidOperationError(f"{repo!r} has no ref {ref!r}; it has {sorted(target.refs)}")
        files = dict(target.commits[target.refs[ref]].files)
        for path, content in changes.items():
            if not _PATH.fullmatch(path):
                raise InvalidOperationError(f"{path!r} is not a path inside a repository")
            if content is None:
                if files.pop(path, None) is None:
                    raise InvalidOperationError(f"{path!r} cannot be deleted: it is not in {ref!r}")
                continue
            large = lfs.get(path, layout.goes_to_lfs(path, content))
            files[path] = repository.entry(path, content, self.store.put(content), lfs=large)
        clash = next((p for p in files if any(q.startswith(f"{p}/") for q in files)), None)
        if clash is not None:
            raise InvalidOperationError(f"{clash!r} cannot be a file and a directory")
        return self._saved(target.append(ref=ref, files=files, author=author or target.namespace, title=title, message=message))

    def set_card(self, repo: str, card: Mapping[str, object], *, ref: str) -> Commit:
        """Replace the metadata of the model card; on the Hub that is a commit to README.md, so it is here."""
        target = self.get(repo)
        head = target.commits[self._target(target, ref)]
        readme = head.files.get("README.md")
        source = self.store.open(readme.sha256) if readme else None
        text = source.read(0, source.size).decode() if source else f"# {repo}\n"
        content = layout.with_card(text, card).encode()
        return self.commit(repo, {"README.md": content}, lfs={}, ref=ref, author=None, title="Update README.md", message="")

    def set_ref(self, repo: str, ref: str, revision: str) -> Commit:
        """Point a branch, tag or pull request at a commit; creates the ref when it is new."""
        target = self.get(repo)
        if not _REF.fullmatch(ref):
            raise InvalidOperationError(f"{ref!r} is not a ref of the form 'refs/heads/...', 'refs/tags/...', 'refs/pr/...'")
        commit = target.find(revision)
        if commit is None:
            raise InvalidOperationError(f"{repo!r} has no revision {revision!r}")
        target.refs[ref] = commit.sha
        return self._saved(commit)

    def delete_ref(self, repo: str, ref: str) -> None:
        """Delete a branch, tag or pull request."""
        target = self.get(repo)
        self._target(target, ref)
        del target.refs[ref]
        self.save(self)

    def delete_commit(self, repo: str, sha: str) -> None:
        """Make a commit vanish: by its id everything answers 404, also when a ref still names it."""
        target = self.get(repo)
        if sha not in target.commits or sha in target.vanished:
            raise InvalidOperationError(f"{repo!r} has no commit {sha!r}")
        target.vanished.add(sha)
        self.save(self)

    def squash(self, repo: str, ref: str, title: str) -> Commit:
        """Replace the history of a branch by one commit; what only it led to vanishes."""
        target = self.get(repo)
        self._target(target, ref)
        return self._saved(target.squash(ref=ref, author=target.namespace, title=title))

    def configure(self, repo: str, *, private: bool | None, gated: Gated | None, disabled: bool | None) -> None:
        """Change who may see and download a repository; None leaves a setting as it is."""
        target = self.get(repo)
        target.private = target.private if private is None else private
        target.gated = target.gated if gated is None else gated
        target.disabled = target.disabled if disabled is None else disabled
        self.save(self)

    def set_access(self, repo: str, account: str, *, granted: bool) -> None:
        """Let an account through the gate of a repository, or no longer."""
        target = self.get(repo)
        if account not in self.accounts:
            raise InvalidOperationError(f"there is no account {account!r}; there are {sorted(self.accounts)}")
        (target.access.add if granted else target.access.discard)(account)
        self.save(self)

    def add_account(self, account: Account) -> None:
        """Create an account, or change the token and organisations of an existing one."""
        if any(a.token == account.token and a.name != account.name for a in self.accounts.values()):
            raise InvalidOperationError("another account has this token")
        self.accounts[account.name] = replace(account)
        self.save(self)

    def delete_account(self, name: str) -> None:
        """Delete an account: its token is no longer valid."""
        if self.accounts.pop(name, None) is None:
            raise InvalidOperationError(f"there is no account {name!r}")
        self.save(self)

    def _target(self, target: Repository, ref: str) -> str:
        if ref not in target.refs:
            raise InvalidOperationError(f"{target.id!r} has no ref {ref!r}; it has {sorted(target.refs)}")
        return target.refs[ref]

    def _saved(self, commit: Commit) -> Commit:
        self.save(self)
        return commit
