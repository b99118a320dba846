"""A plain client of the API server: one request, one answer, nothing retried and nothing hidden."""

import base64
import http.client
import json
import ssl
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import yaml

Manifest = dict[str, Any]

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

_IDLE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said."""

    status: int
    body: Manifest
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def message(self) -> str:
        return str(self.body.get("message", self.body))

    def must(self) -> Manifest:
        """Return the body, or fail with the server's words."""
        assert self.ok, f"{self.status}: {self.message}"
        return self.body


class Rest:
    """Requests in one person's name, on one connection."""

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext, authority: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self._address = (host, port)
        self._context = context
        self._authority = authority
        self._headers = dict(headers or {})
        self._connection: http.client.HTTPSConnection | None = None
        self._used = 0.0

    @classmethod
    def of(cls, kubeconfig: Path) -> Self:
        """Take a kubeconfig with one cluster and one user."""
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=authority)
        with tempfile.TemporaryDirectory() as folder:  # ssl reads certificates from files only
            for name in ("client-certificate-data", "client-key-data"):
                (Path(folder) / name).write_bytes(base64.b64decode(user[name]))
            context.load_cert_chain(Path(folder) / "client-certificate-data", Path(folder) / "client-key-data")
        server = urlsplit(cluster["server"])
        assert server.hostname is not None
        assert server.port is not None
        # The API server takes the agent's name for the manager of the fields that are written.
        return cls(server.hostname, server.port, context, authority, {"User-Agent": str(config["users"][0]["name"])})

    def with_token(self, token: str) -> "Rest":
        """Requests in the name of a token's owner."""
        context = ssl.create_default_context(cadata=self._authority)
        return Rest(*self._address, context, self._authority, {"Authorization": f"Bearer {token}", "User-Agent": "machine"})

    def as_user(self, user: str) -> "Rest":
        """Requests in the name of somebody else, by impersonation."""
        return Rest(*self._address, self._context, self._authority, {**self._headers, "Impersonate-User": user})

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content: str = "application/json",
        accept: str = "application/json",
        **query: str,
    ) -> Answer:
        """Send one request."""
        target = path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, "Accept": accept} | ({"Content-Type": content} if data else {})
        if time.monotonic() - self._used > _IDLE_SECONDS:
            self.close()  # the server may have closed it by now
        self._used = time.monotonic()
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(*self._address, context=self._context, timeout=30)
        try:
            self._connection.request(method, target, data, headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        try:
            value = json.loads(text) if text else {}
        except ValueError:
            value = {"message": text.decode(errors="replace")}
        return Answer(response.status, value if isinstance(value, dict) else {"value": value}, dict(response.getheaders()))

    def get(self, path: str, **query: str) -> Answer:
        return self.call("GET", path, **query)

    def table(self, path: str, **query: str) -> Answer:
        """What `kubectl get` asks for."""
        return self.call("GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io", **query)

    def post(self, path: str, body: object, **query: str) -> Answer:
        return self.call("POST", path, body, **query)

    def put(self, path: str, body: object, **query: str) -> Answer:
        return self.call("PUT", path, body, **query)

    def patch(self, path: str, body: object, *, content: str = MERGE, **query: str) -> Answer:
        return self.call("PATCH", path, body, content=content, **query)

    def apply(self, path: str, body: object, *, manager: str, force: bool = False, **query: str) -> Answer:
        return self.call("PATCH", path, body, content=APPLY, fieldManager=manager, force=str(force).lower(), **query)

    def delete(self, path: str, body: object = None, **query: str) -> Answer:
        return self.call("DELETE", path, body, **query)
