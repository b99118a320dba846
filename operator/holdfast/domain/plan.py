"""What a decision asks for: at most one write of an API object, then the engines that should run.

A write changes what the next decision sees, so the controller carries out one, looks again, and decides again; the children are
made to match only when no write is left. Intent is therefore always persisted before its effect.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from holdfast.api.approval import ModelApprovalStatus
from holdfast.api.deployment import ModelDeploymentStatus
from holdfast.api.reasons import Reason
from holdfast.api.revision import ModelRevisionSpec, ModelRevisionStatus
from holdfast.domain.drift import Drift


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """An Event about the ModelDeployment, recorded once when the write that carries it succeeded."""

    type: Literal["Normal", "Warning"]
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRevision:
    """Create a ModelRevision (POST; a conflict means that the mirror is behind)."""

    spec: ModelRevisionSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRevisionStatus:
    """Replace a ModelRevision's status, on the resourceVersion that was seen."""

    revision: int
    status: ModelRevisionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleApproval:
    """Write what became of a ModelApproval, on the resourceVersion that was seen."""

    name: str
    status: ModelApprovalStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteStatus:
    """Replace the ModelDeployment's status, on the resourceVersion that was seen."""

    status: ModelDeploymentStatus
    notes: tuple[Note, ...] = ()


Write = CreateRevision | WriteRevisionStatus | SettleApproval | WriteStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineIntent:
    """A revision that should run, with this many pods."""

    revision: int
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The outcome of a decision."""

    write: Write | None = None
    person: bool = False
    """Whether the write is about what a person decided: nothing else comes before it."""
    resolve: bool = False
    """Ask the Hub for the files of the declared model."""
    engines: tuple[EngineIntent, ...] = ()
    """Revisions to run. What runs and is in neither tuple is left alone."""
    remove: tuple[int, ...] = ()
    """Revisions that run and no longer may: no gateway pod can route to them."""
    renew: tuple[int, ...] = ()
    """Revisions whose Job is deleted, so that another one fetches their files."""
    quarantine: tuple[Drift, ...] = ()
    """Pods that are not what was approved: they may get no further request."""
    wake_at: datetime | None = None
    """When to decide again though nothing changed."""
