"""Which engines run, and how many pods each: capacity follows traffic, as observed, never the other way round."""

from holdfast.api.reasons import Phase
from holdfast.domain import defaults, lookup, routing
from holdfast.domain.plan import EngineIntent
from holdfast.domain.snapshot import Snapshot


def wanted(snapshot: Snapshot) -> dict[int, int]:
    """Return the pods that each revision in a role should have, by revision."""
    status, spec = snapshot.deployment.status, snapshot.deployment.spec
    if spec is None:
        return {}
    full = defaults.replicas(spec)
    counts: dict[int, int] = {}

    def at_least(revision: int, count: int) -> None:
        counts[revision] = max(counts.get(revision, 0), count)

    if status.stable is not None:
        at_least(status.stable.revision, full)
    if status.candidate is not None:
        at_least(status.candidate.revision, max(1, full))
    if status.last_known_good is not None:
        at_least(status.last_known_good.revision, full if status.phase is Phase.DRAINING else defaults.standby_replicas(spec))
    if status.fallback is not None and status.fallback.revision is not None:
        at_least(status.fallback.revision, max(1, full))
    return counts


def engines(snapshot: Snapshot) -> tuple[EngineIntent, ...]:
    """Return what should run. A revision that may still get requests keeps the pods that it has."""
    stable = snapshot.deployment.status.stable
    intents = []
    for revision, count in sorted(wanted(snapshot).items()):
        live = lookup.engine(snapshot, revision)
        owners_choice = stable is not None and stable.revision == revision
        keep = live is not None and live.replicas > count and not owners_choice and _routed(snapshot, revision)
        intents.append(EngineIntent(revision=revision, replicas=live.replicas if keep and live is not None else count))
    return tuple(intents)


def removable(snapshot: Snapshot) -> tuple[int, ...]:
    """Return the revisions that run without a role and that no gateway pod can route to."""
    if snapshot.deployment.spec is None:
        return ()
    roles = wanted(snapshot)
    return tuple(
        view.revision for view in snapshot.engines if view.revision not in roles and not _routed(snapshot, view.revision)
    )


def _routed(snapshot: Snapshot, revision: int) -> bool:
    return not routing.removable(snapshot.gateway, revision)
