"""Builds the frozen snapshot that one decision looks at."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from holdfast.api.names import Key, revision_name, weights_claim_name
from holdfast.cluster import kinds
from holdfast.controller.children import Matched
from holdfast.controller.mirror import Mirror
from holdfast.controller.ports import Gateways
from holdfast.controller.records import LiveObject, Unreadable
from holdfast.controller.resolutions import Resolutions
from holdfast.controller.upstream import UpstreamWatch
from holdfast.domain.snapshot import ApprovalView, DeploymentView, EngineView, RevisionView, Settings, Snapshot, Stopped


@dataclass(frozen=True, slots=True)
class Blind:
    """The gateway was not looked at yet, so nothing can be decided."""


class Snapshots:
    """Builds snapshots from the mirror, the gateways, the answers of the Hub and what it publishes."""

    def __init__(
        self, *, mirror: Mirror, gateways: Gateways, resolutions: Resolutions, upstream: UpstreamWatch, settings: Settings
    ) -> None:
        self._mirror = mirror
        self._upstream = upstream
        self._gateways = gateways
        self._resolutions = resolutions
        self._settings = settings

    def build(self, key: Key, matched: Matched, *, stopped: Stopped | None = None) -> Snapshot | Unreadable | Blind | None:
        """Return the snapshot of a ModelDeployment, None if there is none.

        Args:
            key: the ModelDeployment.
            matched: what came of making its children match last.
            stopped: what ended the last visit before its time.
        """
        deployment = self._mirror.deployment(key)
        if deployment is None or isinstance(deployment, Unreadable):
            return deployment
        gateway = self._gateways.view(key)
        if gateway is None:
            return Blind()
        revisions = self._mirror.revisions(key)
        unreadable = [each for each in revisions if isinstance(each, Unreadable)]
        if unreadable:
            # With a hole in its history nothing about this deployment may move: a number or an approval could be used twice.
            told = "; ".join(f"ModelRevision {each.meta.key.name}: {each.problem}" for each in unreadable)
            deployment = replace(deployment, spec=None, invalid=f"its history cannot be read: {told}"[:1024])
        return Snapshot(
            deployment=deployment,
            settings=self._settings,
            revisions=tuple(each for each in revisions if isinstance(each, RevisionView)),
            approvals=tuple(sorted(self._approvals(key), key=_age)),
            engines=self._engines(deployment, matched),
            pods=tuple(self._mirror.pods(key)),
            fetches=tuple(child.fetch for child in self.owned(deployment) if child.fetch is not None and not child.deleting),
            fetchers=tuple(self._mirror.fetchers(key)),
            claim_created=self._claim_created(key),
            gateway=gateway,
            upstream=self._upstream.find(key),
            resolution=self._resolutions.find(key, deployment.spec.model) if deployment.spec is not None else None,
            conflicts=tuple(text for _, text in matched.conflicts),
            refused=(*(text for _, text in matched.refused), *self._gateways.problems(key)),
            stopped=stopped,
        )

    def owned(self, deployment: DeploymentView) -> list[LiveObject]:
        """Return the children that a ModelDeployment really owns."""
        return [child for child in self._mirror.children(deployment.meta.key) if child.owner_uid == deployment.meta.uid]

    def _claim_created(self, key: Key) -> datetime | None:
        claim = self._mirror.live(kinds.PERSISTENT_VOLUME_CLAIM, Key(key.namespace, weights_claim_name(key.name)))
        return claim.created if claim is not None and not claim.deleting else None

    def _approvals(self, key: Key) -> Iterable[ApprovalView]:
        return (each for each in self._mirror.approvals(key) if isinstance(each, ApprovalView))

    def _engines(self, deployment: DeploymentView, matched: Matched) -> tuple[EngineView, ...]:
        """Return the engines that live. One whose Service is somebody else's is not ready, whatever its pods say.

        A removal that was cut short leaves children without the Deployment: they are seen as an engine without pods.
        """
        squatted = {name.name for (_, name), _ in matched.conflicts}
        views: dict[int, EngineView] = {}
        for child in self.owned(deployment):
            if child.revision is None or child.deleting:
                continue
            if child.engine is None:
                views.setdefault(child.revision, EngineView(revision=child.revision, replicas=0, ready_replicas=0))
                continue
            taken = revision_name(deployment.meta.key.name, child.revision) in squatted
            views[child.revision] = replace(child.engine, ready_replicas=0) if taken else child.engine
        return tuple(views[revision] for revision in sorted(views))


def _age(approval: ApprovalView) -> tuple[datetime, str]:
    return approval.meta.created, approval.meta.key.name
