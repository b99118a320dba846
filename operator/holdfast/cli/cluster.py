"""Holdfast's objects in the cluster, as the caller may see them.

Reads, watches, creates ModelApprovals, and annotates a ModelDeployment; nothing else.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from holdfast.api.names import API_VERSION, GROUP, LABEL_DEPLOYMENT, VERSION
from holdfast.cli.exits import CommandError, ExitCode
from holdfast.cli.faults import Asked, from_connection, from_status
from holdfast.cli.kubeconfig import Connection
from holdfast.cluster.kinds import Kind

DEPLOYMENTS: Final = "modeldeployments"
REVISIONS: Final = "modelrevisions"
APPROVALS: Final = "modelapprovals"

_TIMEOUT: Final = (10.0, 30.0)
"""Seconds to connect, and to wait for an answer."""
_WATCH_SECONDS: Final = 240
_PAUSE_SECONDS: Final = 1.0
"""Between attempts to watch again after the connection was lost."""
_PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An object as it is now; `gone` when it was deleted."""

    name: str
    object: dict[str, Any]
    gone: bool = False


class Cluster:
    """One namespace of one cluster, through the caller's own credentials."""

    def __init__(
        self,
        connection: Connection,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        from kubernetes.client import ApiClient

        self.namespace = connection.namespace
        self._server = connection.server
        self._api = ApiClient(connection.configuration)
        self._api.user_agent = "holdfast"
        for name, value in connection.headers.items():
            self._api.set_default_header(name, value)  # type: ignore[no-untyped-call]
        self._monotonic = monotonic
        self._sleep = sleep

    def close(self) -> None:
        """Close the connections."""
        self._api.close()  # type: ignore[no-untyped-call]

    def username(self) -> str:
        """Return the caller's name as the API server knows it."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        answer = self._call("POST", path, Asked(verb="find out who you are"), body=body)
        info = (answer.get("status") or {}).get("userInfo") or {}
        name = info.get("username")
        if not isinstance(name, str) or not name:
            raise CommandError(f"the API server {self._server} did not say who you are", ExitCode.FAILED)
        return name

    def deployment(self, name: str) -> dict[str, Any]:
        """Return a ModelDeployment.

        Raises:
            CommandError: it does not exist, or the caller may not see it.
        """
        asked = Asked(verb="get", resource=DEPLOYMENTS, name=name, namespace=self.namespace)
        return self._call("GET", self._path(DEPLOYMENTS, name), asked)

    def deployments(self) -> list[dict[str, Any]]:
        """Return the ModelDeployments of the namespace, by name."""
        return self._list(DEPLOYMENTS, {})[0]

    def revisions(self, deployment: str) -> list[dict[str, Any]]:
        """Return the ModelRevisions of a ModelDeployment."""
        return self._list(REVISIONS, {"labelSelector": f"{LABEL_DEPLOYMENT}={deployment}"})[0]

    def revision(self, name: str) -> dict[str, Any]:
        """Return a ModelRevision by its object's name."""
        asked = Asked(verb="get", resource=REVISIONS, name=name, namespace=self.namespace)
        return self._call("GET", self._path(REVISIONS, name), asked)

    def approval(self, name: str) -> dict[str, Any] | None:
        """Return a ModelApproval, None if it is gone."""
        return self._maybe(
            self._path(APPROVALS, name), Asked(verb="get", resource=APPROVALS, name=name, namespace=self.namespace)
        )

    def read(self, kind: Kind, name: str) -> dict[str, Any] | None:
        """Return an object of a kind that the operator makes, None if it does not exist."""
        asked = Asked(verb="get", resource=kind.plural, name=name, namespace=self.namespace)
        return self._maybe(kind.path(quote(self.namespace, safe=""), quote(name, safe="")), asked)

    def listed(self, kind: Kind, selector: str) -> list[dict[str, Any]]:
        """Return the objects of a kind with these labels, by name."""
        asked = Asked(verb="list", resource=kind.plural, namespace=self.namespace)
        return self._pages(kind.path(quote(self.namespace, safe="")), asked, {"labelSelector": selector})[0]

    def replica_set(self, name: str) -> dict[str, Any] | None:
        """Return the ReplicaSet through which a Deployment holds its pods, None if it does not exist."""
        asked = Asked(verb="get", resource="replicasets", name=name, namespace=self.namespace)
        path = f"/apis/apps/v1/namespaces/{quote(self.namespace, safe='')}/replicasets/{quote(name, safe='')}"
        return self._maybe(path, asked)

    def annotate(self, deployment: str, name: str, value: str | None) -> None:
        """Set an annotation of a ModelDeployment, or take it away, and nothing else of it (RFC 7386)."""
        asked = Asked(verb="annotate", resource=DEPLOYMENTS, name=deployment, namespace=self.namespace)
        body = {"metadata": {"annotations": {name: value}}}
        self._call("PATCH", self._path(DEPLOYMENTS, deployment), asked, body=body, content="application/merge-patch+json")

    def log(self, pod: str, container: str, lines: int) -> str | None:
        """Return the last lines of a container's log, None if there is no such pod or it has none yet."""
        import urllib3

        path = f"/api/v1/namespaces/{quote(self.namespace, safe='')}/pods/{quote(pod, safe='')}/log"
        asked = Asked(verb="get the log of", resource="pods", name=pod, namespace=self.namespace)
        query = {"container": container, "tailLines": str(lines)}
        try:
            response = self._send("GET", path, asked, query=query, accept="*/*")
            found: bytes = response.read()
        except CommandError as error:
            if error.code in (ExitCode.NOT_FOUND, ExitCode.FAILED):  # 400: the container has not started
                return None
            raise
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise from_connection(error, self._server, asked) from error
        return found.decode("utf-8", "replace")

    def apply_deployment(self, name: str, body: dict[str, Any], *, force: bool) -> None:
        """Change fields of a ModelDeployment by server-side apply as the field manager ``holdfast-cli`` (KEP-555).

        Raises:
            CommandError: it changed since it was read, or, without `force`, somebody else manages one of the fields.
        """
        asked = Asked(verb="apply", resource=DEPLOYMENTS, name=name, namespace=self.namespace)
        query = {"fieldManager": "holdfast-cli", "fieldValidation": "Strict", **({"force": "true"} if force else {})}
        self._call("PATCH", self._path(DEPLOYMENTS, name), asked, query=query, body=body, content="application/apply-patch+yaml")

    def create_approval(self, generate_name: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Create a ModelApproval and return it as stored."""
        body = {
            "apiVersion": API_VERSION,
            "kind": "ModelApproval",
            "metadata": {"generateName": generate_name, "namespace": self.namespace},
            "spec": spec,
        }
        asked = Asked(verb="create", resource=APPROVALS, name=spec["target"]["name"], namespace=self.namespace)
        return self._call("POST", self._path(APPROVALS), asked, body=body)

    def changes(
        self, resource: str, *, name: str | None = None, until: float | None = None, lost: Callable[[str], None] | None = None
    ) -> Iterator[Change]:
        """Yield every object as it is now, then each change, until the monotonic time `until` (None: for ever).

        A named object that is not there is yielded as gone. A lost connection or an expired resourceVersion is followed by a fresh list; `lost` is told why. The first list may fail.
        """
        selector = {"fieldSelector": f"metadata.name={name}"} if name else {}
        known: dict[str, str] = {}
        first = True
        while until is None or self._monotonic() < until:
            began = self._monotonic()
            try:
                items, version = self._list(resource, selector)
                first = False
                if name is not None and not items:
                    known.clear()
                    yield Change(name=name, object={"metadata": {"name": name}}, gone=True)
                yield from self._news(items, known)
                yield from self._watch(resource, selector, version, known, until)
            except CommandError as error:
                if first or error.code is not ExitCode.UNREACHABLE:
                    raise
                if lost is not None:
                    lost(f"{error}; trying again")
            if self._monotonic() - began < _PAUSE_SECONDS:  # something ends every watch at once: do not ask without pause
                self._sleep(_PAUSE_SECONDS)

    def _news(self, items: list[dict[str, Any]], known: dict[str, str]) -> Iterator[Change]:
        """Yield what differs from what was known, and remember it."""
        present = {item["metadata"]["name"]: item for item in items}
        for gone in sorted(known.keys() - present.keys()):
            del known[gone]
            yield Change(name=gone, object={"metadata": {"name": gone}}, gone=True)
        for name, item in present.items():
            version = item["metadata"]["resourceVersion"]
            if known.get(name) != version:
                known[name] = version
                yield Change(name=name, object=item)

    def _watch(
        self, resource: str, selector: dict[str, str], version: str, known: dict[str, str], until: float | None
    ) -> Iterator[Change]:
        """Yield changes after `version` until the API server ends the stream."""
        seconds = _WATCH_SECONDS if until is None else max(1, min(_WATCH_SECONDS, round(until - self._monotonic() + 0.5)))
        query = {**selector, "watch": "1", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        asked = Asked(verb="watch", resource=resource, namespace=self.namespace)
        response = self._send("GET", self._path(resource), asked, query=query, timeout=(_TIMEOUT[0], seconds + 15.0))
        try:
            for line in self._lines(response, asked):
                event = json.loads(line)
                if event["type"] == "ERROR":  # the resourceVersion expired, or the server says why it stops: list again
                    return
                item = event["object"]
                name = item["metadata"]["name"]
                if event["type"] == "DELETED":
                    known.pop(name, None)
                    yield Change(name=name, object=item, gone=True)
                elif known.get(name) != item["metadata"]["resourceVersion"]:
                    known[name] = item["metadata"]["resourceVersion"]
                    yield Change(name=name, object=item)
        finally:
            response.response.close()

    def _lines(self, response: Any, asked: Asked) -> Iterator[bytes]:
        import urllib3

        pending = b""
        try:
            for chunk in response.response.stream(amt=None, decode_content=True):
                *lines, pending = (pending + chunk).split(b"\n")
                yield from (line for line in lines if line.strip())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise from_connection(error, self._server, asked) from error

    def _list(self, resource: str, query: dict[str, str]) -> tuple[list[dict[str, Any]], str]:
        """Return all objects in order of name, and the resourceVersion of the list."""
        asked = Asked(verb="list", resource=resource, namespace=self.namespace)
        return self._pages(self._path(resource), asked, query)

    def _pages(self, path: str, asked: Asked, query: dict[str, str]) -> tuple[list[dict[str, Any]], str]:
        items: list[dict[str, Any]] = []
        page = {**query, "limit": str(_PAGE)}
        while True:
            answer = self._call("GET", path, asked, query=page)
            part, metadata = answer.get("items"), answer.get("metadata")
            if not isinstance(part, list) or not isinstance(metadata, dict):
                raise CommandError(f"{self._server} answered with something that is not a list; is it a Kubernetes API server?")
            items += part
            more = metadata.get("continue")
            if not more:
                return sorted(items, key=lambda item: str(item["metadata"]["name"])), str(metadata.get("resourceVersion", ""))
            page = {**query, "limit": str(_PAGE), "continue": more}

    def _path(self, resource: str, name: str | None = None) -> str:
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{quote(self.namespace, safe='')}/{resource}"
        return f"{path}/{quote(name, safe='')}" if name else path

    def _maybe(self, path: str, asked: Asked) -> dict[str, Any] | None:
        try:
            return self._call("GET", path, asked)
        except CommandError as error:
            if error.code is ExitCode.NOT_FOUND:
                return None
            raise

    def _call(
        self,
        method: str,
        path: str,
        asked: Asked,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        content: str = "application/json",
    ) -> dict[str, Any]:
        """Send a request and return the object in its answer."""
        import urllib3

        response = self._send(method, path, asked, query=query, body=body, content=content)
        try:
            answer = json.loads(response.read())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise from_connection(error, self._server, asked) from error
        except ValueError as error:
            raise CommandError(
                f"{self._server} answered with something that is not JSON; is it a Kubernetes API server?"
            ) from error
        if not isinstance(answer, dict) or "kind" not in answer:
            raise CommandError(f"{self._server} answered with something that is not an object; is it a Kubernetes API server?")
        return answer

    def _send(
        self,
        method: str,
        path: str,
        asked: Asked,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        content: str = "application/json",
        accept: str = "application/json",
        timeout: tuple[float, float] = _TIMEOUT,
    ) -> Any:
        """Send a request and return the unread answer, which is a success."""
        import urllib3
        from kubernetes.client.exceptions import ApiException

        headers = {"Accept": accept, **({"Content-Type": content} if body else {})}
        request = self._api.param_serialize(
            method=method,
            resource_path=path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self._api.call_api(*request, _request_timeout=timeout)
            if 200 <= response.status <= 299:
                return response
            raise from_status(response.status, response.read(), self._server, asked)  # type: ignore[no-untyped-call]
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            raise from_connection(error, self._server, asked) from error
