"""A namespace in memory: the operator's gateway reconciler on a fake cluster, with gateway pods as a kubelet runs them."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.api import names
from holdfast.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.cluster.port import Manifest
from holdfast.controller.children import Children
from holdfast.controller.gateway import GatewayReconciler
from holdfast.controller.keys import GatewayKey, QueueKey
from holdfast.controller.mirror import Mirror
from holdfast.controller.queue import WorkQueue
from holdfast.controller.seals import Seals
from holdfast.controller.writer import Writer
from holdfast.domain.gateway import Routing, cluster_names, parse_clusters
from holdfast.sources.gateway import GatewayAnswer
from model.fake_cluster import FakeCluster
from unit.gateway.states import spec

NAMESPACE = "team-a"
GATEWAY = GatewayKey(NAMESPACE)
IMAGE = "registry.test/envoy@sha256:" + "0" * 64


@dataclass(slots=True)
class Envoy:
    """A gateway pod: what it has in force, and how its kubelet treats it."""

    address: str
    attentive: bool = True
    """Whether its kubelet brings it new files when an annotation changes."""
    silent: bool = False
    config: str = '{"serial":0,"deployments":{}}'
    clusters: dict[str, int] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    """Clusters without a healthy endpoint."""
    annotation: str | None = None


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class Namespace:
    """One namespace with an operator that can be killed and started again."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.clock = Clock()
        self.envoys: dict[str, Envoy] = {}
        self.asked = 0
        self.start()

    # the operator

    def start(self) -> None:
        """Start the operator, or start it anew: it knows nothing but what the cluster tells."""
        self.mirror = Mirror()
        self.queue = WorkQueue(clock=self.clock, rng=random.Random(1))  # noqa: S311 - spreads retries
        writer = Writer(self.cluster, self.mirror, self.queue)
        self.children = Children(self.mirror, writer, Seals(self.cluster, bytes))
        self.reconciler = GatewayReconciler(
            cluster=self.cluster,
            mirror=self.mirror,
            writer=writer,
            children=self.children,
            queue=self.queue,
            poller=self,
            image=IMAGE,
            clock=self.clock,
        )
        for kind in kinds.WATCHED:
            for event in self.cluster.relist(kind):
                self.mirror.observe(kind, event.object)

    async def visit(self) -> None:
        """Let the world settle, and the operator visit the gateway once."""
        self.run_world()
        await self.reconciler.reconcile(GATEWAY)
        self.run_world()

    async def settle(self, visits: int = 6) -> None:
        for _ in range(visits):
            await self.visit()

    def queued(self) -> set[QueueKey]:
        """Return what is queued for now, and forget it."""
        found = set()
        while (key := self.queue.pop()) is not None:
            found.add(key)
            self.queue.done(key)
        return found

    async def ask(self, address: str) -> GatewayAnswer | None:
        """Answer as the pod at an address, when the operator asks."""
        self.asked += 1
        self.kubelet()
        envoy = next(envoy for envoy in self.envoys.values() if envoy.address == address)
        if envoy.silent:
            return None
        return GatewayAnswer(
            config=envoy.config, clusters={name: 0 if name in envoy.dead else count for name, count in envoy.clusters.items()}
        )

    # the world

    def run_world(self) -> None:
        """Let pods run, and let watches tell everything."""
        if self.cluster.read(kinds.DEPLOYMENT, self.key(names.GATEWAY_NAME)) is not None and not self.envoys:
            for uid in ("a", "b"):
                self.add_pod(uid)
        self.kubelet()
        for kind in kinds.WATCHED:
            while (event := self.cluster.deliver(kind)) is not None:
                self.mirror.observe(kind, event.object, deleted=event.type == "DELETED")

    def add_pod(self, name: str) -> Envoy:
        """Start a gateway pod: it reads what is mounted."""
        envoy = self.envoys[name] = Envoy(address=f"10.0.0.{len(self.envoys) + 1}")
        self.load(envoy)
        self.cluster.put(
            kinds.POD,
            {
                "metadata": {
                    "namespace": NAMESPACE,
                    "name": f"holdfast-gateway-{name}",
                    "labels": {names.LABEL_COMPONENT: names.COMPONENT_GATEWAY},
                },
                "spec": {},
            },
        )
        self.set_ready(name, ready=True)
        return envoy

    def set_ready(self, name: str, *, ready: bool) -> None:
        status = {
            "podIP": self.envoys[name].address,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "envoy", "state": {"running": {}}}],
        }
        self.cluster.set_status(kinds.POD, self.key(f"holdfast-gateway-{name}"), status)

    def kubelet(self) -> None:
        """Bring new files to the pods whose annotation changed."""
        for name, envoy in self.envoys.items():
            found = self.cluster.read(kinds.POD, self.key(f"holdfast-gateway-{name}"))
            annotation = (found or {}).get("metadata", {}).get("annotations", {}).get(names.ANNOTATION_CONFIG)
            if annotation != envoy.annotation:
                envoy.annotation = annotation
                if envoy.attentive:
                    self.load(envoy)

    def load(self, envoy: Envoy) -> None:
        """Bring the published files to a pod."""
        routes, clusters = self.data(names.GATEWAY_ROUTES), self.data(names.GATEWAY_CLUSTERS)
        if routes is not None:
            envoy.config = routes["state.json"]
        if clusters is not None:
            envoy.clusters = dict.fromkeys(cluster_names(parse_clusters(clusters["state.json"])), 1)

    # people

    def deployment(
        self, status: ModelDeploymentStatus, *, name: str = "chat", declared: ModelDeploymentSpec | None = None
    ) -> None:
        """Create a ModelDeployment, or change its status."""
        if self.cluster.read(kinds.MODEL_DEPLOYMENT, self.key(name)) is None:
            metadata = {"namespace": NAMESPACE, "name": name}
            self.cluster.put(kinds.MODEL_DEPLOYMENT, {"metadata": metadata, "spec": (declared or spec()).wire()})
        self.cluster.set_status(kinds.MODEL_DEPLOYMENT, self.key(name), status.wire())

    # what a test sees

    def key(self, name: str) -> Key:
        return Key(NAMESPACE, name)

    def data(self, name: str) -> Mapping[str, str] | None:
        found = self.cluster.read(kinds.CONFIG_MAP, self.key(name))
        return None if found is None else found["data"]

    def routing(self) -> Routing:
        """Return what is published."""
        data = self.data(names.GATEWAY_ROUTES)
        assert data is not None
        return Routing.parse(data["state.json"])

    def arms(self, name: str = "chat") -> dict[str, int]:
        return dict(self.routing().routes[name].arms)

    def objects(self) -> set[tuple[str, str]]:
        """Return the gateway's objects."""
        return {
            (kind.kind, key.name)
            for kind in kinds.CHILDREN
            for key, found in self.cluster.every(kind).items()
            if found["metadata"].get("labels", {}).get(names.LABEL_COMPONENT) == names.COMPONENT_GATEWAY
        }

    def stranger(self, name: str) -> Manifest:
        """Put a ConfigMap of somebody else in the way."""
        return self.cluster.put(kinds.CONFIG_MAP, {"metadata": {"namespace": NAMESPACE, "name": name}, "data": {"x": "y"}})
