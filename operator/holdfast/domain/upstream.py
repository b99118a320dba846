"""What is published upstream, compared with what is pinned: from an observation of a repository to findings for people.

Nothing here proposes, starts or stops anything. What was found lives in ``status.upstream`` and stands until the Hub says otherwise:
a Hub that does not answer, or a restart of the operator, changes no finding.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

from holdfast.api.deployment import (
    ModelDeploymentStatus,
    UpstreamFinding,
    UpstreamSource,
    UpstreamStatus,
    WeightsKept,
)
from holdfast.api.reasons import Reason
from holdfast.domain import defaults, proposal
from holdfast.domain.plan import Note
from holdfast.domain.snapshot import RepositoryMissing, RepositorySeen, RevisionView, Snapshot

_DEFAULT_REF: Final = "refs/heads/main"
_CARD: Final = "README.md"
_SOURCES_MAX: Final = 64
_TAGS_MAX: Final = 64
_TEXT_MAX: Final = 256
_MESSAGE_MAX: Final = 512
_NAMED: Final = 5
"""Tags and files that a message names at most."""

_UNAVAILABLE: Final = frozenset({Reason.UPSTREAM_GONE, Reason.UPSTREAM_DISABLED, Reason.UPSTREAM_GATED})
_GRAVITY: Final = (
    Reason.UPSTREAM_GONE,
    Reason.UPSTREAM_DISABLED,
    Reason.UPSTREAM_GATED,
    Reason.UPSTREAM_RENAMED,
    Reason.UPSTREAM_LICENSE_CHANGED,
    Reason.UPSTREAM_MOVED,
    Reason.UPSTREAM_CARD_CHANGED,
)
"""Which of several findings gives a condition its reason, the gravest first."""
_CALM: Final = frozenset({Reason.UPSTREAM_MOVED, Reason.UPSTREAM_CARD_CHANGED})


class Verdict(NamedTuple):
    """Status, reason and message of a condition."""

    status: Literal["True", "False", "Unknown"]
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A commit of a repository that a live revision is made of, and what was recorded with it."""

    repository: str
    commit: str
    revision: int
    """A revision that is made of it."""
    declared: bool
    """Whether the declared model is made of it; if not, only a revision that still serves or stands by is."""
    refs: tuple[str, ...] = ()
    """Branches and tags that pointed there when it was resolved."""
    license: str | None = None
    gated: bool | None = None
    """Whether it was gated then; None if that is not known."""


def pins(snapshot: Snapshot, status: ModelDeploymentStatus) -> tuple[Pin, ...]:
    """Return what is compared, the declared model's first; nothing when the owner wants no checks.

    Revisions that serve, stand by or are tried count as well: they too want their files again on a new node.
    """
    if defaults.upstream_check(snapshot.deployment.spec) is None:
        return ()
    desired = proposal.current_desired(snapshot)
    declared = desired.revision if desired is not None else None
    roles = (status.candidate, status.stable, status.last_known_good)
    numbers = dict.fromkeys([declared, *(role.revision for role in roles if role is not None)])
    by_number = {view.spec.number: view for view in snapshot.revisions}
    found: dict[tuple[str, str], Pin] = {}
    for number in numbers:
        view = by_number.get(number) if number is not None else None
        for pin in _of(view, snapshot.settings.hub_endpoint, declared=number == declared) if view is not None else ():
            found.setdefault((pin.repository, pin.commit), pin)
    return tuple(found.values())[:_SOURCES_MAX]


def _of(view: RevisionView, endpoint: str, *, declared: bool) -> Iterable[Pin]:
    recorded = view.spec.recorded
    for field, source in view.spec.model.sources():
        origin = source.hugging_face
        if origin is None or origin.endpoint.rstrip("/") != endpoint.rstrip("/"):
            continue  # another Hub: this operator does not ask it
        beside = recorded if field == "source" else None  # what is recorded is about the model's own repository
        yield Pin(
            repository=origin.repository,
            commit=origin.commit,
            revision=view.spec.number,
            declared=declared,
            refs=tuple(beside.refs or ()) if beside is not None else (),
            license=beside.license.id if beside is not None and beside.license is not None else None,
            gated=beside.gated if beside is not None else None,
        )


def unchecked(found: Iterable[Pin], status: ModelDeploymentStatus) -> frozenset[str]:
    """Return the repositories of which a pin was never compared: they are asked about first."""
    known = {(entry.repository, entry.commit) for entry in (status.upstream.sources if status.upstream else ())}
    return frozenset(pin.repository for pin in found if (pin.repository, pin.commit) not in known)


def observed(snapshot: Snapshot, status: ModelDeploymentStatus, now: datetime) -> UpstreamStatus | None:
    """Return ``status.upstream`` after what the Hub said last; the same object's equal when it said nothing new."""
    before = status.upstream
    known = {(entry.repository, entry.commit): entry for entry in (before.sources if before is not None else ())}
    sources: list[UpstreamSource] = []
    for pin in pins(snapshot, status):
        entry = known.get((pin.repository, pin.commit))
        seen = snapshot.upstream.get(pin.repository)
        if isinstance(seen, RepositoryMissing) or (seen is not None and pin.commit in seen.commits):
            entry = _compare(pin, seen, entry)
        if entry is not None:
            sources.append(entry)
    if not sources:
        return None
    if before is not None and before.sources == sources:
        return before
    return UpstreamStatus(observed_at=now, sources=sources)


def _compare(pin: Pin, seen: RepositorySeen | RepositoryMissing, before: UpstreamSource | None) -> UpstreamSource:
    if isinstance(seen, RepositoryMissing):
        gone = _finding(_missing_reason(seen), f"{pin.repository} {_missing_text(seen)}")
        entry = before or UpstreamSource(repository=pin.repository, commit=pin.commit)
        return entry.model_copy(update={"findings": [gone]})
    tags = sorted(_short(ref) for ref in seen.refs if ref.startswith("refs/tags/"))
    compared = before is not None and before.ref is not None
    known_tags = before.known_tags if before is not None and compared else tags
    refs = _followed(pin, seen)
    found = [
        *_availability(pin, seen),
        *_renamed(pin, seen),
        *_license(pin, seen),
        *_moved(pin, seen, refs, known_tags),
        *_card(pin, seen, refs),
    ]
    return UpstreamSource(
        repository=pin.repository,
        commit=pin.commit,
        ref=refs[0][:_TEXT_MAX],
        head=seen.refs.get(refs[0]),
        license=seen.license,
        known_tags=known_tags if known_tags is not None and len(known_tags) <= _TAGS_MAX else None,
        findings=found or None,
    )


def _finding(reason: Reason, message: str) -> UpstreamFinding:
    return UpstreamFinding(reason=reason, message=message[:_MESSAGE_MAX])


def _missing_reason(seen: RepositoryMissing) -> Reason:
    return Reason.UPSTREAM_DISABLED if seen.disabled else Reason.UPSTREAM_GONE


def _missing_text(seen: RepositoryMissing) -> str:
    if seen.disabled:
        return "is disabled by the Hub"
    return "is not on the Hub any more: it was deleted, made private, or the operator's token may not see it"


def _availability(pin: Pin, seen: RepositorySeen) -> Iterable[UpstreamFinding]:
    if seen.commits.get(pin.commit) is None:
        told = f"{pin.repository} has no commit {pin.commit[:12]} any more: it was squashed or force-pushed away"
        yield _finding(Reason.UPSTREAM_GONE, told)
    if seen.gated and pin.gated is False:
        yield _finding(Reason.UPSTREAM_GATED, f"{pin.repository} is gated now, and was open to everybody when it was pinned")


def _renamed(pin: Pin, seen: RepositorySeen) -> Iterable[UpstreamFinding]:
    if seen.name != pin.repository:
        told = f"{pin.repository} is now {seen.name}: the old name can be taken by anybody; check who owns both"
        yield _finding(Reason.UPSTREAM_RENAMED, told)


def _license(pin: Pin, seen: RepositorySeen) -> Iterable[UpstreamFinding]:
    told = []
    if pin.license is not None and seen.license != pin.license:
        told.append(f"the license in the card of {pin.repository} is {seen.license or 'absent'} now and was {pin.license}")
    then = seen.commits.get(pin.commit)
    changed = [] if then is None else sorted(_differing(then, seen.texts) - {_CARD})
    if changed:
        told.append(f"terms in {_list(changed)} of {pin.repository} changed")
    if told:
        yield _finding(Reason.UPSTREAM_LICENSE_CHANGED, "; ".join(told))


def _moved(pin: Pin, seen: RepositorySeen, refs: tuple[str, ...], known_tags: list[str] | None) -> Iterable[UpstreamFinding]:
    told = []
    for ref in refs:
        head = seen.refs.get(ref)
        if head is None:
            told.append(f"{_kind(ref)} {_short(ref)} is gone")
        elif head != pin.commit:
            told.append(f"{_kind(ref)} {_short(ref)} is at {head[:12]}")
    tags = [_short(ref) for ref in seen.refs if ref.startswith("refs/tags/")]
    new = sorted(set(tags) - set(known_tags)) if known_tags is not None else []
    if new:
        told.append(f"tag {_list(new)} is new")
    if told:
        yield _finding(Reason.UPSTREAM_MOVED, f"{pin.repository} is pinned at {pin.commit[:12]}; {'; '.join(told)}")


def _card(pin: Pin, seen: RepositorySeen, refs: tuple[str, ...]) -> Iterable[UpstreamFinding]:
    then = seen.commits.get(pin.commit)
    if then is not None and _DEFAULT_REF in refs and _CARD in _differing(then, seen.texts):
        yield _finding(Reason.UPSTREAM_CARD_CHANGED, f"the card of {pin.repository} changed since it was pinned")


def _differing(then: Mapping[str, str], now: Mapping[str, str]) -> set[str]:
    return {path for path in then.keys() | now.keys() if then.get(path) != now.get(path)}


def _followed(pin: Pin, seen: RepositorySeen) -> tuple[str, ...]:
    """Return the refs to follow, by their full names: those that pointed at the commit, else the default branch."""
    full = (next((f for f in (ref, f"refs/heads/{ref}", f"refs/tags/{ref}") if f in seen.refs), ref) for ref in pin.refs)
    named = tuple(ref if ref.startswith("refs/") else f"refs/heads/{ref}" for ref in full)
    return tuple(sorted(named, key=lambda ref: (ref != _DEFAULT_REF, ref))) or (_DEFAULT_REF,)


def _short(ref: str) -> str:
    return ref.split("/", 2)[2] if ref.count("/") >= 2 else ref


def _kind(ref: str) -> str:
    return "tag" if ref.startswith("refs/tags/") else "branch"


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def moved(snapshot: Snapshot, status: ModelDeploymentStatus) -> Verdict | None:
    """Return the condition ``UpstreamMoved``: about the declared model; None when nothing is compared."""
    declared = [pin for pin in pins(snapshot, status) if pin.declared]
    if not declared:
        return None
    entries, missing = _entries(declared, status)
    found = [finding for entry in entries for finding in entry.findings or ()]
    changed = [finding for finding in found if finding.reason not in _UNAVAILABLE]
    if changed:
        return _verdict("True", changed)
    gone = [finding for finding in found if finding.reason in (Reason.UPSTREAM_GONE, Reason.UPSTREAM_DISABLED)]
    if gone:
        return _verdict("Unknown", gone)
    if missing:
        return _not_checked(missing)
    heads = (f"{entry.repository} is still at {entry.commit[:12]}" for entry in entries)
    return Verdict("False", Reason.UPSTREAM_UNCHANGED, "; ".join(heads))


def available(snapshot: Snapshot, status: ModelDeploymentStatus) -> Verdict | None:
    """Return the condition ``UpstreamAvailable``: about all live revisions; None when nothing is compared."""
    live = pins(snapshot, status)
    if not live:
        return None
    entries, missing = _entries(live, status)
    found = [finding for entry in entries for finding in entry.findings or () if finding.reason in _UNAVAILABLE]
    affected = {(entry.repository, entry.commit) for entry in entries for f in entry.findings or () if f.reason in _UNAVAILABLE}
    told = _consequence(status, {pin.revision for pin in live if (pin.repository, pin.commit) in affected})
    gone = [finding for finding in found if finding.reason is not Reason.UPSTREAM_GATED]
    spec = snapshot.deployment.spec
    if gone:
        return _verdict("False", gone, after=told)
    if found and (spec is None or spec.serving is None or spec.serving.hub_token is None):
        return _verdict("False", found, after=f"name a token in serving.hubToken; {told}")
    if found:
        return _verdict("Unknown", found, after="the next fetch shows whether the account of serving.hubToken may have it")
    if missing:
        return _not_checked(missing)
    return Verdict("True", Reason.UPSTREAM_AVAILABLE, "every pinned commit is still there")


def _consequence(status: ModelDeploymentStatus, revisions: set[int]) -> str:
    owned = {found.revision for found in status.weights or () if found.kept is WeightsKept.DURABLE}
    if revisions <= owned:
        return "the files are kept in storage of your own: restarts, new nodes and more replicas go on"
    return (
        "running pods go on, and a new pod cannot fetch the files: they are kept nowhere else; "
        "do not restart these pods before the files are in storage of your own"
    )


def _entries(found: Iterable[Pin], status: ModelDeploymentStatus) -> tuple[list[UpstreamSource], list[str]]:
    """Return what is known of the pins, and the repositories of which nothing is."""
    known = {(e.repository, e.commit): e for e in (status.upstream.sources if status.upstream else ())}
    entries = [known.get((pin.repository, pin.commit)) for pin in found]
    missing = [pin.repository for pin, entry in zip(found, entries, strict=True) if entry is None]
    return [entry for entry in entries if entry is not None], missing


def _verdict(status: Literal["True", "False", "Unknown"], found: list[UpstreamFinding], after: str = "") -> Verdict:
    ordered = sorted(found, key=lambda finding: _GRAVITY.index(finding.reason))
    texts = list(dict.fromkeys(finding.message for finding in ordered))
    return Verdict(status, ordered[0].reason, "; ".join([*texts, after] if after else texts))


def _not_checked(repositories: list[str]) -> Verdict:
    return Verdict("Unknown", Reason.UPSTREAM_NOT_CHECKED, f"the Hub was not asked about {repositories[0]} yet")


def notes(before: UpstreamStatus | None, after: UpstreamStatus | None) -> tuple[Note, ...]:
    """Return what to tell of a new ``status.upstream``: each finding once when it appears, and once when all are over."""
    was, now = _by_pin(before), _by_pin(after)
    told: list[Note] = []
    for pin, findings in now.items():
        known = was.get(pin, {})
        told += [
            Note(type="Normal" if reason in _CALM else "Warning", reason=reason, message=message)
            for reason, message in findings.items()
            if reason not in known
        ]
        if known and not findings:
            over = f"{pin[0]} is upstream as it was pinned at {pin[1][:12]} again"
            told.append(Note(type="Normal", reason=Reason.UPSTREAM_UNCHANGED, message=over))
    return tuple(told)


def _by_pin(status: UpstreamStatus | None) -> dict[tuple[str, str], dict[Reason, str]]:
    return {
        (entry.repository, entry.commit): {finding.reason: finding.message for finding in entry.findings or ()}
        for entry in (status.sources if status is not None else ())
    }
