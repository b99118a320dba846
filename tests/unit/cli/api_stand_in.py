"""An API server in this process: Holdfast's three kinds with get, list, watch and create over real HTTP, and what it makes of them.

Annotations of ModelDeployments can be merged, pods have logs, and there is nothing else.

It lets the real Kubernetes client run in unit tests. What a real API server says word for word is tested in tests/apiserver.
Strict: a request that it does not know fails the test (`unexpected`).
"""

import copy
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]

PATH = re.compile(r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)/namespaces/(?P<namespace>[^/]+)/(?P<rest>.+)")
REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
KINDS = {"modeldeployments": "ModelDeployment", "modelrevisions": "ModelRevision", "modelapprovals": "ModelApproval"}
OTHERS = {
    "configmaps": ("v1", "ConfigMap"),
    "deployments": ("apps/v1", "Deployment"),
    "jobs": ("batch/v1", "Job"),
    "networkpolicies": ("networking.k8s.io/v1", "NetworkPolicy"),
    "persistentvolumeclaims": ("v1", "PersistentVolumeClaim"),
    "pods": ("v1", "Pod"),
    "replicasets": ("apps/v1", "ReplicaSet"),
    "services": ("v1", "Service"),
}
VERSIONS = dict.fromkeys(KINDS, "holdfast.dev/v1alpha1") | {plural: version for plural, (version, _) in OTHERS.items()}
GROUPS = {plural: version.rpartition("/")[0] for plural, version in VERSIONS.items()}


class ApiStandIn:
    """Objects, their changes, and scripted trouble."""

    def __init__(self) -> None:
        self.user = "alice@example.com"
        self.on_create: Callable[[Object], None] | None = None
        """Plays the operator: called with each new ModelApproval."""
        self.on_watch: Callable[[], None] | None = None
        """Called when a watch begins, before anything is sent."""
        self.drop_connection = False
        """The next watch ends in the middle of an event."""
        self.refusals: dict[str, tuple[int, bytes]] = {}
        """By ``METHOD resource`` (or path, elsewhere): answer this instead, status and body."""
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.unexpected: list[str] = []
        self.logs: dict[tuple[str, str], str] = {}
        """By pod and container."""
        self.on_annotate: Callable[[Object], None] | None = None
        """Plays the operator and what runs: called with each ModelDeployment that was annotated."""
        self.watches_end_at_once = False
        self.expired_below = 0
        """Watches from an older resourceVersion are told that it expired."""
        self._objects: dict[tuple[str, str], Object] = {}
        self._events: list[tuple[int, str, str, Object]] = []
        self._version = 0
        self._changed = threading.Condition()
        self._stopping = False
        stand_in = self

        class Handler(_Handler):
            api = stand_in

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        assert self.unexpected == []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def put(self, resource: str, name: str, **parts: Any) -> Object:
        """Create or replace an object; `parts` are its top-level fields."""
        with self._changed:
            known = self._objects.get((resource, name))
            self._version += 1
            item = {
                "apiVersion": VERSIONS[resource],
                "kind": KINDS.get(resource) or OTHERS[resource][1],
                "metadata": {
                    "name": name,
                    "namespace": "team-a",
                    "uid": f"uid-{name}",
                    "generation": 1,
                    "creationTimestamp": "2026-11-21T09:00:00Z",
                    **parts.pop("metadata", {}),
                    "resourceVersion": str(self._version),
                },
                **copy.deepcopy(parts),
            }
            self._objects[resource, name] = item
            self._events.append((self._version, resource, "MODIFIED" if known else "ADDED", item))
            self._changed.notify_all()
            return copy.deepcopy(item)

    def set_status(self, resource: str, name: str, status: Object) -> None:
        """Write the status, as the operator does."""
        item = self.get(resource, name)
        self.put(resource, name, metadata=item["metadata"], spec=item["spec"], status=status)

    def get(self, resource: str, name: str) -> Object:
        return copy.deepcopy(self._objects[resource, name])

    def delete(self, resource: str, name: str) -> None:
        with self._changed:
            item = self._objects.pop((resource, name))
            self._version += 1
            item["metadata"]["resourceVersion"] = str(self._version)
            self._events.append((self._version, resource, "DELETED", item))
            self._changed.notify_all()

    def approvals(self) -> list[Object]:
        return [copy.deepcopy(item) for (resource, _), item in self._objects.items() if resource == "modelapprovals"]

    def listed(self, resource: str, keep: Callable[[Object], bool]) -> tuple[list[Object], int]:
        with self._changed:
            items = [item for (kind, _), item in self._objects.items() if kind == resource and keep(item)]
            return copy.deepcopy(items), self._version

    def wait(self, after: int, timeout: float) -> tuple[list[tuple[int, str, str, Object]], bool]:
        """Return the events after a version, as soon as there are some, and whether the server goes on."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._version > after, timeout)
            return [event for event in self._events if event[0] > after], not self._stopping


class _Handler(BaseHTTPRequestHandler):
    api: ApiStandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        pass

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PATCH(self) -> None:
        self._handle()

    def _handle(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        found = PATH.fullmatch(url.path)
        namespace = found["namespace"] if found else ""
        resource, _, name = found["rest"].partition("/") if found else (url.path, "", "")
        known = found is not None and resource in GROUPS and (found["group"] or "") == GROUPS[resource]
        self.api.requests.append(f"{self.command} {resource}{' watch' if 'watch' in query else ''}")
        self.api.headers.append({name.lower(): value for name, value in self.headers.items()})
        refusal = self.api.refusals.get(f"{self.command} {resource}")
        if refusal is not None:
            self._answer(*refusal)
        elif self.command == "POST" and url.path == REVIEWS:
            self._json(201, {"kind": "SelfSubjectReview", "status": {"userInfo": {"username": self.api.user, "groups": []}}})
        elif not known or (self.command != "GET" and resource not in KINDS):
            self.api.unexpected.append(f"{self.command} {self.path}")
            self._answer(404, b"404 page not found\n")
        elif self.command == "POST" and not name:
            self._create(resource, namespace, json.loads(body))
        elif self.command == "PATCH":
            self._annotate(resource, name, json.loads(body))
        elif resource == "pods" and name.endswith("/log"):
            self._log(name.removesuffix("/log"), query)
        elif name:
            self._get(resource, name)
        elif "watch" in query:
            self._watch(resource, query)
        else:
            self._list(resource, namespace, query)

    def _get(self, resource: str, name: str) -> None:
        try:
            self._json(200, self.api.get(resource, name))
        except KeyError:
            group = GROUPS[resource]
            message = f'{resource}{"." if group else ""}{group} "{name}" not found'
            details = {"name": name, "group": group, "kind": resource}
            self._json(404, {"kind": "Status", "message": message, "reason": "NotFound", "details": details, "code": 404})

    def _list(self, resource: str, namespace: str, query: dict[str, str]) -> None:
        keep = self._selected(query)
        items, version = self.api.listed(resource, lambda item: keep(item) and item["metadata"]["namespace"] == namespace)
        start, limit = int(query.get("continue", "0")), int(query.get("limit", "500"))
        metadata: Object = {"resourceVersion": str(version)}
        if start + limit < len(items):
            metadata["continue"] = str(start + limit)
        items = items[start : start + limit]
        if resource in OTHERS:  # the API server's own kinds do not say in lists what they are
            items = [{name: value for name, value in item.items() if name not in ("apiVersion", "kind")} for item in items]
        self._json(200, {"kind": "List", "metadata": metadata, "items": items})

    def _create(self, resource: str, namespace: str, item: Object) -> None:
        name = item["metadata"]["generateName"] + f"{len(self.api.approvals()):05}"
        stored = self.api.put(resource, name, metadata={"name": name, "namespace": namespace}, spec=item["spec"])
        self._json(201, stored)
        if self.api.on_create is not None:
            self.api.on_create(stored)

    def _annotate(self, resource: str, name: str, patch: Object) -> None:
        assert self.headers["Content-Type"] == "application/merge-patch+json"
        assert set(patch) == {"metadata"}
        assert set(patch["metadata"]) == {"annotations"}
        item = self.api.get(resource, name)
        marks = {**item["metadata"].get("annotations", {}), **patch["metadata"]["annotations"]}
        parts = {field: item[field] for field in ("spec", "status") if field in item}
        stored = self.api.put(resource, name, metadata={**item["metadata"], "annotations": marks}, **parts)
        self._json(200, stored)
        if self.api.on_annotate is not None:
            self.api.on_annotate(stored)

    def _log(self, pod: str, query: dict[str, str]) -> None:
        text = self.api.logs.get((pod, query["container"]))
        if text is None:
            message = f'container "{query["container"]}" in pod "{pod}" is waiting to start: PodInitializing'
            self._json(400, {"kind": "Status", "message": message, "reason": "BadRequest", "code": 400})
            return
        lines = text.splitlines(keepends=True)
        self._answer(200, "".join(lines[-int(query["tailLines"]) :]).encode())

    def _selected(self, query: dict[str, str]) -> Callable[[Object], bool]:
        field, label = query.get("fieldSelector", ""), query.get("labelSelector", "")

        def keep(item: Object) -> bool:
            meta = item["metadata"]
            wanted = dict(each.split("=", 1) for each in label.split(",")) if label else {}
            named = not field or meta["name"] == field.removeprefix("metadata.name=")
            return bool(named and wanted.items() <= meta.get("labels", {}).items())

        return keep

    def _watch(self, resource: str, query: dict[str, str]) -> None:
        keep, after = self._selected(query), int(query["resourceVersion"])
        if self.api.on_watch is not None:
            self.api.on_watch()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.api.drop_connection:
            self.api.drop_connection = False
            self.wfile.write(b'ff\r\n{"type"')
            self.close_connection = True
            return
        if after < self.api.expired_below:
            self._chunk({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}})
            after, going = -1, False
        going = not self.api.watches_end_at_once and after >= 0
        while going:
            events, going = self.api.wait(after, min(5, float(query["timeoutSeconds"])))
            if not events:
                break
            after = events[-1][0]
            for _, kind, change, item in events:
                if kind == resource and keep(item) and not self._chunk({"type": change, "object": item}):
                    return
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, value: Object) -> bool:
        line = json.dumps(value).encode() + b"\n"
        try:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
        except OSError:  # the client has seen what it waited for
            self.close_connection = True
            return False
        return True

    def _json(self, status: int, value: Object) -> None:
        self._answer(status, json.dumps(value).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
