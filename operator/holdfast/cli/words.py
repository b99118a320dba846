"""How values are written for people: times, digests, weights, sizes."""

from datetime import UTC, datetime, timedelta

from holdfast.api.decision import Decision, DecisionType, FallbackTargetType, FallbackTo
from holdfast.api.deployment import FallbackStatus, RevisionRole
from holdfast.api.names import TOTAL_WEIGHT
from holdfast.api.revision import ResolvedSource
from holdfast.domain.pin import short_digest


def moment(value: datetime) -> str:
    """Return a time in UTC, to the second."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(value: timedelta) -> str:
    """Return a duration in its two largest units."""
    seconds = max(0, round(value.total_seconds()))
    parts = ((seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s"))
    first = next((place for place, (amount, _) in enumerate(parts) if amount), len(parts) - 1)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[first : first + 2] if amount or unit == parts[first][1])


def weight(parts: int) -> str:
    """Return parts of 10000 in percent."""
    return f"{parts * 100 / TOTAL_WEIGHT:g} %"


def size(count: int) -> str:
    """Return a number of bytes in decimal units, as model hubs and disks count."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.4g} TB"


def role(value: RevisionRole | None) -> str:
    """Return a revision in a role: number, digest, who approved it."""
    if value is None:
        return "none"
    by = f", approved by {value.approved_by}" if value.approved_by else ""
    return f"revision {value.revision} ({short_digest(value.digest)}){by}"


def target(kind: FallbackTargetType, revision: int | None, external: str | None) -> str:
    """Return where a fallback leads."""
    if external is not None:
        return f"external {external}"
    if revision is not None:
        return f"revision {revision}"
    return "the last known good revision" if kind is FallbackTargetType.LAST_KNOWN_GOOD else str(kind)


def fallback(value: FallbackStatus) -> str:
    """Return a fallback in force: where to, by whom, since when, why."""
    seen = "seen by every gateway pod" if value.observed else "not yet seen by every gateway pod"
    why = f"; reason: {value.reason}" if value.reason else ""
    return f"fallback to {target(value.type, value.revision, value.external)}, by {value.by} since {moment(value.since)}, {seen}{why}"


def decision(value: Decision) -> str:
    """Return what was decided: ``Approve Start``, ``Abort``, ``Fallback to external/general-api``."""
    if value.decision is DecisionType.FALLBACK:
        return f"{value.decision} to {_target(value.fallback_to)}"
    return f"{value.decision} {value.gate}" if value.gate else str(value.decision)


def _target(to: FallbackTo | None) -> str:
    """Return a target as ``holdfast fallback --to`` takes it."""
    if to is None or to.type is FallbackTargetType.LAST_KNOWN_GOOD:
        return "last-known-good"
    return str(to.revision) if to.type is FallbackTargetType.REVISION else f"external/{to.external}"


def source(found: ResolvedSource) -> tuple[str, str]:
    """Return where a model's bytes come from, and which version of it, for a table."""
    if found.hugging_face is not None:
        return found.hugging_face.repository, found.hugging_face.commit[:12]
    if found.oci is not None:
        name, _, digest = found.oci.reference.partition("@")
        return name, short_digest(digest)
    claim = found.volume.claim_name if found.volume is not None else "-"
    return f"volume {claim}", short_digest(found.manifest_digest)
