"""The Hub's API as huggingface_hub 2.4 uses it to read models (``hf_api.py``)."""

import base64
import binascii
import re
from urllib.parse import urlencode

from testbed.hub import views
from testbed.hub.gate import entry_not_found, invalid_token, open_commit, open_repository, visible
from testbed.hub.repository import Commit
from testbed.hub.state import HubState
from testbed.hub.strict import Parameters, post_fields
from testbed.hub.views import Json, ModelView
from testbed.hub.wire import Answer, RefusalError, Request, UnexpectedError, json_answer

# Outside fact: the Hub gives 1000 tree entries a page, 50 of them with ``expand``.
_EXPANDED_PAGE_SIZE = 50
_CURSOR = re.compile(r"entry:(\d+)")


def model_info(state: HubState, request: Request, repo: str, revision: str) -> Answer:
    """``GET /api/models/{repo}[/revision/{revision}]``."""
    parameters = Parameters(request.query)
    names = parameters.all("expand")
    blobs, security = parameters.flag("blobs"), parameters.flag("securityStatus")
    parameters.done()
    unknown = [n for n in names if n not in views.PROPERTIES]
    if unknown or (names and (blobs or security)):
        raise UnexpectedError(f"expand={unknown or names} is not modelled, or not together with blobs or securityStatus")
    found = open_repository(state, request, repo)
    commit = visible(state, request, open_commit(found, revision, files=False))
    view = ModelView(found, commit, state.store)
    return json_answer(view.only(names) if names else view.full(blobs=blobs, security=security))


def tree(state: HubState, request: Request, repo: str, revision: str, path: str) -> Answer:
    """``GET /api/models/{repo}/tree/{revision}[/{path}]``, in pages."""
    parameters = Parameters(request.query)
    recursive, expand = parameters.flag("recursive"), parameters.flag("expand")
    start = _read_cursor(parameters.one("cursor"))
    parameters.done()
    found = open_repository(state, request, repo)
    commit = visible(state, request, open_commit(found, revision))
    if path not in commit.trees:
        raise RefusalError(entry_not_found(commit))
    items = _items_below(commit, path, recursive=recursive)
    size = min(state.settings.page_size, _EXPANDED_PAGE_SIZE) if expand else state.settings.page_size
    page = items[start : start + size]
    if expand:
        page = [views.expanded(i, found, commit) for i in page]
    headers = {} if start + size >= len(items) else _next_page(request, "cursor", _write_cursor(start + size))
    return json_answer(page, headers=headers)


def paths_info(state: HubState, request: Request, repo: str, revision: str) -> Answer:
    """``POST /api/models/{repo}/paths-info/{revision}``: what is known of some paths; unknown ones are left out."""
    Parameters(request.query).done()
    fields = post_fields(request)
    paths, expand = fields.pop("paths", []), fields.pop("expand", ["false"])
    if fields or expand not in (["true"], ["false"]):
        raise UnexpectedError(f"paths-info takes 'paths' and one boolean 'expand', not {sorted(fields)} {expand}")
    found = open_repository(state, request, repo)
    commit = visible(state, request, open_commit(found, revision))
    items = [item for p in paths if (item := _item(commit, p)) is not None]
    if expand == ["true"]:
        items = [views.expanded(i, found, commit) for i in items]
    return json_answer(items)


def refs(state: HubState, request: Request, repo: str) -> Answer:
    """``GET /api/models/{repo}/refs``."""
    parameters = Parameters(request.query)
    pull_requests = parameters.flag("include_prs", forms={"1": True, "true": True})
    parameters.done()
    return json_answer(views.refs(open_repository(state, request, repo), pull_requests=pull_requests))


def commits(state: HubState, request: Request, repo: str, revision: str) -> Answer:
    """``GET /api/models/{repo}/commits/{revision}``, youngest first, in pages."""
    parameters = Parameters(request.query)
    formatted = parameters.flag("expand[]", forms={"formatted": True})
    page = parameters.one("p") or "0"
    parameters.done()
    if not page.isascii() or not page.isdigit():
        raise UnexpectedError(f"the page number p={page!r}")
    found = open_repository(state, request, repo)
    history = list(found.history(open_commit(found, revision)))
    size = state.settings.commit_page_size
    start = int(page) * size
    items = [views.commit_item(c, formatted=formatted) for c in history[start : start + size]]
    headers = {} if start + size >= len(history) else _next_page(request, "p", str(int(page) + 1))
    return json_answer(items, headers=headers)


def auth_check(state: HubState, request: Request, repo: str) -> Answer:
    """``GET /api/models/{repo}/auth-check``: whether the caller may download."""
    Parameters(request.query).done()
    open_repository(state, request, repo, download=True)
    return json_answer({})


def whoami(_state: HubState, request: Request) -> Answer:
    """``GET /api/whoami-v2``."""
    Parameters(request.query).done()
    account = request.caller.account
    return json_answer(views.whoami(account)) if account else invalid_token()


def telemetry(_state: HubState, request: Request) -> Answer:
    """``HEAD /api/telemetry/{topic}``: usage reports, taken and not kept."""
    Parameters(request.query).done()
    return json_answer({})


def agent_harnesses(_state: HubState, request: Request) -> Answer:
    """``GET /api/agent-harnesses``: a registry for the client's User-Agent header; empty here."""
    Parameters(request.query).done()
    return json_answer({"standardEnvVars": [], "harnesses": {}})


def _items_below(commit: Commit, path: str, *, recursive: bool) -> list[Json]:
    prefix = f"{path}/" if path else ""
    paths = sorted(p for p in (*commit.trees, *commit.files) if p and p.startswith(prefix))
    return [_known(commit, p) for p in paths if recursive or "/" not in p[len(prefix) :]]


def _item(commit: Commit, path: str) -> Json | None:
    return _known(commit, path) if path and (path in commit.files or path in commit.trees) else None


def _known(commit: Commit, path: str) -> Json:
    file = commit.files.get(path)
    return views.file_item(file) if file else views.directory_item(path, commit.trees[path])


def _next_page(request: Request, parameter: str, value: str) -> dict[str, str]:
    query = urlencode([*((n, v) for n, v in request.query if n != parameter), (parameter, value)])
    return {"Link": f'<http://{request.headers["Host"]}{request.path}?{query}>; rel="next"'}


def _write_cursor(start: int) -> str:
    return base64.urlsafe_b64encode(f"entry:{start}".encode()).decode()


def _read_cursor(cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        match = _CURSOR.fullmatch(base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii"))
    except (binascii.Error, UnicodeDecodeError):
        match = None
    if match is None:
        raise UnexpectedError(f"the cursor {cursor!r} was not given out by this hub")
    return int(match.group(1))
