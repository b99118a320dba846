"""Cases of the rules of a ModelApproval and of a ModelRevision."""

import itertools

from apiserver.crd_cases import Case, one
from apiserver.manifests import (
    ABSENT,
    COMMIT,
    DIGEST,
    OTHER_DIGEST,
    decision,
)

FALLBACK = {"decision": "Fallback", "target": {"name": "chat"}, "approver": {"username": "alice"}}

APPROVAL_CASES = (
    Case(
        kind="ModelApproval",
        message="a settled ModelApproval stays as it is; create a new one",
        before={"status": {"state": "Accepted"}},
        accepts=({"status": {"state": "Accepted"}},),
        refuses=(
            ({"status": {"state": "Pending"}}, "a settled ModelApproval stays as it is"),
            ({"status": {"state": "Refused", "reason": "Expired"}}, "a settled ModelApproval stays as it is"),
            ({"status": {"state": "Accepted", "message": "other"}}, "a settled ModelApproval stays as it is"),
            ({"status": ABSENT}, "a settled ModelApproval stays as it is"),
            ({"status": {}}, "a settled ModelApproval stays as it is"),
        ),
    ),
    Case(
        kind="ModelApproval",
        message="a ModelApproval is never changed; create a new one: holdfast approve, reject, abort, fallback or resume",
        before={"spec.reason": "eval report 118"},
        accepts=({"spec.reason": "eval report 118"},),
        refuses=(
            ({"spec.reason": "another"}, "a ModelApproval is never changed"),
            ({"spec.gate": "Promote"}, "a ModelApproval is never changed"),
            ({"spec.reason": ABSENT}, "a ModelApproval is never changed"),
            ({"spec.target.digest": OTHER_DIGEST}, "a ModelApproval is never changed"),
        ),
    ),
    Case(
        kind="ModelApproval",
        message="an Approve names its gate, Start or Promote; other decisions have no gate",
        accepts=({"spec.gate": "Promote"}, {"spec.decision": "Reject", "spec.gate": ABSENT}),
        refuses=(
            ({"spec.gate": ABSENT}, "an Approve names its gate"),
            ({"spec.decision": "Reject"}, "other decisions have no gate"),
        ),
    ),
    one(
        "ModelApproval",
        "only a Fallback has fallbackTo",
        {"spec": {**FALLBACK, "fallbackTo": {"type": "LastKnownGood"}}},
        {"spec.fallbackTo": {"type": "LastKnownGood"}},
    ),
    Case(
        kind="ModelApproval",
        message="a decision names the digest and the number of the request it answers: holdfast status prints both",
        accepts=({"spec": FALLBACK}, {"spec.target": {"name": "chat", "digest": DIGEST, "request": 3}}),
        refuses=tuple(
            (
                {"spec.decision": name, "spec.gate": "Start" if name == "Approve" else ABSENT, field: ABSENT},
                "a decision names the digest",
            )
            for name, field in itertools.product(
                ("Approve", "Reject", "Abort", "Resume"), ("spec.target.digest", "spec.target.request")
            )
        ),
    ),
    Case(
        kind="ModelApproval",
        message="type Revision names a revision, and no other type does",
        accepts=({"spec": {**FALLBACK, "fallbackTo": {"type": "Revision", "revision": 3}}},),
        refuses=(
            ({"spec": {**FALLBACK, "fallbackTo": {"type": "Revision"}}}, "type Revision names a revision"),
            ({"spec": {**FALLBACK, "fallbackTo": {"type": "LastKnownGood", "revision": 3}}}, "no other type does"),
        ),
    ),
    Case(
        kind="ModelApproval",
        message="type External names an entry of spec.fallback.external, and no other type does",
        accepts=({"spec": {**FALLBACK, "fallbackTo": {"type": "External", "external": "other"}}},),
        refuses=(
            ({"spec": {**FALLBACK, "fallbackTo": {"type": "External"}}}, "type External names an entry"),
            ({"spec": {**FALLBACK, "fallbackTo": {"type": "LastKnownGood", "external": "other"}}}, "no other type does"),
        ),
    ),
    one(
        "ModelApproval",
        "not the digest of a request; write v1: and 64 hex digits: holdfast status prints it",
        {"spec.target.digest": OTHER_DIGEST},
        {"spec.target.digest": "v2:abc"},
    ),
    one(
        "ModelApproval",
        "not the digest of a revision; write v1: and 64 hex digits: holdfast status prints it",
        {"spec.target.base": OTHER_DIGEST},
        {"spec.target.base": COMMIT},
    ),
)

FIRST, SECOND = decision("one"), decision("two", decision="Abort", gate=None)
SECOND.pop("gate")

REVISION_CASES = (
    Case(
        kind="ModelRevision",
        message="a ModelRevision is named after its deployment and its number",
        accepts=({"metadata.name": "chat-12", "spec.number": 12},),
        refuses=(
            ({"metadata.name": "chat-2"}, "is named after its deployment"),
            ({"metadata.name": "other-1"}, "is named after its deployment"),
            ({"metadata.name": "chat-01"}, "is named after its deployment"),
            ({"metadata.name": "chat"}, "is named after its deployment"),
        ),
    ),
    Case(
        kind="ModelRevision",
        message="decisions are only ever added, at the end",
        before={"status": {"decisions": [FIRST, SECOND]}},
        accepts=({"status": {"decisions": [FIRST, SECOND, decision("three")]}},),
        refuses=(
            ({"status": {"decisions": [FIRST]}}, "decisions are only ever added"),
            ({"status": {"decisions": [SECOND, FIRST]}}, "decisions are only ever added"),
            ({"status": {"decisions": [decision("one", by="mallory"), SECOND]}}, "decisions are only ever added"),
            ({"status": {"decisions": [decision("three"), FIRST, SECOND]}}, "decisions are only ever added"),
            ({"status": {}}, "decisions are only ever added"),
            ({"status": ABSENT}, "decisions are only ever added"),
        ),
    ),
    Case(
        kind="ModelRevision",
        message="promotedAt only moves forward",
        before={"status": {"promotedAt": "2026-11-21T06:00:00Z"}},
        accepts=(
            {"status": {"promotedAt": "2026-11-21T06:00:00Z", "decisions": [FIRST]}},
            {"status": {"promotedAt": "2026-11-21T06:00:00.5Z"}},
        ),
        refuses=(
            ({"status": {"promotedAt": "2026-11-21T05:59:59.9Z"}}, "promotedAt only moves forward"),
            ({"status": {}}, "promotedAt only moves forward"),
            ({"status": ABSENT}, "promotedAt only moves forward"),
        ),
    ),
    Case(
        kind="ModelRevision",
        message="a ModelRevision is never changed; a change of spec.model makes a new one",
        before={"spec.number": 1},
        accepts=({"metadata.annotations": {"example.com/note": "read"}},),
        refuses=(
            ({"spec.digest": OTHER_DIGEST}, "a ModelRevision is never changed"),
            ({"spec.model.engine.args": ["--enforce-eager"]}, "a ModelRevision is never changed"),
            ({"spec.model.source.files": [{"path": "a", "size": 1, "sha256": "6" * 64}]}, "a ModelRevision is never changed"),
        ),
    ),
)
