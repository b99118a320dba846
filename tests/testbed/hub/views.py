"""The JSON that the Hub's API answers, made from what the hub knows.

Outside fact: names and shapes as the parsers of huggingface_hub 2.4 read them (``hf_api.py``: ``ModelInfo``,
``RepoFile``, ``RepoFolder``, ``GitRefInfo``, ``GitCommitInfo``). Mind that the sha256 of a large file is called
``lfs.sha256`` in model info and ``lfs.oid`` in a tree.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from testbed.hub import layout
from testbed.hub.accounts import Account
from testbed.hub.content import ContentStore
from testbed.hub.repository import Commit, FileEntry, Repository

Json = dict[str, object]


def timestamp(moment: datetime) -> str:
    """Return a date as the Hub writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def file_item(file: FileEntry) -> Json:
    """Return a file as the tree and paths-info show it."""
    item: Json = {"type": "file", "oid": file.oid, "size": file.size, "path": file.path}
    if file.lfs:
        item["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return item


def directory_item(path: str, oid: str) -> Json:
    """Return a directory as the tree and paths-info show it."""
    return {"type": "directory", "oid": oid, "size": 0, "path": path}


def expanded(item: Json, repository: Repository, commit: Commit) -> Json:
    """Return a tree item with what ``expand=true`` adds."""
    last = repository.last_change(commit, str(item["path"]))
    more: Json = {"lastCommit": {"id": last.sha, "title": last.title, "date": timestamp(last.date)}}
    if item["type"] == "file":
        more["securityFileStatus"] = {
            "status": "safe",
            "avScan": {"virusFound": False, "virusNames": None},
            "pickleImportScan": None,
        }
    return {**item, **more}


def commit_item(commit: Commit, *, formatted: bool) -> Json:
    """Return a commit as the commit list shows it."""
    item: Json = {
        "id": commit.sha,
        "title": commit.title,
        "message": commit.message,
        "authors": [{"user": commit.author, "avatar": f"/avatars/{commit.author}.svg"}],
        "date": timestamp(commit.date),
    }
    if formatted:
        item["formatted"] = {"title": commit.title, "message": commit.message}
    return item


def refs(repository: Repository, *, pull_requests: bool) -> Json:
    """Return branches, tags and, if asked for, pull requests."""

    def under(prefix: str) -> list[Json]:
        return [
            {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": sha}
            for ref, sha in sorted(repository.refs.items())
            if ref.startswith(prefix)
        ]

    found: Json = {"tags": under("refs/tags/"), "branches": under("refs/heads/"), "converts": under("refs/convert/")}
    if pull_requests:
        found["pullRequests"] = under("refs/pr/")
    return found


def whoami(account: Account) -> Json:
    """Return what the Hub tells the holder of a token about themselves."""
    return {
        "type": "user",
        "id": _object_id(account.name),
        "name": account.name,
        "fullname": account.name,
        "isPro": False,
        "canPay": False,
        "periodEnd": None,
        "avatarUrl": f"/avatars/{account.name}.svg",
        "orgs": [
            {"type": "org", "id": _object_id(o), "name": o, "fullname": o, "isEnterprise": False, "canPay": False}
            for o in account.organizations
        ],
        "auth": {"type": "access_token", "accessToken": {"displayName": "test bed", "role": "read"}},
    }


class ModelView:
    """A repository at a commit, as ``/api/models/...`` shows it."""

    def __init__(self, repository: Repository, commit: Commit, store: ContentStore) -> None:
        self._repository = repository
        self._commit = commit
        self._store = store
        self._card = layout.read_card(commit, store)

    def full(self, *, blobs: bool, security: bool) -> Json:
        """Return everything, with sizes and digests of the files if asked for."""
        found: Json = {**self._identity(), "modelId": self._repository.id}
        found.update({name: value for name in PROPERTIES if (value := PROPERTIES[name](self)) is not None})
        if blobs:
            found["siblings"] = [self._sibling_with_blob(f) for f in self._commit.files.values()]
        if security:
            found["securityRepoStatus"] = {"scansDone": True, "filesWithIssues": []}
        return found

    def only(self, names: list[str]) -> Json:
        """Return the named properties."""
        return {**self._identity(), **{n: v for n in names if (v := PROPERTIES[n](self)) is not None}}

    def _identity(self) -> Json:
        return {"_id": _object_id(self._repository.id), "id": self._repository.id}

    def _tags(self) -> list[str]:
        stated = self._card.get("tags")
        tags = layout.library_tags(self._commit) + ([str(t) for t in stated] if isinstance(stated, list) else [])
        if "license" in self._card:
            tags.append(f"license:{self._card['license']}")
        return [*dict.fromkeys(tags), "region:us"]

    def _library(self) -> object:
        tags = layout.library_tags(self._commit)
        return self._card.get("library_name") or next((t for t in ("transformers", "gguf") if t in tags), None)

    def _safetensors(self) -> Json | None:
        counts = layout.parameter_counts(self._commit, self._store)
        return {"parameters": counts, "total": sum(counts.values())} if counts else None

    def _used_storage(self) -> int:
        contents = {f.sha256: f.size for c in self._repository.commits.values() for f in c.files.values()}
        return sum(contents.values())

    def _sibling_with_blob(self, file: FileEntry) -> Json:
        sibling: Json = {"rfilename": file.path, "blobId": file.oid, "size": file.size}
        if file.lfs:
            sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
        return sibling


# What ``?expand=`` may name. The Hub knows more; asking for those is loud here rather than silently empty.
PROPERTIES: dict[str, Callable[[ModelView], object]] = {
    "author": lambda v: v._repository.namespace,
    "cardData": lambda v: v._card or None,
    "config": lambda v: layout.model_config(v._commit, v._store),
    "createdAt": lambda v: timestamp(v._repository.created_at),
    "disabled": lambda v: v._repository.disabled,
    "downloads": lambda _: 0,
    "gated": lambda v: v._repository.gated,
    "lastModified": lambda v: timestamp(v._repository.last_modified),
    "library_name": lambda v: v._library(),
    "likes": lambda _: 0,
    "pipeline_tag": lambda v: v._card.get("pipeline_tag"),
    "private": lambda v: v._repository.private,
    "safetensors": lambda v: v._safetensors(),
    "sha": lambda v: v._commit.sha,
    "siblings": lambda v: [{"rfilename": path} for path in v._commit.files],
    "spaces": lambda _: [],
    "tags": lambda v: v._tags(),
    "usedStorage": lambda v: v._used_storage(),
}


def _object_id(name: str) -> str:
    # The Hub shows MongoDB ids: 24 hex digits.
    return name.encode().hex().ljust(24, "0")[:24]
