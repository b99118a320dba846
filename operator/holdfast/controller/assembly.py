"""Puts the controller together: the same for the real operator and for tests."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from holdfast.cluster.events import Recorder
from holdfast.cluster.port import Cluster
from holdfast.controller.children import Children
from holdfast.controller.feed import Feed
from holdfast.controller.keys import GatewayKey
from holdfast.controller.mirror import Mirror
from holdfast.controller.observer import Observer
from holdfast.controller.ports import Decide, Gateways, Renderer, Resolver, Upstream
from holdfast.controller.queue import WorkQueue
from holdfast.controller.reconciler import Reconciler
from holdfast.controller.resolutions import Resolutions
from holdfast.controller.resync import Resync
from holdfast.controller.seals import Seals
from holdfast.controller.snapshots import Snapshots
from holdfast.controller.upstream import UpstreamWatch
from holdfast.controller.worker import Worker
from holdfast.controller.writer import Writer
from holdfast.controller.writes import Writes
from holdfast.domain.snapshot import Settings


class GatewayReconciler(Gateways, Protocol):
    """`holdfast.controller.gateway.GatewayReconciler`."""

    async def reconcile(self, key: GatewayKey) -> None:
        """Bring the gateway of a namespace to where it should be, look at its pods, and queue what is next."""
        ...


class MakeGateway(Protocol):
    """Makes the reconciler of gateways from what it shares with the rest."""

    def __call__(
        self, *, cluster: Cluster, mirror: Mirror, writer: Writer, children: Children, queue: WorkQueue
    ) -> GatewayReconciler:
        """Return the reconciler."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """The controller's parts that others drive: news go into `feed`, keys come out of `queue` into `worker`."""

    mirror: Mirror
    queue: WorkQueue
    feed: Feed
    resync: Resync
    resolutions: Resolutions
    upstream: UpstreamWatch
    worker: Worker


def assemble(
    *,
    cluster: Cluster,
    resolver: Resolver,
    upstream: Upstream,
    renderer: Renderer,
    decide: Decide,
    make_gateway: MakeGateway,
    settings: Settings,
    instance: str,
    namespaces: Sequence[str],
    clock: Callable[[], float],
    rng: random.Random,
    random_bytes: Callable[[int], bytes],
    observer: Observer,
) -> Controller:
    """Build a controller.

    Args:
        cluster: the cluster to bring into order.
        resolver: whom to ask for the files of models.
        upstream: whom to ask for what is published now.
        renderer: turns revisions into manifests.
        decide: what to do next.
        make_gateway: makes the reconciler of gateways.
        settings: what the operator brings into new revisions.
        instance: the name of this process, for Events.
        namespaces: which namespaces to look after; empty for all.
        clock: a monotonic clock in seconds, that of the event loop.
        rng: spreads retries and lists.
        random_bytes: returns so many bytes that nobody can guess, for keys.
        observer: hears of what is done.
    """
    mirror = Mirror()
    queue = WorkQueue(clock=clock, rng=rng)
    writer = Writer(cluster, mirror, queue)
    children = Children(mirror, writer, Seals(cluster, random_bytes))
    recorder = Recorder(cluster, instance=instance)
    feed = Feed(mirror=mirror, queue=queue, observer=observer)
    gateway = make_gateway(cluster=cluster, mirror=mirror, writer=writer, children=children, queue=queue)
    resolutions = Resolutions(resolver=resolver, renderer=renderer, queue=queue, now=cluster.now, rng=rng, observer=observer)
    watch = UpstreamWatch(hub=upstream, queue=queue, now=cluster.now, clock=clock, rng=rng, observer=observer)
    reconciler = Reconciler(
        cluster=cluster,
        mirror=mirror,
        queue=queue,
        writer=writer,
        writes=Writes(writer=writer, recorder=recorder, observer=observer),
        children=children,
        snapshots=Snapshots(mirror=mirror, gateways=gateway, resolutions=resolutions, upstream=watch, settings=settings),
        resolutions=resolutions,
        upstream=watch,
        gateways=gateway,
        renderer=renderer,
        decide=decide,
        observer=observer,
    )
    return Controller(
        mirror=mirror,
        queue=queue,
        feed=feed,
        resync=Resync(
            cluster=cluster,
            mirror=mirror,
            feed=feed,
            queue=queue,
            children=children,
            namespaces=namespaces,
            clock=clock,
            rng=rng,
        ),
        resolutions=resolutions,
        upstream=watch,
        worker=Worker(
            queue=queue,
            observer=observer,
            deployment=reconciler.reconcile,
            gateway=gateway.reconcile,
        ),
    )
