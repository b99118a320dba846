"""What the controller needs of its neighbours. The composition root brings the real ones, tests bring small ones of their own."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

from holdfast.api.found import Found, Question
from holdfast.api.names import Key
from holdfast.api.revision import Platform, ResolvedModel
from holdfast.cluster.port import Manifest
from holdfast.domain.plan import Plan
from holdfast.domain.retention import Named
from holdfast.domain.snapshot import DeploymentView, GatewayView, RevisionView, Snapshot
from holdfast.sources.hub_upstream import Look

Decide = Callable[[Snapshot, datetime], Plan]
"""`holdfast.domain.decide.decide`."""


class Resolver(Protocol):
    """`holdfast.sources.hub.HubResolver`."""

    async def resolve(self, question: Question) -> Found:
        """Find out what a source has.

        Raises:
            holdfast.sources.hub_errors.HubError: why there is none, with a `Reason`.
        """
        ...

    async def platforms(self, image: str) -> Sequence[Platform]:
        """Return the images of the index that an engine's image is; nothing when its registry does not say at once."""
        ...


class Upstream(Protocol):
    """`holdfast.sources.hub_upstream.HubUpstream`."""

    async def look(self, repository: str, commits: Collection[str]) -> Look:
        """Look at a repository and at pinned commits of it.

        Raises:
            holdfast.sources.hub_errors.HubError: the Hub gave no usable answer.
        """
        ...


class Renderer(Protocol):
    """`holdfast.render.deployment`."""

    def engine_objects(self, deployment: DeploymentView, revision: RevisionView, replicas: int) -> Sequence[Manifest]:
        """Return the children of one revision."""
        ...

    def shared_objects(self, deployment: DeploymentView, named: Named | None = None) -> Sequence[Manifest]:
        """Return the children that all revisions share."""
        ...

    def problems(self, model: ResolvedModel) -> Sequence[str]:
        """Return why a model cannot be rendered, for people; nothing if it can."""
        ...


class Gateways(Protocol):
    """What is known of the gateways: `holdfast.controller.gateway.GatewayReconciler`."""

    def view(self, key: Key) -> GatewayView | None:
        """Return what the gateway of the namespace was seen to do for a ModelDeployment.

        None before the gateway was looked at for the first time since the start: nothing may be decided on that. The key is
        queued when the first view is there, and whenever it changes.
        """
        ...

    async def look_closer(self, key: Key) -> None:
        """Read which pods the gateway of the namespace has past the mirror: from then on `view` knows each of them.

        Raises:
            Transient: the API server could not be asked.
        """
        ...

    def problems(self, key: Key) -> tuple[str, ...]:
        """Return what a person must do before the gateway can serve a ModelDeployment; the key is queued when it changes."""
        ...
