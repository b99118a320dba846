"""Everything that runs in the cluster: the controllers of workloads, kubelets, engines and gateway pods.

Each part of it is a method, so that a test decides what happens when; `act` is all of it at once, in a world without trouble.
"""

import json
from itertools import count
from typing import Any, Final

from builders import NAMESPACE
from holdfast.api import names
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.sources.gateway import GatewayAnswer
from model.envoys import FILES, VOLUMES, Envoy, Volume
from model.fake_cluster import FakeCluster

Manifest = dict[str, Any]
_KUBELET: Final = "holdfast.test/kubelet"
"""A finalizer that stands for the kubelet: a pod is gone when it has ended, not when somebody deletes it."""
_TEMPLATE: Final = "holdfast.test/template"
"""An annotation that stands for the label pod-template-hash: which template a pod is of."""
CHANGED: Final = "holdfast.test/changed"
"""An annotation of the pods that somebody changed."""


class Nodes:
    """The world around the operator.

    Attributes:
        envoys: the gateway pods by uid, those that are leaving included.
        broken: names of engine Deployments whose pods do not become ready.
        slow: uids of the gateway pods whose image is still being pulled: `act` leaves them alone.
    """

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.envoys: dict[str, Envoy] = {}
        self.broken: set[str] = set()
        self.slow: set[str] = set()
        self._serial = count(1)
        self._acted_on: tuple[int, set[str], set[str]] = (-1, set(), set())

    def act(self) -> bool:
        """Let everything happen that happens by itself when nothing is wrong; return whether anything did."""
        before = self.cluster.version
        if self._acted_on == (before, self.broken, self.slow):
            return False
        self.cluster.collect_garbage()
        self.run_deployments()
        self.run_jobs()
        for envoy in [each for each in self.envoys.values() if each.uid not in self.slow]:
            for volume in VOLUMES:
                self.project(envoy, volume)
            self.start(envoy)
            self.set_ready(envoy, ready=True)
            self.end(envoy)
        self.ready_engines()
        self.report_deployments()
        self._acted_on = (self.cluster.version, set(self.broken), set(self.slow))
        return True

    # the Deployment controller

    def run_deployments(self) -> None:
        """Create the pods that Deployments ask for, and delete the others; those of an older template last of all."""
        live = dict(self.cluster.view(kinds.DEPLOYMENT))
        pods = dict(self.cluster.view(kinds.POD))
        for key, pod in pods.items():
            if _owner(pod) not in {found["metadata"]["uid"] for found in live.values()}:
                self.delete(key)
        for key, deployment in live.items():
            mine = [(name, pod) for name, pod in pods.items() if _owner(pod) == deployment["metadata"]["uid"]]
            current = [name for name, pod in mine if not _leaving(pod) and _is_of(pod, deployment)]
            old = [name for name, pod in mine if not _leaving(pod) and name not in current]
            wanted = deployment["spec"]["replicas"]
            for name in [*current[wanted:], *old]:
                self.delete(name)
            for _ in range(wanted - len(current)):
                self._create(key, deployment)

    def run_jobs(self) -> None:
        """Let the Jobs that run come to their end."""
        for key, found in list(self.cluster.view(kinds.JOB).items()):
            if not found.get("status"):
                self.cluster.set_status(kinds.JOB, key, {"conditions": [{"type": "Complete", "status": "True"}]})

    def report_deployments(self) -> None:
        """Write the statuses of Deployments."""
        pods = self.cluster.view(kinds.POD).values()
        for key, found in list(self.cluster.view(kinds.DEPLOYMENT).items()):
            mine = [pod for pod in pods if _owner(pod) == found["metadata"]["uid"] and not _leaving(pod)]
            status = {
                "observedGeneration": found["metadata"]["generation"],
                "replicas": len(mine),
                "updatedReplicas": sum(_is_of(pod, found) for pod in mine),
                "readyReplicas": sum(_ready(pod) for pod in mine),
            }
            if found.get("status") != status:
                self.cluster.set_status(kinds.DEPLOYMENT, key, status)

    def _create(self, key: Key, deployment: Manifest) -> None:
        name = f"{key.name}-pod{next(self._serial)}"
        template = deployment["spec"]["template"]
        metadata = {
            "namespace": key.namespace,
            "name": name,
            "labels": template["metadata"]["labels"],
            "annotations": {_TEMPLATE: json.dumps(_bound(deployment), sort_keys=True)},
            "finalizers": [_KUBELET],
            "ownerReferences": [{"kind": "Deployment", "name": key.name, "uid": deployment["metadata"]["uid"]}],
        }
        pod = self.cluster.put(kinds.POD, {"metadata": metadata, "spec": _bound(deployment)})
        if template["metadata"]["labels"][names.LABEL_COMPONENT] == names.COMPONENT_GATEWAY:
            uid = pod["metadata"]["uid"]
            self.envoys[uid] = Envoy(name=name, uid=uid, address=f"10.0.0.{len(self.envoys) + 1}-{uid}")
            for volume in VOLUMES:
                self.project(self.envoys[uid], volume)

    def delete(self, key: Key) -> None:
        """Delete a pod, as a drained node does; it goes on until it has ended."""
        pod = self.cluster.view(kinds.POD).get(key)
        if pod is None:
            return
        if not _leaving(pod):
            self.cluster.remove(kinds.POD, key)
        envoy = self.envoys.get(pod["metadata"]["uid"])
        if envoy is None:
            self._finish(key)
        else:
            envoy.leaving = True

    def _finish(self, key: Key) -> None:
        self.cluster.edit(kinds.POD, key, lambda pod: pod["metadata"].pop("finalizers", None))

    # engines

    def ready_engines(self) -> None:
        """Let the pods of engines load and become ready, but for the broken ones, which lose it.

        One that may still leave for the sources of its files waits once for the operator to close that, as its sidecar does.
        """
        for key, pod in list(self.cluster.view(kinds.POD).items()):
            if pod["metadata"]["labels"][names.LABEL_COMPONENT] != names.COMPONENT_ENGINE:
                continue
            quarantined = names.ANNOTATION_QUARANTINE in pod["metadata"]["annotations"]  # its sidecar heeds that
            waits = names.LABEL_FETCHING in pod["metadata"]["labels"] and not pod.get("status")
            ready = _engine_of(pod) not in self.broken and not quarantined and not waits
            status = {
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                "containerStatuses": [{"name": "engine", "state": {"waiting": {}} if waits else {"running": {}}}],
                "initContainerStatuses": [{"name": "weights", "state": {"terminated": {"exitCode": 0}}}],
            }
            if pod.get("status") != status:
                self.cluster.set_status(kinds.POD, key, status)

    def change(self, number: int) -> None:
        """Change an engine's pod, if there is any, as an admission webhook can."""
        pods = {key: pod for key, pod in self.cluster.view(kinds.POD).items() if not _leaving(pod) and is_engine(pod)}
        if pods:
            self.cluster.edit(kinds.POD, sorted(pods)[number % len(pods)], _preload)

    def replace_changed(self) -> None:
        """Delete the pods that somebody changed, as a person does who read why they have no traffic."""
        for key, pod in list(self.cluster.view(kinds.POD).items()):
            if CHANGED in pod["metadata"].get("annotations", {}):
                self.delete(key)

    def endpoints(self, cluster: str) -> int:
        """Return how many healthy endpoints an Envoy cluster has."""
        deployment, _, arm = cluster.rpartition("/")
        if not arm.isdigit():
            return 0 if arm.startswith("arm-") else 1
        name = names.revision_name(deployment, int(arm))
        if Key(NAMESPACE, name) not in self.cluster.view(kinds.SERVICE):
            return 0
        pods = self.cluster.view(kinds.POD).values()
        return sum(_ready(pod) and not _leaving(pod) for pod in pods if _engine_of(pod) == name)

    # gateway pods

    def project(self, envoy: Envoy, volume: Volume) -> None:
        """Let the kubelet bring what a ConfigMap holds now into a pod; never into one that leaves.

        Envoy goes on with what it has when it cannot read what comes.
        """
        found = self.cluster.view(kinds.CONFIG_MAP).get(Key(NAMESPACE, VOLUMES[volume]))
        if found is not None and FILES[volume] in found["data"] and not envoy.leaving:
            envoy.files[volume] = found["data"]

    def start(self, envoy: Envoy) -> None:
        """Let a container start that does not run."""
        if not envoy.running and not envoy.leaving and envoy.mounted:
            envoy.running = True
            self._tell(envoy, ready=False)

    def crash(self, envoy: Envoy) -> None:
        """Let Envoy's process end. Its container is started again, with the files that are there."""
        if envoy.running:
            envoy.running = False
            self._tell(envoy, ready=False)

    def set_ready(self, envoy: Envoy, *, ready: bool) -> None:
        """Let a pod that runs become ready, or unready."""
        if envoy.running:
            self._tell(envoy, ready=ready)

    def end(self, envoy: Envoy) -> None:
        """Let a pod that leaves be gone."""
        if envoy.leaving:
            del self.envoys[envoy.uid]
            self._finish(Key(NAMESPACE, envoy.name))

    def replace(self, envoy: Envoy) -> None:
        """Delete a gateway pod, as a drained node does."""
        self.delete(Key(NAMESPACE, envoy.name))

    def ask(self, address: str) -> GatewayAnswer | None:
        """Answer as the gateway pod at an address."""
        envoy = next((each for each in self.envoys.values() if each.address == address), None)
        return None if envoy is None else envoy.answer(self.endpoints)

    def _tell(self, envoy: Envoy, *, ready: bool) -> None:
        state: dict[str, Any] = {"running": {}} if envoy.running else {"waiting": {"reason": "CrashLoopBackOff"}}
        status = {
            "podIP": envoy.address,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "envoy", "state": state}],
        }
        key = Key(NAMESPACE, envoy.name)
        pod = self.cluster.view(kinds.POD).get(key)
        if pod is not None and pod.get("status") != status:
            self.cluster.set_status(kinds.POD, key, status)


def _bound(deployment: Manifest) -> Manifest:
    """Return the spec of a Deployment's pods, on a node."""
    return {**deployment["spec"]["template"]["spec"], "nodeName": "node-1"}


def _is_of(pod: Manifest, deployment: Manifest) -> bool:
    """Whether a pod is of a Deployment's current template."""
    return bool(pod["metadata"]["annotations"][_TEMPLATE] == json.dumps(_bound(deployment), sort_keys=True))


def is_engine(pod: Manifest) -> bool:
    """Whether a pod is one of an engine."""
    return bool(pod["metadata"]["labels"][names.LABEL_COMPONENT] == names.COMPONENT_ENGINE)


def runs_engine(pod: Manifest) -> bool:
    """Whether the engine of a pod runs."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return any(each["name"] == "engine" and "running" in each["state"] for each in statuses)


def _preload(pod: Manifest) -> None:
    pod["metadata"]["annotations"][CHANGED] = "yes"
    (engine,) = pod["spec"]["containers"]
    engine["env"] = [*engine["env"], {"name": "LD_PRELOAD", "value": "/tmp/other.so"}]


def _owner(pod: Manifest) -> str:
    return str(pod["metadata"]["ownerReferences"][0]["uid"])


def _engine_of(pod: Manifest) -> str:
    return str(pod["metadata"]["ownerReferences"][0]["name"])


def _leaving(pod: Manifest) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _ready(pod: Manifest) -> bool:
    return any(each["status"] == "True" for each in (pod.get("status") or {}).get("conditions", ()))
