"""Lets a request in to a repository and a commit, or refuses it in the Hub's words.

Outside facts: status codes, ``X-Error-Code`` and messages as huggingface_hub's ``hf_raise_for_status`` tells them apart
(``utils/_http.py``, version 2.4) and as reported of the Hub: metadata and tree of a gated repository stay readable, its
files answer 401 to callers without a valid token and 403 to the others; a repository that is missing or private
answers 401 to anonymous callers and 404 to the others.
"""

from testbed.hub import objects, repository
from testbed.hub.repository import Commit, FileEntry, Repository
from testbed.hub.state import HubState
from testbed.hub.wire import Answer, RefusalError, Request, error

_AUTHENTICATE = {"WWW-Authenticate": 'Bearer realm="Authentication required", charset="UTF-8"'}
_INVALID_TOKEN = "Invalid credentials in Authorization header"
_DISABLED = "Access to this resource is disabled."


def open_repository(state: HubState, request: Request, repo: str, *, download: bool = False) -> Repository:
    """Return the repository if the caller may see it, and with ``download`` also its files.

    Raises `RefusalError` with a redirect when the repository was renamed.
    """
    if repo in state.redirects:
        raise RefusalError(_redirect(request.target.replace(f"/{repo}", f"/{state.redirects[repo]}", 1)))
    caller, found = request.caller, state.repositories.get(repo)
    if caller.invalid and not (found and found.gated and download):
        raise RefusalError(invalid_token())
    if found is None or not caller.may_see(found):
        if caller.anonymous:
            raise RefusalError(error(401, "RepoNotFound", "Invalid username or password.", _AUTHENTICATE))
        raise RefusalError(error(404, "RepoNotFound", "Repository not found"))
    if found.disabled:
        raise RefusalError(error(403, None, _DISABLED))
    if download and not caller.may_download(found):
        raise RefusalError(_gated(repo, known=caller.account is not None))
    return found


def open_commit(found: Repository, revision: str, *, files: bool = True) -> Commit:
    """Return the commit that a revision stands for; with ``files`` False also a vanished one that a ref still names."""
    commit = found.find(revision)
    if commit is None or (files and commit.sha in found.vanished):
        raise RefusalError(revision_not_found(revision))
    return commit


def invalid_token() -> Answer:
    """Answer a token that belongs to nobody."""
    return error(401, None, _INVALID_TOKEN, _AUTHENTICATE)


def revision_not_found(revision: str) -> Answer:
    """Answer a revision that does not exist."""
    return error(404, "RevisionNotFound", f"Invalid rev id: {revision}")


def entry_not_found(commit: Commit) -> Answer:
    """Answer a path that the commit does not have; the client remembers the commit that it is missing from."""
    return error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit.sha})


def visible(state: HubState, request: Request, commit: Commit) -> Commit:
    """Return the commit as this request is to see it: with the extra files of a lying hub, under the same id."""
    extra: dict[str, FileEntry] = {}
    for fault in state.faults.extra_files(request.method, request.target):
        content = fault.content.encode()
        extra[fault.path] = repository.entry(fault.path, content, state.store.put(content), lfs=False)
    if not extra:
        return commit
    files = dict(sorted({**commit.files, **extra}.items()))
    trees = objects.tree_ids({f.path: f.oid for f in files.values()})
    return Commit(commit.sha, commit.parent, commit.title, commit.message, commit.author, commit.date, files, trees)


def _redirect(location: str) -> Answer:
    return Answer(status=307, headers={"Location": location}, content_type="text/plain; charset=utf-8")


def _gated(repo: str, *, known: bool) -> Answer:
    if known:
        message = (
            f"Access to model {repo} is restricted and you are not in the authorized list. "
            f"Visit https://huggingface.co/{repo} to ask for access."
        )
        return error(403, "GatedRepo", message)
    message = (
        f"Access to model {repo} is restricted. You must have access to it and be authenticated to access it. Please log in."
    )
    return error(401, "GatedRepo", message, _AUTHENTICATE)
