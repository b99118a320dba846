"""What the controller tells about its own work; `holdfast.metrics` counts it."""

from datetime import datetime, timedelta
from typing import Literal

from holdfast.api.decision import Gate
from holdfast.api.deployment import ModelDeploymentStatus
from holdfast.api.names import Key
from holdfast.api.reasons import Reason, RefusalReason

Outcome = Literal["Settled", "Waiting", "Rejected", "Transient", "InternalError"]
"""How a reconcile ended: by the kinds of `holdfast.cluster.errors`."""


class Observer:
    """Hears of everything and does nothing; a subclass overrides what it counts."""

    def reconciled(self, what: Literal["deployment", "gateway"], outcome: Outcome, seconds: float) -> None:
        """A reconcile ended after so many seconds."""

    def moved(self, reason: Reason) -> None:
        """A transition was persisted."""

    def deployment(self, key: Key, status: ModelDeploymentStatus | None) -> None:
        """A ModelDeployment was seen with this status; None when it is gone."""

    def gate_passed(self, gate: Gate, waited: timedelta) -> None:
        """A person opened a gate that had waited so long."""

    def fell_back(self, took: timedelta) -> None:
        """Every gateway pod was seen with the fallback, so long after it was decided."""

    def refused(self, reason: RefusalReason) -> None:
        """A ModelApproval was refused."""

    def resolved(self, outcome: str) -> None:
        """The Hub was asked; the outcome is ``Resolved``, ``Cancelled`` or a `Reason`."""

    def upstream_checked(self, outcome: str, requests: int, at: datetime | None) -> None:
        """The Hub was asked what it publishes; the outcome is ``Checked`` or a `Reason`, and `at` is the time of an answer."""

    def quarantined(self, reason: Reason) -> None:
        """A pod that is not what was approved was taken out of traffic."""

    def weights_failed(self, reason: Reason) -> None:
        """The weights container of a pod reported a failure."""
