"""An image registry in this process: manifests, the token protocol, and lies on demand. Plain HTTP on loopback."""

import base64
import hashlib
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
RAW = "application/vnd.cncf.model.weight.v1.raw"
TITLE = "org.cncf.model.filepath"


class RegistryStandIn:
    """Serves what was pushed. `access` is ``open``, ``token`` or ``basic``; with credentials set, only they get in."""

    def __init__(self) -> None:
        self.access = "open"
        self.credentials: tuple[str, str] | None = None
        self.digest_header: str | None = "true"
        """What ``Docker-Content-Digest`` says: ``true`` for the truth, None for no header, else this text."""
        self.body: bytes | None = None
        """Bytes that are sent instead of the manifest."""
        self.status: int | None = None
        self.retry_after: str | None = None
        self.realm: str | None = None
        self.redirect: str | None = None
        self.token_body: bytes | None = None
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self._manifests: dict[tuple[str, str], bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self._tokens: set[str] = set()
        stand_in = self

        class Handler(_Handler):
            registry = stand_in

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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

    def push(self, repository: str, tag: str, *, platforms: tuple[str, ...] = ("linux/amd64",)) -> str:
        """Publish an index under a tag and return its digest."""
        entries = [
            {"platform": dict(zip(("os", "architecture"), name.split("/"), strict=True)), "digest": f"sha256:{'0' * 64}"}
            for name in platforms
        ]
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self._manifests[repository, tag] = self._manifests[repository, digest] = body
        return digest

    def push_artifact(
        self, repository: str, files: dict[str, bytes], *, kind: str = RAW, title: str = TITLE, tag: str = "latest"
    ) -> str:
        """Publish a ModelPack artifact with a layer for each file and return the digest of its manifest."""
        layers = []
        for path, content in files.items():
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            self.blobs[digest] = content
            layers.append({"mediaType": kind, "digest": digest, "size": len(content), "annotations": {title: path}})
        digest = self.push_manifest(repository, {"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers})
        self._manifests[repository, tag] = self._manifests[repository, digest]
        return digest

    def push_manifest(self, repository: str, manifest: object) -> str:
        """Publish a manifest as it is and return its digest."""
        body = json.dumps(manifest).encode()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self._manifests[repository, digest] = body
        return digest

    def manifest(self, repository: str, version: str) -> bytes | None:
        return self._manifests.get((repository, version))

    def new_token(self) -> str:
        token = secrets.token_hex(8)
        self._tokens.add(token)
        return token

    def admits(self, authorization: str) -> bool:
        if self.access == "open":
            return True
        scheme, _, value = authorization.partition(" ")
        if self.access == "token":
            return scheme == "Bearer" and value in self._tokens
        return self.knows(authorization)

    def knows(self, authorization: str) -> bool:
        if self.credentials is None:
            return True
        return authorization == "Basic " + base64.b64encode(":".join(self.credentials).encode()).decode()


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
        url = urlsplit(self.path)
        authorization = self.headers.get("Authorization", "")
        self.registry.requests.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        if url.path == "/token":
            self._token(parse_qs(url.query), authorization)
        elif self.registry.redirect is not None:
            self._answer(307, {"Location": self.registry.redirect + self.path})
        elif self.registry.status is not None:
            self._answer(self.registry.status, {"Retry-After": self.registry.retry_after} if self.registry.retry_after else {})
        elif not self.registry.admits(authorization):
            realm = self.registry.realm or f"http://{self.registry.host}/token"
            challenge = (
                f'Bearer realm="{realm}",service="stand-in"' if self.registry.access == "token" else 'Basic realm="stand-in"'
            )
            self._answer(401, {"WWW-Authenticate": challenge})
        elif "/blobs/" in url.path:
            self._blob(url.path.rpartition("/")[2])
        else:
            self._manifest(url.path)

    def _blob(self, digest: str) -> None:
        body = self.registry.blobs.get(digest)
        self._answer(404, {}) if body is None else self._answer(200, {}, body)

    def _manifest(self, path: str) -> None:
        repository, _, version = path.removeprefix("/v2/").rpartition("/manifests/")
        body = self.registry.manifest(repository, version)
        if body is None or INDEX not in self.headers.get("Accept", ""):
            self._answer(404, {})
            return
        told = self.registry.digest_header
        truth = f"sha256:{hashlib.sha256(body).hexdigest()}"
        headers = {"Docker-Content-Digest": truth if told == "true" else told} if told is not None else {}
        self._answer(200, {"Content-Type": INDEX, **headers}, self.registry.body if self.registry.body is not None else body)

    def _token(self, query: dict[str, list[str]], authorization: str) -> None:
        if not self.registry.knows(authorization) or query.get("service") != ["stand-in"] or "scope" not in query:
            self._answer(401, {})
            return
        body = self.registry.token_body
        self._answer(200, {}, body if body is not None else json.dumps({"token": self.registry.new_token()}).encode())

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
