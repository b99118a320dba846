"""A namespace of a team, its owner, and one ModelDeployment after another."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stage.people import Outcome, Person
from stage.reach import Reach
from stage.traffic import Traffic
from stage.wait import until
from testbed.kubectl import Kubectl

Wire = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Team:
    """What a test does in one namespace: declares, decides, looks."""

    namespace: str
    owner: Person
    admin: Kubectl
    reach: Reach

    def model(self, *, commit: str, image: str, repository: str = "holdfast/tiny-chat-GGUF", **changes: Any) -> Wire:
        """Return ``spec.model`` of the tiny model for llama.cpp."""
        return {
            "source": {"huggingFace": {"repository": repository, "commit": commit, "include": ["*.gguf"]}},
            "engine": {
                "type": "LlamaCpp",
                "image": image,
                "options": {"contextLength": 2048, "seed": 0},
                "args": ["--threads=1"],
            },
        } | changes

    def manifest(self, name: str, model: Wire, **spec: Any) -> Wire:
        """Return a ModelDeployment."""
        return {
            "apiVersion": "holdfast.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"model": model} | spec,
        }

    def apply(self, manifest: Wire) -> Outcome:
        """Apply as the owner, as `kubectl apply` does."""
        return self.owner.kubectl("apply", "--filename=-", stdin=json.dumps(manifest))

    def get(self, name: str) -> Wire:
        """Return the ModelDeployment."""
        found: Wire = self.admin.get("modeldeployments.holdfast.dev", name, "--namespace", self.namespace)
        return found

    def status(self, name: str) -> Wire:
        """Return its status."""
        status: Wire = self.get(name).get("status", {})
        return status

    def phase(self, name: str) -> str:
        """Return its phase, empty before the operator saw it."""
        return str(self.status(name).get("phase", ""))

    def condition(self, name: str, kind: str) -> Wire:
        """Return a condition, empty if it is absent."""
        return next((c for c in self.status(name).get("conditions", []) if c["type"] == kind), {})

    def wait_phase(self, name: str, *phases: str, timeout: float = 120.0) -> Wire:
        """Wait for one of the phases of the current generation; return the status."""

        def look() -> Wire | None:
            found = self.get(name)
            status: Wire = found.get("status", {})
            current = status.get("observedGeneration") == found["metadata"]["generation"]
            return status if current and status.get("phase") in phases else None

        try:
            return until(look, what=f"phase {' or '.join(phases)} of {self.namespace}/{name}", timeout=timeout)
        except TimeoutError as late:
            raise TimeoutError(f"{late}; status: {json.dumps(self.status(name), indent=1)}") from None

    def wait_served_by(self, name: str, reason: str, *, timeout: float = 60.0) -> Wire:
        """Wait until every gateway pod obeys the route that is asked for: the reason of Ready tells; return the status.

        A phase may be a decision that not every gateway pod follows yet: Fallback is, and Stable after a resume.
        """

        def look() -> Wire | None:
            return self.status(name) if self.condition(name, "Ready").get("reason") == reason else None

        return until(look, what=f"Ready with the reason {reason} of {self.namespace}/{name}", timeout=timeout)

    def wait_request(self, name: str, *, above: int, timeout: float = 60.0) -> Wire:
        """Wait until a request with a higher number is open; return the status."""

        def look() -> Wire | None:
            status = self.status(name)
            request = status.get("request", {})
            return status if request.get("number", 0) > above and status.get("phase") == "AwaitingApproval" else None

        return until(look, what=f"a request of {self.namespace}/{name} above {above}", timeout=timeout)

    def say(self, verb: str, name: str, *arguments: str) -> Outcome:
        """Decide as the owner through the command line."""
        return self.owner.holdfast(verb, name, "--namespace", self.namespace, *arguments)

    def must(self, verb: str, name: str, *arguments: str) -> Outcome:
        """Decide as the owner; the decision must be accepted."""
        outcome = self.say(verb, name, *arguments)
        assert outcome.code == 0, f"holdfast {verb} {name}: {outcome.output}"
        return outcome

    def pods(self, name: str, revision: int | None = None) -> list[Wire]:
        """Return the engine pods that are not on their way out."""
        selector = f"holdfast.dev/component=engine,holdfast.dev/deployment={name}"
        selector += f",holdfast.dev/revision={revision}" if revision is not None else ""
        found = self.admin.get("pods", "--namespace", self.namespace, "--selector", selector)
        return [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self, name: str, revision: int | None = None) -> list[Wire]:
        """Return the engine pods that are ready."""
        return [
            pod
            for pod in self.pods(name, revision)
            if any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", []))
        ]

    @contextlib.contextmanager
    def url(self, name: str) -> Iterator[str]:
        """Give the base URL under which users reach the ModelDeployment."""
        with self.reach.service(self.namespace, name, 80) as url:
            yield url

    @contextlib.contextmanager
    def traffic(self, name: str, **options: Any) -> Iterator[Traffic]:
        """Send steady traffic for the length of a block."""
        with self.url(name) as url, Traffic(url, host=self.host(name), model=name, **options) as running:
            yield running

    def host(self, name: str) -> str:
        """Return the host name that users use."""
        return f"{name}.{self.namespace}.svc"

    def wait_ready(self, name: str, count: int, revision: int | None = None, *, timeout: float = 120.0) -> list[Wire]:
        """Wait for so many ready engine pods; return them."""

        def look() -> list[Wire] | None:
            found = self.ready_pods(name, revision)
            return found if len(found) == count and len(self.pods(name, revision)) == count else None

        return until(look, what=f"{count} ready pods of {self.namespace}/{name}", timeout=timeout)
