"""One model repository: commits, trees and refs, as git and the Hub see them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from testbed.hub import objects

Gated = Literal["auto", "manual", False]

MAIN = "refs/heads/main"
_FULL_SHA = re.compile(r"[0-9a-f]{40}")
_SHORT_SHA = re.compile(r"[0-9a-f]{7,39}")
# Each commit is an hour younger than its parent: the same content in the same order has the same commit ids for ever.
_COMMIT_STEP = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file in a commit.

    ``oid`` is the git blob id: of the content for a plain file, of the pointer text for an LFS file.
    ``sha256`` addresses the content itself in the store.
    """

    path: str
    oid: str
    size: int
    sha256: str
    lfs: bool

    @property
    def pointer_size(self) -> int:
        """Length of the LFS pointer text in bytes."""
        return len(objects.lfs_pointer(self.sha256, self.size))

    @property
    def etag(self) -> str:
        """What the Hub answers as the identity of the file: sha256 for LFS, git blob id otherwise."""
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True, slots=True)
class Commit:
    """An immutable commit. ``trees`` has the git id of every directory; the root is ``""``."""

    sha: str
    parent: str | None
    title: str
    message: str
    author: str
    date: datetime
    files: Mapping[str, FileEntry]
    trees: Mapping[str, str]


def entry(path: str, content: bytes, sha256: str, *, lfs: bool) -> FileEntry:
    """Describe a file whose content the store keeps under ``sha256``."""
    blob = objects.lfs_pointer(sha256, len(content)) if lfs else content
    return FileEntry(path=path, oid=objects.blob_id(blob), size=len(content), sha256=sha256, lfs=lfs)


@dataclass(slots=True)
class Repository:
    """A repository with everything the Hub knows about it.

    ``refs`` maps full names (``refs/heads/main``, ``refs/tags/v1``, ``refs/pr/1``) to commit ids.
    ``vanished`` commits were garbage-collected upstream: their id answers 404, also while a ref still names them
    (seen on the real Hub after a force-push, huggingface_hub issue 3406).
    ``access`` has the names of the accounts that the owner of a gated repository let in.
    """

    id: str
    created_at: datetime
    private: bool = False
    gated: Gated = False
    disabled: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    vanished: set[str] = field(default_factory=set)
    access: set[str] = field(default_factory=set)

    @property
    def namespace(self) -> str:
        """The user or organisation that owns the repository."""
        return self.id.partition("/")[0]

    @property
    def last_modified(self) -> datetime:
        """Date of the youngest commit."""
        return max((c.date for c in self.commits.values()), default=self.created_at)

    def append(self, *, ref: str, files: Mapping[str, FileEntry], author: str, title: str, message: str) -> Commit:
        """Commit this complete set of files on top of ``ref`` and move the ref."""
        return self._add(self.refs.get(ref), ref, files, author, title, message)

    def squash(self, *, ref: str, author: str, title: str) -> Commit:
        """Replace the history of ``ref`` by one commit with the same files.

        Commits that no other ref leads to vanish, as after ``super_squash_history``.
        """
        head = self.commits[self.refs[ref]]
        before = {c.sha for c in self.history(head)}
        fresh = self._add(None, ref, head.files, author, title, "")
        kept = {c.sha for target in self.refs.values() for c in self.history(self.commits[target])}
        self.vanished |= before - kept
        return fresh

    def find(self, revision: str) -> Commit | None:
        """Return the commit that a branch, tag, ``refs/...`` name, full or short commit id stands for.

        A commit that vanished is not found by its id; through a ref it is (see `Repository`).
        """
        if _FULL_SHA.fullmatch(revision):
            return None if revision in self.vanished else self.commits.get(revision)
        for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if name in self.refs:
                return self.commits[self.refs[name]]
        if _SHORT_SHA.fullmatch(revision):
            matches = [c for s, c in self.commits.items() if s.startswith(revision) and s not in self.vanished]
            return matches[0] if len(matches) == 1 else None
        return None

    def history(self, commit: Commit) -> Iterator[Commit]:
        """Yield the commit and its ancestors, youngest first."""
        current: Commit | None = commit
        while current is not None:
            yield current
            current = self.commits.get(current.parent) if current.parent else None

    def last_change(self, commit: Commit, path: str) -> Commit:
        """Return the youngest commit in the history that gave ``path`` (file or directory) its present content."""
        changed = commit
        for ancestor in self.history(commit):
            if _object_at(ancestor, path) != _object_at(commit, path):
                break
            changed = ancestor
        return changed

    def _add(self, parent: str | None, ref: str, files: Mapping[str, FileEntry], author: str, title: str, message: str) -> Commit:
        date = self.commits[parent].date + _COMMIT_STEP if parent else self.created_at
        trees = objects.tree_ids({f.path: f.oid for f in files.values()})
        text = f"{title}\n\n{message}" if message else title
        parents = (parent,) if parent else ()
        sha = objects.commit_id(tree=trees[""], parents=parents, author=author, date=date, message=text)
        ordered = {path: files[path] for path in sorted(files)}
        commit = Commit(sha, parent, title, message, author, date, ordered, trees)
        self.commits[sha] = commit
        self.vanished.discard(sha)
        self.refs[ref] = sha
        return commit


def _object_at(commit: Commit, path: str) -> str | None:
    file = commit.files.get(path)
    return file.oid if file else commit.trees.get(path)
