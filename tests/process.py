"""One operator process on an in-memory cluster, stepped by the test: real controller, real decisions, real manifests."""

import asyncio
import random
from collections.abc import Callable

import standins
from builders import SETTINGS
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.controller.assembly import Controller, MakeGateway, assemble
from holdfast.controller.observer import Observer, Outcome
from holdfast.controller.ports import Decide, Renderer, Resolver, Upstream
from holdfast.domain.decide import decide
from holdfast.render import deployment as renderer
from model.fake_cluster import FakeCluster


class OperatorProcess:
    """A controller between its start and its end. A restart is a new one on the same cluster."""

    def __init__(
        self,
        cluster: FakeCluster,
        *,
        resolver: Resolver | None = None,
        upstream: Upstream | None = None,
        decide: Decide = decide,
        renderer: Renderer = renderer,
        make_gateway: MakeGateway = standins.make_gateway,
        observer: Observer | None = None,
    ) -> None:
        self.cluster = cluster
        self.outcomes: list[Outcome] = []
        self.controller: Controller = assemble(
            cluster=cluster,
            resolver=resolver or standins.Hub(),
            upstream=upstream or standins.Upstream(),
            renderer=renderer,
            decide=decide,
            make_gateway=make_gateway,
            settings=SETTINGS,
            instance="operator-0",
            namespaces=(),
            clock=self.clock,
            rng=random.Random(1),  # noqa: S311
            random_bytes=bytes,
            observer=observer or Observer(),
        )

    def clock(self) -> float:
        """The monotonic clock: it goes with the cluster's time."""
        return self.cluster.time.timestamp()

    async def start(self) -> None:
        """List everything, as the process does before it does anything else."""
        await self.controller.resync.start()

    def hear(self) -> int:
        """Take all news of all watches; return how many there were."""
        heard = 0
        for kind in kinds.WATCHED:
            while (event := self.cluster.deliver(kind)) is not None:
                self.controller.feed.event(kind, event.object, deleted=event.type == "DELETED")
                heard += 1
        return heard

    async def work(self) -> int:
        """Reconcile until no key is ready; return how many were worked on."""
        done = 0
        while (key := self.controller.queue.pop()) is not None:
            self.outcomes.append(await self.controller.worker.work(key))
            done += 1
            assert done < 1000, "the queue does not run empty"
        return done

    async def settle(self, world: Callable[[FakeCluster], object] | None = None) -> None:
        """Hear, work and let the rest of the world act until nothing happens any more. Time stands still."""
        for _ in range(200):
            heard, worked = self.hear(), await self.work()
            version = len(self.cluster.calls), self.cluster.time
            if world is not None:
                world(self.cluster)
            for _ in range(3):
                await asyncio.sleep(0)  # let answers of the Hub arrive
            pending = sum(self.cluster.pending(kind) for kind in kinds.WATCHED)
            idle = not heard and not worked and not pending and not self.controller.queue.depth()
            if idle and version == (len(self.cluster.calls), self.cluster.time):
                return
        raise AssertionError("nothing comes to rest")


def run_engines(cluster: FakeCluster) -> None:
    """Play the controllers of workloads, the kubelet, healthy engines and Jobs that fetch at once."""
    run_deployments(cluster)
    for key, found in cluster.every(kinds.JOB).items():
        if not found.get("status"):
            stamp = cluster.time.strftime("%Y-%m-%dT%H:%M:%SZ")
            done = {"type": "Complete", "status": "True", "lastTransitionTime": stamp}
            cluster.set_status(kinds.JOB, key, {"conditions": [done]})


def run_deployments(cluster: FakeCluster) -> None:
    """The same without Jobs: theirs are under way."""
    for key, found in cluster.every(kinds.DEPLOYMENT).items():
        wanted = found["spec"]["replicas"]
        status = {
            "observedGeneration": found["metadata"]["generation"],
            "replicas": wanted,
            "readyReplicas": wanted,
        }
        if found.get("status") != status:
            cluster.set_status(kinds.DEPLOYMENT, key, status)


def engine_names(cluster: FakeCluster) -> list[str]:
    """The engines that run."""
    return [Key(*key).name for key in cluster.every(kinds.DEPLOYMENT)]
