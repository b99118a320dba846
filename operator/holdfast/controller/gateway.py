"""The gateway of a namespace: publish what is to be routed, and watch until every pod of it is seen to do so.

All decisions are `plan_gateway`'s, from what is published, what the pods report, and the statuses of the ModelDeployments. What is
published is also all that is remembered, so a restart finds everything in place and writes nothing.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from holdfast.api import names
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.cluster.errors import RETRY_REJECTED, RETRY_WAITING, Conflict, NotFound
from holdfast.cluster.port import Cluster, Manifest
from holdfast.controller.children import Children, Matched
from holdfast.controller.gateway_pods import GatewayPods, Poller
from holdfast.controller.keys import GatewayKey
from holdfast.controller.mirror import Mirror
from holdfast.controller.queue import Priority, WorkQueue
from holdfast.controller.records import LiveObject
from holdfast.controller.writer import Writer
from holdfast.domain import routing
from holdfast.domain.gateway import Routing, cluster_names, gateway_view
from holdfast.domain.gateway_plan import GatewayPlan, Wanted, World, plan_gateway
from holdfast.domain.snapshot import DeploymentView, GatewayView
from holdfast.render.gateway.layout import CLUSTERS_FILE, Layout
from holdfast.render.gateway.publication import Data, Publication, publication, published_clusters, published_routing
from holdfast.render.gateway.workload import config_map, workload

logger = logging.getLogger(__name__)

_UNSEEN_SECONDS: Final = 0.1
"""Between looks while a published route was not seen in every pod."""
_WAITING_SECONDS: Final = 0.25
"""Between looks while a route waits for its endpoints."""
_SILENT_SECONDS: Final = 2.0
"""Between looks while a pod in service does not answer: each of them takes a worker until the pod is given up."""
_CALM_SECONDS: Final = 10.0
"""Between looks while nothing is to come."""
_ROUNDS: Final = 4
"""Publications of one visit: what the pods report after one may allow the next."""


@dataclass(slots=True)
class _Known:
    """What is known of one namespace's gateway."""

    layout: Layout
    workload: list[Manifest]
    """What does not change with routes."""
    pods: GatewayPods
    routing: Routing = field(default_factory=Routing)
    coming: tuple[Routing, ...] = ()
    """What is being published, from before the write until it is known to be in force in place of `routing`. A write that failed
    may have happened, so this grows until a later one succeeds: that one is on the version that the failed one was on."""
    views: dict[str, GatewayView] | None = None
    """By deployment, as last told or asked for; None until the gateway was looked at."""
    told: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By deployment, the problems as last told."""
    problems: dict[str, str] = field(default_factory=dict)
    matched: Matched = field(default_factory=Matched)


class GatewayReconciler:
    """Brings gateways to where the statuses of the ModelDeployments say.

    Args:
        cluster: read once before a gateway is removed.
        mirror: what the cluster looks like.
        writer: writes the ConfigMaps that change at run time, and annotations of pods.
        children: makes everything else match.
        queue: takes the gateway's own next visit, and each ModelDeployment whose view changed.
        poller: asks a gateway pod.
        image: of the gateway.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        mirror: Mirror,
        writer: Writer,
        children: Children,
        queue: WorkQueue,
        poller: Poller,
        image: str,
        clock: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._mirror = mirror
        self._writer = writer
        self._children = children
        self._queue = queue
        self._poller = poller
        self._image = image
        self._clock = clock
        self._known: dict[str, _Known] = {}

    def view(self, key: Key) -> GatewayView | None:
        """Return what the gateway of the namespace was seen to do for a ModelDeployment; None before it was looked at."""
        known = self._known.get(key.namespace)
        if known is None or known.views is None:
            return None
        known.pods.take(self._mirror.gateway_pods(key.namespace))
        found = known.views[key.name] = _view(known, key.name)
        return found

    async def look_closer(self, key: Key) -> None:
        """Read which pods the gateway of the namespace has past the mirror.

        Raises:
            Transient: the API server could not be asked.
        """
        selector = f"{names.LABEL_COMPONENT}={names.COMPONENT_GATEWAY}"
        for pod in (await self._cluster.list(kinds.POD, namespace=key.namespace, selector=selector)).items:
            for concerned in self._mirror.observe(kinds.POD, pod).keys:
                self._queue.add(concerned, Priority.HIGH)

    def problems(self, key: Key) -> tuple[str, ...]:
        """Return what keeps the gateway from serving a ModelDeployment though it should, for people."""
        known = self._known.get(key.namespace)
        if known is None:
            return ()
        standing = [text for _, text in (*known.matched.conflicts, *known.matched.refused)]
        return (*standing, *([known.problems[key.name]] if key.name in known.problems else []))

    async def reconcile(self, key: GatewayKey) -> None:
        """Publish what can be published now, look at the pods, and queue whoever has something to do with it.

        Raises:
            Failure: it could not be finished; the kind says when to come back.
        """
        if not self._mirror.deployments(key.namespace):
            await self._remove(key)
            return
        known = self._known.get(key.namespace)
        if known is None:
            layout = Layout(namespace=key.namespace)
            pods = GatewayPods(poller=self._poller, writer=self._writer, clock=self._clock)
            known = _Known(layout=layout, workload=workload(layout, self._image), pods=pods)
            self._known[key.namespace] = known
        known.pods.take(self._mirror.gateway_pods(key.namespace))
        if known.pods.unasked():
            await known.pods.ask()
        plan = await self._settle(key, known)
        self._tell_deployments(key, known)
        self._rest(key, known, plan)

    def _wanted(self, key: GatewayKey) -> list[Wanted]:
        return [
            Wanted(name=each.meta.key.name, spec=each.spec, status=each.status)
            if isinstance(each, DeploymentView)
            else Wanted(name=each.meta.key.name, spec=None, status=None)
            for each in self._mirror.deployments(key.namespace)
        ]

    async def _settle(self, key: GatewayKey, known: _Known) -> GatewayPlan:
        """Publish, tell, look, until the look allows nothing more.

        Nothing is awaited between the look at the statuses and the moment at which everybody can see that a route is coming:
        otherwise a ModelDeployment could change its mind in between, and take away the engine that the route leads to.
        """
        for _ in range(_ROUNDS):
            wanted = self._wanted(key)
            routes, clusters = self._data(key, names.GATEWAY_ROUTES), self._data(key, names.GATEWAY_CLUSTERS)
            plan = self._plan(known, wanted, routes, clusters)
            marks = {each.name: routing.served_by(each.status) for each in wanted if each.status is not None}
            due = publication(plan, marks, known.layout, routes=routes, clusters=clusters)
            if due.routing != known.routing:
                known.coming = (*known.coming, due.routing)
            news = await self._publish(key, known, plan, due, first=routes is None)
            version = f"{due.routing.serial}-{_digest(due.clusters_data)}"
            await known.pods.tell(version, due.routing.serial, cluster_names(due.clusters), by=key)
            known.matched = await self._children.match(_objects(known, due), by=key, owner=None)
            known.pods.take(self._mirror.gateway_pods(key.namespace))
            restless = news or plan.unobserved or plan.waiting
            if not restless and not known.pods.due(_CALM_SECONDS):
                break
            await known.pods.ask()
            after = self._plan(known, self._wanted(key), due.routes_data, due.clusters_data)
            if after.routing == due.routing and after.clusters == due.clusters:
                return after
        return plan

    def _plan(self, known: _Known, wanted: list[Wanted], routes: Data | None, clusters: Data | None) -> GatewayPlan:
        world = World(
            routing=published_routing(routes),
            clusters=published_clusters(clusters),
            pods=known.pods.pods,
            reports=known.pods.answering,
            doubtful=bool(known.coming),
        )
        return plan_gateway(wanted, world)

    async def _publish(self, key: GatewayKey, known: _Known, plan: GatewayPlan, due: Publication, *, first: bool) -> bool:
        """Write what differs, routes before clusters: a person may be waiting for them. Return whether anything was written."""
        order = [(names.GATEWAY_ROUTES, due.routes_data), (names.GATEWAY_CLUSTERS, due.clusters_data)]
        if first or plan.clusters_first:
            order.reverse()
        news = False
        for name, data in order:
            written = await self._put(key, known, config_map(known.layout, name, data))
            news |= written
            if name == names.GATEWAY_ROUTES:
                before, known.routing, known.coming = known.routing, due.routing, ()
                if written:
                    _log(key, before, due.routing)
        known.problems = {**plan.problems, **due.refused}
        return news

    async def _put(self, key: GatewayKey, known: _Known, manifest: Manifest) -> bool:
        """Replace a ConfigMap on exactly what the plan saw: its serials must not run backwards.

        One that is missing is created with everything else that is to match, and so is one in whose place another stands told of.
        """
        name = Key(key.namespace, manifest["metadata"]["name"])
        live = self._ours(name)
        if live is None:
            known.pods.expire()
            return (await self._children.match([manifest], by=key, owner=None)).changed
        if live.manifest().get("data") == manifest["data"]:
            return False
        known.pods.expire()
        metadata = {**manifest["metadata"], "uid": live.uid, "resourceVersion": live.resource_version}
        try:
            await self._writer.replace(kinds.CONFIG_MAP, {**manifest, "metadata": metadata}, by=key)
        except (Conflict, NotFound):
            await self._writer.refresh(kinds.CONFIG_MAP, name, by=key)
            raise
        return True

    def _data(self, key: GatewayKey, name: str) -> Data | None:
        live = self._ours(Key(key.namespace, name))
        return None if live is None else live.manifest().get("data") or {}

    def _ours(self, name: Key) -> LiveObject | None:
        live = self._mirror.live(kinds.CONFIG_MAP, name)
        if live is None or live.deleting or live.owner_uid is not None or live.component != names.COMPONENT_GATEWAY:
            return None
        return live

    def _tell_deployments(self, key: GatewayKey, known: _Known) -> None:
        views = {each.name: _view(known, each.name) for each in self._wanted(key)}
        before = known.views
        known.views = views
        told, known.told = known.told, {name: self.problems(Key(key.namespace, name)) for name in views}
        for name, view in views.items():
            if before is None or before.get(name) != view or told.get(name, ()) != known.told[name]:
                self._queue.add(Key(key.namespace, name), Priority.HIGH)

    def _rest(self, key: GatewayKey, known: _Known, plan: GatewayPlan) -> None:
        """Queue the next visit."""
        if plan.unobserved and any(pod.ready and pod.uid in known.pods.silent for pod in known.pods.pods):
            self._queue.add_after(key, _SILENT_SECONDS)
        elif plan.unobserved:
            self._queue.add_after(key, _UNSEEN_SECONDS, Priority.HIGH)
        elif plan.waiting:
            self._queue.add_after(key, _WAITING_SECONDS, Priority.HIGH)
        else:
            self._queue.add_after(key, _CALM_SECONDS)
        if known.matched.waiting:
            self._queue.add_after(key, RETRY_WAITING)
        elif known.matched.trouble:
            self._queue.add_after(key, RETRY_REJECTED)

    async def _remove(self, key: GatewayKey) -> None:
        """Remove the gateway of a namespace that has no ModelDeployments any more, as the API server itself says."""
        self._known.pop(key.namespace, None)
        mine = [each for each in self._mirror.gateway_children(key.namespace) if each.owner_uid is None and not each.deleting]
        if not mine:
            self._queue.forget(key)
            return
        listing = await self._cluster.list(kinds.MODEL_DEPLOYMENT, namespace=key.namespace)
        if listing.items:
            raise Conflict(f"namespace {key.namespace} has ModelDeployments that the mirror does not know yet")
        for child in sorted(mine, key=lambda each: each.kind is not kinds.DEPLOYMENT):
            await self._children.remove(child.kind, child.key, uid=child.uid)
        logger.info("gateway removed", extra={"namespace": key.namespace})


def _objects(known: _Known, due: Publication) -> list[Manifest]:
    return [
        config_map(known.layout, names.GATEWAY_CLUSTERS, due.clusters_data),
        config_map(known.layout, names.GATEWAY_ROUTES, due.routes_data),
        *known.workload,
    ]


def _log(key: GatewayKey, before: Routing, after: Routing) -> None:
    changed = {name: dict(route.arms) for name, route in after.routes.items() if before.routes.get(name) != route}
    logger.info("routes published", extra={"namespace": key.namespace, "serial": after.serial, "routes": changed})


def _view(known: _Known, name: str) -> GatewayView:
    pods = known.pods
    return gateway_view(name, known.routing, pods.pods, pods.reports, pods.silent, known.coming)


def _digest(data: Data) -> str:
    return hashlib.sha256(data[CLUSTERS_FILE].encode()).hexdigest()[:8]
