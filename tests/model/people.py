"""People: what they declare and decide, and the record of it that the operator has no hand in."""

from typing import Any, Final

from builders import NAME, NAMESPACE, model
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.cluster.port import Manifest
from model.fake_cluster import FakeCluster

KEY: Final = Key(NAMESPACE, NAME)
ROLLOUT: Final = {"steps": [{"weight": 10, "holdSeconds": 20}, {"weight": 50, "holdSeconds": 3600}], "loadDeadlineSeconds": 600}
FALLBACK: Final = {"external": [{"name": "provider", "url": "https://api.example/v1"}], "standbyReplicas": 0}
UNKNOWN: Final = "f"
"""The letter of a commit that the Hub does not have."""

SERVING: Final = {"drainSeconds": 20, "cache": {"type": "PersistentVolumeClaim", "size": "1Gi"}}


class People:
    """Whoever writes objects that are not the operator's.

    Attributes:
        decisions: every ModelApproval that anybody ever made, by uid.
        servings: every ``spec.serving`` that was ever declared, as text.
    """

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.decisions: dict[str, Manifest] = {}
        self.servings: set[str] = set()

    # the owner's declaration

    def declare(self, letter: str, **changes: Any) -> None:
        """Declare the model of a commit; `changes` are further fields of the spec."""
        self._put({"model": model(letter), "rollout": ROLLOUT, "fallback": FALLBACK, "serving": SERVING} | changes)

    def declare_badly(self) -> None:
        """Declare what cannot be read: a branch instead of a commit."""
        branch = model("a")
        branch["source"] = {"huggingFace": {**branch["source"]["huggingFace"], "commit": "main"}}
        self._put({"model": branch})

    def delete(self) -> None:
        """Delete the ModelDeployment."""
        if self.cluster.view(kinds.MODEL_DEPLOYMENT).get(KEY) is not None:
            self.cluster.remove(kinds.MODEL_DEPLOYMENT, KEY)

    def _put(self, spec: Manifest) -> None:
        self.servings.add(repr(spec.get("serving")))
        self.cluster.put(kinds.MODEL_DEPLOYMENT, {"metadata": {"namespace": NAMESPACE, "name": NAME}, "spec": spec})

    # decisions

    def decide(self, decision: str, *, gate: str | None = None, to: Manifest | None = None, **target: Any) -> None:
        """Decide on the request that is open now; `target` are fields of the target that say something else."""
        request = self.status().get("request") or {}
        about = {name: request[field] for name, field in _TARGET.items() if field in request}
        spec: Manifest = {
            "decision": decision,
            "target": {"name": NAME} | about | target,
            "approver": {"username": "alice"},
            "reason": "because",
        }
        spec |= {"gate": gate} if gate is not None else {}
        spec |= {"fallbackTo": to} if to is not None else {}
        name = f"decision-{len(self.decisions) + 1}"
        made = self.cluster.put(kinds.MODEL_APPROVAL, {"metadata": {"namespace": NAMESPACE, "name": name}, "spec": spec})
        self.decisions[made["metadata"]["uid"]] = made

    def approve(self, gate: str) -> None:
        """Open a gate."""
        self.decide("Approve", gate=gate)

    def fall_back(self, *, external: str | None = None) -> None:
        """Send all traffic to the last known good revision, or to an external endpoint."""
        self.decide("Fallback", to={"type": "External", "external": external} if external else None)

    def delete_decision(self, index: int) -> None:
        """Delete a ModelApproval, settled or not."""
        found = sorted(self.cluster.view(kinds.MODEL_APPROVAL))
        if found:
            self.cluster.remove(kinds.MODEL_APPROVAL, found[index % len(found)])

    def status(self) -> Manifest:
        """Return the status of the ModelDeployment, as people see it."""
        found = self.cluster.view(kinds.MODEL_DEPLOYMENT).get(KEY) or {}
        status: Manifest = found.get("status") or {}
        return status

    @property
    def phase(self) -> str | None:
        """The phase that people see."""
        return self.status().get("phase")


_TARGET: Final = {"digest": "digest", "request": "number", "base": "base"}
