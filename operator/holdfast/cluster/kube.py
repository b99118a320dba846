"""The real cluster: `holdfast.cluster.port.Cluster` on the asyncio half of the official client.

The client's low level is used directly: its typed models can express neither a partial apply nor a field that they do not know,
and its dynamic layer asks the API server for what `holdfast.cluster.kinds` says.
"""

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

from holdfast.api.names import FIELD_MANAGER, Key
from holdfast.cluster.clock import ServerClock
from holdfast.cluster.errors import Expired, NotFound, Transient, from_response
from holdfast.cluster.kinds import Kind
from holdfast.cluster.port import Listing, Manifest

_PAGE: Final = 500
"""Objects per page of a list: what kubectl uses."""
_LIST_ATTEMPTS: Final = 3
_TIMEOUT: Final = 30.0
"""Seconds for one request. The API server itself gives up after 60 (--request-timeout); a lost one must not hold a worker."""
_JSON: Final = "application/json"
_MERGE: Final = "application/merge-patch+json"
_APPLY: Final = "application/apply-patch+yaml"

WriteObserver = Callable[[str, Kind], None]


class KubeCluster:
    """A Kubernetes cluster behind an API server.

    Args:
        client: where to send requests; the caller closes it.
        on_write: told of each write that is sent, with its verb as RBAC calls it and its kind.
        monotonic: the local monotonic clock, in seconds.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        on_write: WriteObserver | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._on_write = on_write
        self._clock = ServerClock(monotonic)

    def now(self) -> datetime:  # noqa: D102 - see the port
        return self._clock.now()

    async def list(self, kind: Kind, *, namespace: str | None = None, selector: str | None = None) -> Listing:  # noqa: D102
        for attempt in range(1, _LIST_ATTEMPTS + 1):
            try:
                return await self._list(kind, namespace, selector)
            except Expired:
                if attempt == _LIST_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    async def _list(self, kind: Kind, namespace: str | None, selector: str | None) -> Listing:
        items: list[Manifest] = []
        token: str | None = None
        version = ""
        while True:
            query = {"limit": str(_PAGE), "labelSelector": selector, "continue": token}
            page = await self._send("list", "GET", kind, namespace, None, query=query)
            metadata = page.get("metadata") or {}
            version = version or str(metadata.get("resourceVersion") or "0")
            # The items of a list come without the kind that the list names once.
            items.extend({"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page.get("items") or [])
            token = metadata.get("continue")
            if not token:
                return Listing(resource_version=version, items=tuple(items))

    async def get(self, kind: Kind, key: Key) -> Manifest:  # noqa: D102
        return await self._send("get", "GET", kind, key.namespace, key.name)

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:  # noqa: D102
        namespace, _ = _named(manifest)
        return await self._send("create", "POST", kind, namespace, None, body=manifest, what=manifest["metadata"]["name"])

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:  # noqa: D102
        _require(manifest, "uid")
        namespace, name = _named(manifest)
        query = {"force": "true"}
        return await self._send("patch", "PATCH", kind, namespace, name, body=manifest, query=query, content=_APPLY)

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:  # noqa: D102
        _require(manifest, "uid", "resourceVersion")
        namespace, name = _named(manifest)
        return await self._send("update", "PUT", kind, namespace, name, body=manifest)

    async def replace_status(  # noqa: D102
        self, kind: Kind, key: Key, *, uid: str, resource_version: str, status: Mapping[str, Any]
    ) -> Manifest:
        body = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {
                "namespace": key.namespace,
                "name": key.name,
                "uid": uid,
                "resourceVersion": resource_version,
            },
            "status": dict(status),
        }
        return await self._send("update", "PUT", kind, key.namespace, key.name, subresource="status", body=body)

    async def annotate(self, kind: Kind, key: Key, *, uid: str, annotations: Mapping[str, str]) -> Manifest:  # noqa: D102
        body = {"metadata": {"uid": uid, "annotations": dict(annotations)}}
        return await self._send("patch", "PATCH", kind, key.namespace, key.name, body=body, content=_MERGE)

    async def relabel(self, kind: Kind, key: Key, *, uid: str, labels: Mapping[str, str | None]) -> Manifest:  # noqa: D102
        body = {"metadata": {"uid": uid, "labels": dict(labels)}}
        return await self._send("patch", "PATCH", kind, key.namespace, key.name, body=body, content=_MERGE)

    async def delete(self, kind: Kind, key: Key, *, uid: str) -> None:  # noqa: D102
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        try:
            await self._send("delete", "DELETE", kind, key.namespace, key.name, body=body)
        except NotFound:
            return

    async def _send(
        self,
        verb: str,
        method: str,
        kind: Kind,
        namespace: str | None,
        name: str | None,
        *,
        subresource: str | None = None,
        query: Mapping[str, str | None] | None = None,
        body: Manifest | None = None,
        content: str = _JSON,
        what: str | None = None,
    ) -> Manifest:
        """Send one request and return the object in the answer.

        Raises:
            Failure: the kind that the answer, or its absence, means.
        """
        parameters = {key: value for key, value in (query or {}).items() if value is not None}
        if method not in ("GET", "DELETE"):
            parameters |= {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        place = "/".join(part for part in (namespace, name or what, subresource) if part)
        asked = f"{verb} {kind.resource} {place}".strip()
        if method != "GET" and self._on_write is not None:
            self._on_write(verb, kind)
        try:
            request = await self._client.param_serialize(
                method,
                kind.path(namespace, name, subresource),
                query_params=list(parameters.items()),
                header_params={"Accept": _JSON, "Content-Type": content},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self._client.call_api(*request, _request_timeout=_TIMEOUT)
            raw: bytes = await answer.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Transient(f"{asked}: {type(error).__name__}: {error}") from error
        self._clock.observe(answer.headers.get("Date"))
        found = _parse(raw)
        if 200 <= answer.status <= 299:
            return found
        raise from_response(answer.status, found, what=asked, retry_after=_seconds(answer.headers.get("Retry-After")))


def _named(manifest: Manifest) -> tuple[str, str]:
    metadata = manifest["metadata"]
    return metadata["namespace"], metadata["name"]


def _require(manifest: Manifest, *fields: str) -> None:
    for field in fields:
        if not manifest["metadata"].get(field):
            raise ValueError(f"a write without the precondition metadata.{field} could overwrite what was not seen")


def _parse(raw: bytes) -> Manifest:
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"message": raw[:256].decode(errors="replace")}


def _seconds(value: str | None) -> float | None:
    """Read a Retry-After header; the API server sends whole seconds (RFC 9110 §10.2.3 allows a date as well)."""
    return float(value) if value is not None and value.isdigit() else None
