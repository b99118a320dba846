"""A registry in this process: manifests, blobs, the token protocol, artifacts of every kind, and lies on demand."""

import base64
import gzip
import hashlib
import io
import json
import secrets
import ssl
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
RAW = "application/vnd.cncf.model.weight.v1.raw"
TITLE = "org.cncf.model.filepath"
MODELKIT = "application/vnd.kitops.modelkit.model.v1.tar+gzip"
MODELPACK_ZSTD = "application/vnd.cncf.model.weight.v1.tar+zstd"
IMAGE = "application/vnd.oci.image.layer.v1.tar+gzip"
IMAGE_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
MODEL = "team/model"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def archive(content: dict[str, bytes], *, compressed: bool = True, folders: tuple[str, ...] = ()) -> bytes:
    """A tar archive of files, as builders of images make it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as made:
        for folder in folders:
            entry = tarfile.TarInfo(folder)
            entry.type = tarfile.DIRTYPE
            made.addfile(entry)
        for path, data in content.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return gzip.compress(stream.getvalue(), mtime=0) if compressed else stream.getvalue()


class RegistryStandIn:
    """Serves what was pushed. `access` is ``open``, ``token`` or ``basic``; with credentials set, only they get in.

    With `tls` it speaks https as `name`, which clients have to be led to; else plain http on loopback.
    """

    def __init__(self, *, name: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.access = "open"
        self.credentials: tuple[str, str] | None = None
        self.uses: int | None = None
        """For how many requests a token is good."""
        self.digest_header: str | None = "true"
        """What ``Docker-Content-Digest`` says: ``true`` for the truth, None for no header, else this text."""
        self.body: bytes | None = None
        """Bytes that are sent instead of the manifest."""
        self.status: int | None = None
        self.retry_after: str | None = None
        self.realm: str | None = None
        self.challenge: str | None = None
        self.redirect: str | None = None
        """Where every request is sent on to."""
        self.store = False
        """Whether blobs are given out by another origin: the same server as ``localhost``."""
        self.drop_after: int | None = None
        """The next answer with a blob ends after so many bytes."""
        self.token_body: bytes | None = None
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Method, path and headers (in lower case) of each."""
        self.manifests: dict[tuple[str, str], bytes] = {}
        """By repository and tag or digest."""
        self.blobs: dict[str, bytes] = {}
        self._tokens: dict[str, int | None] = {}
        self._name, self._scheme = name, "https" if tls else "http"
        stand_in = self

        class Handler(_Handler):
            registry = stand_in

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        return f"{self._name}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self.host}"

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.requests]

    @property
    def authorizations(self) -> list[str]:
        """What was sent to be let in, once each."""
        return sorted({headers["authorization"] for _, _, headers in self.requests if "authorization" in headers})

    def push(self, repository: str, tag: str, *, platforms: tuple[str, ...] = ("linux/amd64",)) -> str:
        """Publish an index under a tag and return its digest."""
        entries = [
            {"platform": dict(zip(("os", "architecture"), name.split("/"), strict=True)), "digest": f"sha256:{'0' * 64}"}
            for name in platforms
        ]
        return self.push_manifest(repository, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, tag=tag)

    def push_artifact(
        self, repository: str, files: dict[str, bytes], *, kind: str = RAW, title: str = TITLE, tag: str = "latest"
    ) -> str:
        """Publish a ModelPack artifact with a layer for each file and return the digest of its manifest."""
        return self.push_layers(repository, *((kind, content, {title: path}) for path, content in files.items()), tag=tag)

    def push_layers(self, repository: str, *layers: tuple[str, bytes, dict[str, str]], tag: str = "latest") -> str:
        """Publish a manifest with these layers (media type, bytes, annotations) and return its digest."""
        entries = []
        for kind, content, annotations in layers:
            digest = digest_of(content)
            self.blobs[digest] = content
            entries.append({"mediaType": kind, "digest": digest, "size": len(content), "annotations": annotations})
        return self.push_manifest(repository, {"schemaVersion": 2, "mediaType": MANIFEST, "layers": entries}, tag=tag)

    def push_manifest(self, repository: str, manifest: object, *, tag: str = "latest") -> str:
        """Publish a manifest as it is and return its digest."""
        body = json.dumps(manifest).encode()
        digest = digest_of(body)
        self.manifests[repository, tag] = self.manifests[repository, digest] = body
        return digest

    def new_token(self) -> str:
        token = secrets.token_hex(8)
        self._tokens[token] = self.uses
        return token

    def admits(self, authorization: str) -> bool:
        if self.access == "open":
            return True
        scheme, _, value = authorization.partition(" ")
        if self.access != "token":
            return self.knows(authorization)
        if scheme != "Bearer" or value not in self._tokens:
            return False
        left = self._tokens[value]
        if left is not None:
            self._tokens[value] = left - 1
        return left is None or left > 0

    def knows(self, authorization: str) -> bool:
        return self.credentials is None or authorization == basic(*self.credentials)

    def asks(self) -> str:
        """What a 401 says."""
        if self.challenge is not None:
            return self.challenge
        if self.access == "basic":
            return 'Basic realm="stand-in"'
        return f'Bearer realm="{self.realm or f"{self.url}/token"}",service="stand-in"'


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients may go away."""


class _Handler(BaseHTTPRequestHandler):
    registry: RegistryStandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        pass

    def do_HEAD(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def _handle(self) -> None:
        registry, url = self.registry, urlsplit(self.path)
        authorization = self.headers.get("Authorization", "")
        registry.requests.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        if url.path == "/token":
            self._token(parse_qs(url.query), authorization)
        elif url.path.startswith("/store/"):
            self._blob(url.path.rpartition("/")[2])
        elif registry.redirect is not None:
            self._answer(307, {"Location": registry.redirect + self.path})
        elif registry.status is not None:
            self._answer(registry.status, {"Retry-After": registry.retry_after} if registry.retry_after else {})
        elif not registry.admits(authorization):
            self._answer(401, {"WWW-Authenticate": registry.asks()})
        elif "/blobs/" in url.path:
            digest = url.path.rpartition("/")[2]
            if registry.store:  # the token must not follow
                self._answer(307, {"Location": f"http://localhost:{registry.port}/store/{digest}"})
            else:
                self._blob(digest)
        else:
            self._manifest(url.path)

    def _blob(self, digest: str) -> None:
        data = self.registry.blobs.get(digest)
        if data is None:
            self._answer(404, {})
            return
        asked = self.headers.get("Range")
        status, headers = 200, {}
        if asked is not None:
            first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
            status, headers = 206, {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
            data = data[first : last + 1]
        cut, self.registry.drop_after = self.registry.drop_after, None
        self._answer(status, headers, data, cut=cut)

    def _manifest(self, path: str) -> None:
        repository, _, version = path.removeprefix("/v2/").rpartition("/manifests/")
        body = self.registry.manifests.get((repository, version))
        if body is None or INDEX not in self.headers.get("Accept", ""):
            self._answer(404, {})
            return
        told = self.registry.digest_header
        headers = {"Docker-Content-Digest": digest_of(body) if told == "true" else told} if told is not None else {}
        self._answer(200, {"Content-Type": INDEX, **headers}, self.registry.body if self.registry.body is not None else body)

    def _token(self, query: dict[str, list[str]], authorization: str) -> None:
        if not self.registry.knows(authorization) or query.get("service") != ["stand-in"] or "scope" not in query:
            self._answer(401, {})
            return
        body = self.registry.token_body
        self._answer(200, {}, body if body is not None else json.dumps({"token": self.registry.new_token()}).encode())

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"", *, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True
