"""What a revision remembers: when it became the stable one, and the decisions on it.

A decision that there is no room for stands in its ModelApproval, which never changes.
"""

import json
from datetime import datetime
from typing import Final

from holdfast.api.decision import Decision
from holdfast.api.reasons import Reason
from holdfast.api.revision import DECISIONS_MAX
from holdfast.domain import lookup
from holdfast.domain.plan import Note, WriteRevisionStatus
from holdfast.domain.snapshot import RevisionView, Snapshot

_BYTES: Final = 384 * 1024
"""With the list of files (`holdfast.api.manifest`) the ModelRevision must fit into one request to etcd, which takes 1.5 MiB
(etcd.io, "System limits")."""


def promoted(view: RevisionView, now: datetime, *, since: datetime) -> WriteRevisionStatus | None:
    """Return the write that says that a revision becomes the stable one; None if it says so since that time already."""
    if view.status.promoted_at is not None and view.status.promoted_at >= since:
        return None
    return WriteRevisionStatus(revision=view.spec.number, status=view.status.model_copy(update={"promoted_at": max(now, since)}))


def has_room(view: RevisionView, decision: Decision) -> bool:
    """Say whether a decision can be recorded on a revision. A decision without room is taken all the same."""
    grown = [*(view.status.decisions or []), decision]
    size = sum(len(json.dumps(each.wire(), ensure_ascii=False).encode()) for each in grown)
    return len(grown) <= DECISIONS_MAX and size <= _BYTES


def unrecorded(snapshot: Snapshot, decision: Decision) -> tuple[Note, ...]:
    """Return what to tell of a decision that is being taken and will not be recorded; nothing if it will be."""
    view = lookup.revision(snapshot, decision.revision)
    if view is None or has_room(view, decision):
        return ()
    message = (
        f"the history of revision {decision.revision} is full: this {decision.decision} is on record in ModelApproval"
        f" {decision.approval} only, so keep that"
    )
    return (Note(type="Warning", reason=Reason.HISTORY_FULL, message=message),)
