"""ModelApproval: one person's decision on one request; immutable and used once."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from holdfast.api.base import ApiModel
from holdfast.api.decision import DecisionType, FallbackTo, Gate
from holdfast.api.model import PinDigest
from holdfast.api.reasons import RefusalReason


class Target(ApiModel):
    """What the decision is about: compare-and-swap against the deployment's open request."""

    name: str = Field(min_length=1, max_length=40, description="Name of the ModelDeployment in the same namespace.")
    digest: PinDigest | None = Field(default=None, description="Digest of the request; required but for Fallback.")
    base: PinDigest | None = Field(default=None, description="Digest that served when the decision was made; absent if none did.")
    request: int | None = Field(default=None, ge=1, description="Number of the request; required but for Fallback.")


class Approver(ApiModel):
    """Who decides: must be the user who creates the object."""

    username: str = Field(min_length=1, max_length=512, description="As the cluster knows them: kubectl auth whoami prints it.")


class ModelApprovalSpec(ApiModel):
    """The decision; immutable."""

    decision: DecisionType
    gate: Gate | None = Field(default=None, description="For Approve only.")
    target: Target
    fallback_to: FallbackTo | None = Field(default=None, description="For Fallback only; absent means LastKnownGood.")
    approver: Approver
    reason: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="Why, for those who ask later.")
    ttl_seconds: int | None = Field(default=None, ge=60, le=2_592_000, description="Unused decisions expire; absent means 86400.")


class ApprovalState(StrEnum):
    """What became of the decision."""

    PENDING = "Pending"
    ACCEPTED = "Accepted"
    REFUSED = "Refused"


class ModelApprovalStatus(ApiModel):
    """Written by the operator once."""

    state: ApprovalState | None = None
    reason: RefusalReason | None = None
    message: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="The same for people.")
