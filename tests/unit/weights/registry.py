"""A registry with tokens that expire, redirects to a store of blobs, and artifacts of the three kinds. Plain HTTP on loopback."""

import gzip
import hashlib
import io
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
RAW = "application/vnd.cncf.model.weight.v1.raw"
MODELKIT = "application/vnd.kitops.modelkit.model.v1.tar+gzip"
IMAGE = "application/vnd.oci.image.layer.v1.tar+gzip"


def archive(content: dict[str, bytes], *, compressed: bool = True) -> bytes:
    """A tar archive of files, folders included, as builders of images make it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as made:
        for path, data in content.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return gzip.compress(stream.getvalue(), mtime=0) if compressed else stream.getvalue()


class Registry:
    """Serves what was pushed below ``/v2/team/model``. With `uses` set, a token is good for so many requests."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.uses: int | None = None
        self.login: str | None = None
        self.redirect = False
        self.drop_after: int | None = None
        """The next answer with a blob ends after so many bytes."""
        self.requests: list[tuple[str, str | None, str | None]] = []
        """Path, Range and Authorization of each."""
        self._tokens: dict[str, int] = {}
        registry = self

        class Handler(_Handler):
            server_state = registry

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def push(self, *layers: tuple[str, bytes, dict[str, str]]) -> str:
        """Publish a manifest with these layers (media type, bytes, annotations) and return its reference."""
        entries = []
        for kind, data, annotations in layers:
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            self.blobs[digest] = data
            entries.append({"mediaType": kind, "digest": digest, "size": len(data), "annotations": annotations})
        return self.push_manifest({"schemaVersion": 2, "mediaType": MANIFEST, "layers": entries})

    def push_manifest(self, manifest: Any) -> str:
        content = json.dumps(manifest).encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.manifests[digest] = content
        return f"{self.host}/team/model@{digest}"

    def admits(self, authorization: str | None) -> bool:
        if self.uses is None:
            return True
        token = (authorization or "").removeprefix("Bearer ")
        left = self._tokens.get(token, 0)
        self._tokens[token] = left - 1
        return left > 0

    def token(self, authorization: str | None) -> str | None:
        if self.login is not None and authorization != f"Basic {self.login}":
            return None
        name = f"token-{len(self._tokens)}"
        self._tokens[name] = self.uses or 0
        return name


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients may go away."""


class _Handler(BaseHTTPRequestHandler):
    server_state: Registry
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        pass

    def do_GET(self) -> None:
        state, authorization = self.server_state, self.headers.get("Authorization")
        state.requests.append((self.path, self.headers.get("Range"), authorization))
        kind, _, digest = self.path.rpartition("/")
        if self.path.startswith("/token"):
            token = state.token(authorization)
            self._answer(200 if token else 401, {}, json.dumps({"token": token}).encode())
        elif kind == "/store":
            self._blob(state.blobs[digest])
        elif not state.admits(authorization):
            self._answer(401, {"WWW-Authenticate": f'Bearer realm="http://{state.host}/token",service="stand-in"'}, b"")
        elif kind == "/v2/team/model/manifests" and digest in state.manifests:
            self._answer(200, {}, state.manifests[digest])
        elif kind == "/v2/team/model/blobs" and digest in state.blobs:
            if state.redirect:
                # Another origin: the token must not follow.
                port = state.host.rpartition(":")[2]
                self._answer(307, {"Location": f"http://localhost:{port}/store/{digest}"}, b"")
            else:
                self._blob(state.blobs[digest])
        else:
            self._answer(404, {}, b"")

    def _blob(self, data: bytes) -> None:
        asked = self.headers.get("Range")
        status, headers = 200, {}
        if asked is not None:
            first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
            status, headers = 206, {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
            data = data[first : last + 1]
        state = self.server_state
        if state.drop_after is not None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: state.drop_after])
            state.drop_after = None
            self.close_connection = True
            return
        self._answer(status, headers, data)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
