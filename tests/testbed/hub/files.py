"""Downloads: resolve a file, serve it, or redirect to the CDN.

Outside facts, as reported of the live Hub in 2025 and 2026:
- a plain file answers 307 with a relative ``Location`` under ``/api/resolve-cache/models/{repo}/{commit}/{path}``, which
  serves it (huggingface/swift-transformers pull request 209);
- an LFS file answers 302 to a signed CDN link; ``X-Repo-Commit``, ``X-Linked-Etag`` (the sha256) and ``X-Linked-Size``
  are on that answer only. The CDN has an ``ETag`` of its own: 64 hex digits, but not the sha256 of the file;
- text goes out gzipped and chunked to clients that accept it (huggingface_hub 2.4, ``file_download.http_get``).
There are no Xet headers, so that clients with and without hf_xet use plain HTTP.
"""

import hashlib
import hmac
import mimetypes
from urllib.parse import quote, urlencode

from testbed.hub.content import Bytes
from testbed.hub.gate import entry_not_found, open_commit, open_repository, visible
from testbed.hub.repository import Commit, FileEntry
from testbed.hub.state import HubState
from testbed.hub.strict import Parameters
from testbed.hub.wire import Answer, RefusalError, Request, UnexpectedError

_ANONYMOUS = {
    "X-HF-Warning": "unauthenticated; Warning: You are sending unauthenticated requests to the HF Hub. "
    "Please set a HF_TOKEN to enable higher rate limits and faster downloads."
}
_TEXT_SUFFIXES = (".json", ".md", ".txt", ".jinja", ".py", ".yaml", ".yml")
# Outside fact: below this a proxy does not compress (the default threshold of the usual Node.js middleware).
_COMPRESS_FROM_BYTES = 1024


def resolve(state: HubState, request: Request, repo: str, revision: str, path: str) -> Answer:
    """``GET|HEAD /{repo}/resolve/{revision}/{path}``: a redirect to where the bytes are."""
    parameters = Parameters(request.query)
    parameters.flag("download")
    parameters.done()
    found = open_repository(state, request, repo, download=True)
    commit = visible(state, request, open_commit(found, revision))
    file = _file(commit, path)
    warning = _ANONYMOUS if request.caller.anonymous else {}
    headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes", **warning}
    if file.lfs:
        linked = {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(file.size)}
        return _redirect(302, _cdn_link(state, repo, file), {**headers, **linked})
    # The Hub puts the resolve path, escaped, as a parameter without a value, then the etag.
    query = urlencode([(request.path, ""), ("etag", f'"{file.etag}"')])
    return _redirect(307, f"/api/resolve-cache/models/{repo}/{commit.sha}/{quote(path)}?{query}", headers)


def resolve_cache(state: HubState, request: Request, repo: str, sha: str, path: str) -> Answer:
    """``GET|HEAD /api/resolve-cache/models/{repo}/{commit}/{path}``: a plain file."""
    parameters = Parameters([(n, v) for n, v in request.query if not (n.startswith("/") and "/resolve/" in n and not v)])
    etag = parameters.one("etag")
    parameters.done()
    found = open_repository(state, request, repo, download=True)
    commit = visible(state, request, open_commit(found, sha))
    file = _file(commit, path)
    if file.lfs or etag != f'"{file.etag}"':
        raise UnexpectedError("a resolve-cache link that this hub did not give out")
    return Answer(
        headers={
            "X-Repo-Commit": commit.sha,
            "ETag": f'"{file.etag}"',
            "Accept-Ranges": "bytes",
            "Content-Disposition": _disposition(path),
        },
        body=state.store.open(file.sha256),
        content_type=mimetypes.guess_type(path)[0] or "text/plain; charset=utf-8",
        compressible=path.endswith(_TEXT_SUFFIXES) and file.size >= _COMPRESS_FROM_BYTES,
    )


def cdn(state: HubState, request: Request, repo: str, sha256: str, path: str) -> Answer:
    """``GET|HEAD /cdn/{repo}/{sha256}/{path}`` on the CDN's address: a large file, to holders of a fresh link."""
    if "Authorization" in request.headers:
        raise UnexpectedError("a Hub token was sent to the CDN")
    parameters = Parameters(request.query)
    expires, signature = parameters.one("Expires"), parameters.one("Signature")
    disposition = parameters.one("response-content-disposition")
    parameters.done()
    signed = _signature(state, f"/cdn/{repo}/{sha256}/{path}", expires or "", disposition or "")
    if expires is None or signature is None or not hmac.compare_digest(signature, signed):
        return _cdn_refusal("SignatureDoesNotMatch", "The signature of this link is missing or wrong.")
    if int(expires) <= state.clock():
        return _cdn_refusal("AccessDenied", "Request has expired")
    return Answer(
        headers={
            "ETag": f'"{hashlib.sha256(f"cdn {sha256}".encode()).hexdigest()}"',
            "Accept-Ranges": "bytes",
            "Content-Disposition": disposition or _disposition(path),
        },
        body=state.store.open(sha256),
        content_type="application/octet-stream",
    )


def _file(commit: Commit, path: str) -> FileEntry:
    file = commit.files.get(path)
    if file is None:
        raise RefusalError(entry_not_found(commit))
    return file


def _cdn_link(state: HubState, repo: str, file: FileEntry) -> str:
    path = f"/cdn/{repo}/{file.sha256}/{file.path}"
    expires = str(int(state.clock()) + state.settings.cdn_link_seconds)
    disposition = _disposition(file.path)
    signature = _signature(state, path, expires, disposition)
    query = {"response-content-disposition": disposition, "Expires": expires, "Signature": signature}
    return f"{state.cdn_url}{quote(path)}?{urlencode(query)}"


def _signature(state: HubState, *parts: str) -> str:
    return hmac.new(state.signing_key, "\n".join(parts).encode(), hashlib.sha256).hexdigest()


def _disposition(path: str) -> str:
    name = path.rpartition("/")[2]
    return f"inline; filename*=UTF-8''{quote(name)}; filename=\"{quote(name)}\";"


def _redirect(status: int, location: str, headers: dict[str, str]) -> Answer:
    return Answer(
        status=status,
        headers={**headers, "Location": location},
        body=Bytes(f"{'Found' if status == 302 else 'Temporary Redirect'}. Redirecting to {location}".encode()),
        content_type="text/plain; charset=utf-8",
    )


def _cdn_refusal(code: str, message: str) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Answer(status=403, body=Bytes(text.encode()), content_type="application/xml")
