"""Small stand-ins for the neighbours of the controller, for tests that are not about those."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from builders import files
from holdfast.api.found import Found, Question
from holdfast.api.manifest import manifest_digest
from holdfast.api.model import HuggingFaceSource
from holdfast.api.names import Key
from holdfast.api.revision import Platform, ResolvedHuggingFace, ResolvedSource
from holdfast.cluster.port import Cluster
from holdfast.controller.children import Children
from holdfast.controller.keys import GatewayKey
from holdfast.controller.mirror import Mirror
from holdfast.controller.queue import WorkQueue
from holdfast.controller.writer import Writer
from holdfast.domain.routing import intended_arms
from holdfast.domain.snapshot import (
    DeploymentView,
    GatewayReport,
    GatewayView,
    Published,
    RepositoryMissing,
    RepositorySeen,
)
from holdfast.sources.hub_upstream import Look

POD = "gateway-pod"


@dataclass
class Hub:
    """Answers at once with one file per commit, or fails as told."""

    failure: Exception | None = None
    asked: list[HuggingFaceSource] = field(default_factory=list)
    """The repositories."""
    failures: dict[str, Exception] = field(default_factory=dict)
    """What goes wrong for one repository."""
    before_answer: Callable[[], object] | None = None

    platforms_of: dict[str, tuple[Platform, ...]] = field(default_factory=dict)

    async def platforms(self, image: str) -> tuple[Platform, ...]:
        return self.platforms_of.get(image, ())

    async def resolve(self, question: Question) -> Found:
        source = question.source.hugging_face
        assert source is not None
        self.asked.append(source)
        failure = self.failures.get(source.repository, self.failure)
        if failure is not None:
            raise failure
        found = files(source.commit[0])
        return Found(
            source=ResolvedSource(
                hugging_face=ResolvedHuggingFace(
                    endpoint="https://hub.example", repository=source.repository, commit=source.commit
                ),
                manifest_digest=manifest_digest(found),
                files=found,
            )
        )


@dataclass
class Upstream:
    """A Hub on which nothing ever changes, or what a test puts there."""

    found: dict[str, RepositorySeen | RepositoryMissing] = field(default_factory=dict)
    failure: Exception | None = None
    looks: list[str] = field(default_factory=list)

    async def look(self, repository: str, commits: Collection[str]) -> Look:
        self.looks.append(repository)
        if self.failure is not None:
            raise self.failure
        still = RepositorySeen(name=repository, refs={"refs/heads/main": min(commits)}, commits={c: {} for c in commits})
        return Look(found=self.found.get(repository, still), requests=2 + len(commits))


@dataclass
class Gateway:
    """A gateway whose one pod routes as the status says, at once."""

    mirror: Mirror
    visits: list[GatewayKey] = field(default_factory=list)
    trouble: tuple[str, ...] = ()

    def problems(self, key: Key) -> tuple[str, ...]:
        return self.trouble

    def view(self, key: Key) -> GatewayView | None:
        found = self.mirror.deployment(key)
        arms = intended_arms(found.status) if isinstance(found, DeploymentView) else {}
        report = GatewayReport(pod=POD, serial=1, arms=arms)
        return GatewayView(ready_pods=frozenset({POD}), reports=(report,), published=Published(serial=1, arms=arms))

    async def look_closer(self, key: Key) -> None:
        """Its one pod is always known."""

    async def reconcile(self, key: GatewayKey) -> None:
        self.visits.append(key)


def make_gateway(
    *,
    cluster: Cluster,
    mirror: Mirror,
    writer: Writer,
    children: Children,
    queue: WorkQueue,
) -> Gateway:
    """Make the gateway as `holdfast.controller.assembly.MakeGateway` does."""
    return Gateway(mirror)
