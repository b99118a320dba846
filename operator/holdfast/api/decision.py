"""Decisions: what people decide, and the copy that outlives the object that carried it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

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


class FallbackTo(ApiModel):
    """Where a Fallback sends all traffic."""

    type: FallbackTargetType
    revision: int | None = Field(default=None, ge=1, description="For Revision: a number that was once promoted.")
    external: str | None = Field(default=None, max_length=40, description="For External: a name under spec.fallback.external.")


class Decision(ApiModel):
    """A consumed ModelApproval, copied so that it survives the object's deletion."""

    approval: Annotated[str, Field(max_length=253)] = Field(description="Name of the ModelApproval.")
    uid: Annotated[str, Field(max_length=64)] = Field(description="uid of the ModelApproval; a decision is used once.")
    revision: int = Field(description="Number of the revision that it is recorded on.")
    decision: DecisionType
    gate: Gate | None = None
    request: int | None = Field(default=None, description="Number of the request that it answers.")
    base: PinDigest | None = Field(default=None, description="Digest that served when it was taken.")
    by: Annotated[str, Field(max_length=512)] = Field(description="Who took it.")
    reason: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="Why, in the person's words.")
    at: datetime = Field(description="When it was accepted.")
    fallback_to: FallbackTo | None = Field(default=None, description="Where a Fallback sent all traffic.")
    rollout: Rollout | None = Field(default=None, description="Snapshot of spec.rollout, taken when the start was approved.")
