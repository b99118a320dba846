"""``spec.rollout``: how a candidate gets traffic."""

from typing import Annotated

from pydantic import Field

from holdfast.api.base import ApiModel


class Step(ApiModel):
    """One step of a canary."""

    weight: int = Field(ge=1, le=99, description="Share of users on the candidate, in percent.")
    hold_seconds: int = Field(ge=0, le=2_592_000, description="How long the share is held once it was observed.")


class Stickiness(ApiModel):
    """Which request header names the user that stays on one revision during a canary."""

    header: Annotated[str, Field(pattern=r"^[a-z0-9-]+$", min_length=1, max_length=63)] = Field(
        description="Its name, in lower case."
    )


class Rollout(ApiModel):
    """How a candidate gets traffic. Snapshotted into the revision when its start is approved."""

    steps: list[Step] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="In order; absent means 5 % for 600 s, 25 % for 1800 s, 50 % for 3600 s.",
    )
    stickiness: Stickiness | None = Field(default=None, description="Absent means the header x-user-id.")
    load_deadline_seconds: int | None = Field(
        default=None, ge=10, le=86_400, description="How long a candidate may take to become ready; absent means 2700."
    )
