"""Git object ids, computed as git computes them.

Outside facts: the object formats are those of git's documentation, "Git Internals - Git Objects"
(https://git-scm.com/book/en/v2/Git-Internals-Git-Objects); the pointer text is the Git LFS specification, version 1
(https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md).
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime


def object_id(kind: str, body: bytes) -> str:
    """Return the 40 hex digits that git gives an object of this kind (``blob``, ``tree``, ``commit``)."""
    return hashlib.sha1(f"{kind} {len(body)}\0".encode() + body, usedforsecurity=False).hexdigest()


def blob_id(content: bytes) -> str:
    """Return the git id of a plain file with this content."""
    return object_id("blob", content)


def lfs_pointer(sha256: str, size: int) -> bytes:
    """Return the text that git stores in place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def tree_ids(blobs: Mapping[str, str]) -> dict[str, str]:
    """Return the git id of every directory that these files (path to blob id) make; the root is ``""``."""
    children: dict[str, dict[str, str]] = {"": {}}
    for path, blob in blobs.items():
        parent, _, name = path.rpartition("/")
        for directory in _with_ancestors(parent):
            children.setdefault(directory, {})
        children[parent][name] = blob
    ids: dict[str, str] = {}
    for directory in sorted(children, key=lambda d: (-_depth(d), d)):
        below = {d.rpartition("/")[2]: ids[d] for d in children if d and d.rpartition("/")[0] == directory}
        ids[directory] = _tree_id(children[directory], below)
    return ids


def commit_id(*, tree: str, parents: Iterable[str], author: str, date: datetime, message: str) -> str:
    """Return the git id of a commit. ``date`` must be aware; git keeps whole seconds."""
    who = f"{author} <{author}@users.noreply.hub> {int(date.timestamp())} +0000"
    lines = [f"tree {tree}", *(f"parent {p}" for p in parents), f"author {who}", f"committer {who}", "", message]
    return object_id("commit", ("\n".join(lines) + "\n").encode())


def _tree_id(blobs: Mapping[str, str], trees: Mapping[str, str]) -> str:
    # Git sorts a directory as though its name ended in a slash.
    entries = [(name.encode(), b"100644 ", name, oid) for name, oid in blobs.items()]
    entries += [(name.encode() + b"/", b"40000 ", name, oid) for name, oid in trees.items()]
    return object_id("tree", b"".join(m + n.encode() + b"\0" + bytes.fromhex(o) for _, m, n, o in sorted(entries)))


def _with_ancestors(directory: str) -> list[str]:
    parts = directory.split("/") if directory else []
    return ["/".join(parts[:i]) for i in range(1, len(parts) + 1)]


def _depth(directory: str) -> int:
    return directory.count("/") + 1 if directory else 0
