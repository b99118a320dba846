"""Enforces NetworkPolicies in the bed, in whose network namespace it runs.

Runs as `python -m testbed.policy_enforcer SERVER CA CERTIFICATE KEY`. It watches policies, pods and namespaces and
replaces one nft table when they change. A policy that it does not understand gets a Warning Event and shuts all pods
of its namespace off.
"""

import datetime
import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from testbed.policy_rules import Pod, Problem, ruleset

_RESOURCES = {
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
    "policies": "/apis/networking.k8s.io/v1/networkpolicies",
}
# A burst of changes becomes one new table.
_GATHER_SECONDS = 0.02
_RETRY_SECONDS = 0.5

Objects = dict[str, dict[str, Any]]


class Api:
    """The three requests that are needed of the API server."""

    def __init__(self, server: str, authority: str, certificate: str, key: str) -> None:
        self._server = urllib.parse.urlsplit(server).netloc
        self._tls = ssl.create_default_context(cafile=authority)
        self._tls.load_cert_chain(certificate, key)

    def _send(self, method: str, path: str, body: object = None) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection(self._server, context=self._tls, timeout=120)
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status >= 300:
            raise OSError(f"{method} {path}: {answer.status} {answer.read(300)!r}")
        return answer

    def follow(self, path: str, replace: Callable[[Objects], None], change: Callable[[str, dict[str, Any]], None]) -> None:
        """List, then report changes until the server ends the watch."""
        with self._send("GET", path) as answer:
            content = json.load(answer)
        replace({item["metadata"]["uid"]: item for item in content["items"]})
        version = content["metadata"]["resourceVersion"]
        with self._send("GET", f"{path}?watch=true&timeoutSeconds=100&resourceVersion={version}") as answer:
            for line in answer:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                change(event["type"], event["object"])

    def warn(self, problem: Problem) -> None:
        """Put a Warning Event on a policy."""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "metadata": {"generateName": f"{problem.name[:50]}.", "namespace": problem.namespace},
            "type": "Warning",
            "reason": "NotEnforceable",
            "message": f"the test bed does not know {problem.reason}; it shuts all pods of the namespace off",
            "involvedObject": {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "namespace": problem.namespace,
                "name": problem.name,
            },
            "source": {"component": "testbed-policies"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self._send("POST", f"/api/v1/namespaces/{problem.namespace}/events", event).close()


class Enforcer:
    """The state of the cluster as watched, and the table that was last made of it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._objects: dict[str, Objects] = {}
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._applied = ""
        self._warned: set[Problem] = set()

    def run(self) -> None:
        """Enforce for ever."""
        for name, path in _RESOURCES.items():
            threading.Thread(target=self._follow, args=(name, path), daemon=True).start()
        while True:
            self._changed.wait()
            time.sleep(_GATHER_SECONDS)
            self._changed.clear()
            self._apply()

    def _follow(self, name: str, path: str) -> None:
        while True:
            try:
                self._api.follow(path, lambda items: self._replace(name, items), lambda *event: self._change(name, *event))
            except (OSError, ValueError, http.client.HTTPException) as error:
                print(f"{name}: {error}", file=sys.stderr, flush=True)
                time.sleep(_RETRY_SECONDS)

    def _replace(self, name: str, items: Objects) -> None:
        with self._lock:
            self._objects[name] = items
        self._changed.set()

    def _change(self, name: str, kind: str, item: dict[str, Any]) -> None:
        with self._lock:
            if kind == "DELETED":
                self._objects[name].pop(item["metadata"]["uid"], None)
            else:
                self._objects[name][item["metadata"]["uid"]] = item
        self._changed.set()

    def _apply(self) -> None:
        with self._lock:
            if len(self._objects) < len(_RESOURCES):
                return
            pods = [pod for item in self._objects["pods"].values() if (pod := _pod(item)) is not None]
            namespaces = {
                item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in self._objects["namespaces"].values()
            }
            policies = list(self._objects["policies"].values())
        script, problems = ruleset(pods, namespaces, policies)
        if script != self._applied:
            subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)
            self._applied = script
        for problem in set(problems) - self._warned:
            print(f"{problem.namespace}/{problem.name}: not known: {problem.reason}", file=sys.stderr, flush=True)
            try:
                self._api.warn(problem)
            except OSError as error:
                print(f"event: {error}", file=sys.stderr, flush=True)
        self._warned = set(problems)


def _pod(item: Mapping[str, Any]) -> Pod | None:
    """Return a pod that has an address of its own and still runs."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    address = status.get("podIP")
    if not address or spec.get("hostNetwork") or status.get("phase") in ("Succeeded", "Failed"):
        return None
    ports = {
        (port.get("protocol", "TCP"), port["name"]): port["containerPort"]
        for container in [*spec["containers"], *(spec.get("initContainers") or [])]
        for port in container.get("ports") or []
        if port.get("name")
    }
    return Pod(metadata["namespace"], metadata["name"], address, metadata.get("labels") or {}, ports)


if __name__ == "__main__":
    Enforcer(Api(*sys.argv[1:])).run()
