"""Decisions: what people decide, and the copy that outlives the object that carried it."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from holdfast.api.base import ApiModel
from holdfast.api.model import PinDigest
from holdfast.api.rollout import Rollout


class DecisionType(StrEnum):
    """What a person decides."""

    APPROVE = "Approve"
    REJECT = "Reject"
    ABORT = "Abort"
    FALLBACK = "Fallback"
    RESUME = "Resume"


class Gate(StrEnum):
    """Which gate an Approve opens."""

    START = "Start"
    PROMOTE = "Promote"


class FallbackTargetType(StrEnum):
    """Kinds of fallback."""

    LAST_KNOWN_GOOD = "LastKnownGood"
    REVISION = "Revision"
    EXTERNAL = "External"


class Decision(ApiModel):
    """A consumed ModelApproval, copied so that it survives the object's deletion."""

    approval: str = Field(description="Name of the ModelApproval.")
    uid: str
    decision: DecisionType
    gate: Gate | None = None
    request: int | None = None
    base: PinDigest | None = None
    by: str
    reason: str | None = None
    at: datetime
    rollout: Rollout | None = Field(default=None, description="Snapshot of spec.rollout, taken when the start was approved.")
