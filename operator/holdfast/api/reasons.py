"""Conditions, phases and reasons. One `Reason` serves condition, Event, metric label and command line."""

from enum import StrEnum


class Phase(StrEnum):
    """Where a change is in its life (``status.phase``)."""

    PENDING = "Pending"  # the desired model is not resolved yet and nothing serves
    AWAITING_APPROVAL = "AwaitingApproval"
    PREPARING = "Preparing"
    SHIFTING = "Shifting"
    SOAKING = "Soaking"
    AWAITING_PROMOTION = "AwaitingPromotion"
    PROMOTING = "Promoting"
    DRAINING = "Draining"
    STABLE = "Stable"
    ABORTING = "Aborting"
    ABORTED = "Aborted"
    FALLBACK = "Fallback"


class ConditionType(StrEnum):
    """Types of ``status.conditions`` of a ModelDeployment."""

    READY = "Ready"
    """The approved stable revision (or the chosen fallback) was observed to serve."""
    APPROVED = "Approved"
    """The desired digest is one that a person accepted."""
    PINNED = "Pinned"
    """The desired model is resolved to exact bytes, and every pod's bytes were verified against it."""
    DURABLE = "Durable"
    """The bytes of every revision with a role are in the owner's storage, so that new pods start whatever happens upstream."""
    FALLBACK = "Fallback"
    """A person sent all traffic elsewhere."""
    UPSTREAM_MOVED = "UpstreamMoved"
    """What is published under the pinned model's name is no longer what was pinned. It informs and moves nothing."""
    UPSTREAM_AVAILABLE = "UpstreamAvailable"
    """Everything that the live revisions are made of could be fetched again. It informs and moves nothing."""
    RECONCILING = "Reconciling"
    """The operator is working and has a deadline (kstatus: absent otherwise)."""
    STALLED = "Stalled"
    """Nothing will move without a person, because something failed (kstatus: absent otherwise)."""


class Reason(StrEnum):
    """Why a condition has its status. The same word is the Event's reason, the metric's label and the command line's text."""

    # Ready
    SERVING = "Serving"
    NOT_SERVING = "NotServing"
    NOTHING_APPROVED = "NothingApproved"
    # Approved
    APPROVED = "Approved"
    AWAITING_OWNER = "AwaitingOwner"
    REJECTED = "Rejected"
    # Pinned
    VERIFIED = "Verified"
    VERIFYING = "Verifying"
    RESOLVING = "Resolving"
    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_FORBIDDEN = "SourceForbidden"
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    SOURCE_MISMATCH = "SourceMismatch"
    WEIGHTS_MISMATCH = "WeightsMismatch"
    WEIGHTS_UNAVAILABLE = "WeightsUnavailable"
    ENGINE_MISMATCH = "EngineMismatch"
    POD_DRIFTED = "PodDrifted"
    # Durable
    WEIGHTS_OWNED = "WeightsOwned"
    WEIGHTS_UPSTREAM = "WeightsUpstream"
    # UpstreamMoved and UpstreamAvailable
    UPSTREAM_UNCHANGED = "UpstreamUnchanged"
    UPSTREAM_AVAILABLE = "UpstreamAvailable"
    UPSTREAM_NOT_CHECKED = "UpstreamNotChecked"
    UPSTREAM_MOVED = "UpstreamMoved"
    UPSTREAM_RENAMED = "UpstreamRenamed"
    UPSTREAM_CARD_CHANGED = "UpstreamCardChanged"
    UPSTREAM_LICENSE_CHANGED = "UpstreamLicenseChanged"
    UPSTREAM_GATED = "UpstreamGated"
    UPSTREAM_DISABLED = "UpstreamDisabled"
    UPSTREAM_GONE = "UpstreamGone"
    # life of a change
    PROPOSED = "Proposed"
    WITHDRAWN = "Withdrawn"
    STARTED = "Started"
    CANDIDATE_READY = "CandidateReady"
    STEP_REACHED = "StepReached"
    SOAKED = "Soaked"
    PROMOTION_APPROVED = "PromotionApproved"
    PROMOTED = "Promoted"
    DRAINED = "Drained"
    ABORTED_BY_PERSON = "AbortedByPerson"
    SUPERSEDED = "Superseded"
    CANDIDATE_NEVER_READY = "CandidateNeverReady"
    CANDIDATE_FAILED = "CandidateFailed"
    ABORTED = "Aborted"
    RETRIED = "Retried"
    RESTORED = "Restored"
    HISTORY_FULL = "HistoryFull"
    # fallback
    FELL_BACK = "FellBack"
    RESUMED = "Resumed"
    FALLBACK_ACTIVE = "FallbackActive"
    NO_FALLBACK = "NoFallback"
    # trouble
    INVALID_SPEC = "InvalidSpec"
    NAME_CONFLICT = "NameConflict"
    CHILD_REFUSED = "ChildRefused"
    PROPAGATING = "Propagating"
    PROGRESSING = "Progressing"
    INTERNAL_ERROR = "InternalError"


class RefusalReason(StrEnum):
    """Why the operator refused a ModelApproval (``status.reason`` of the approval)."""

    EXPIRED = "Expired"
    OTHER_DIGEST = "OtherDigest"
    OTHER_BASE = "OtherBase"
    OTHER_REQUEST = "OtherRequest"
    NOTHING_TO_DECIDE = "NothingToDecide"
    WRONG_GATE = "WrongGate"
    NO_SUCH_FALLBACK = "NoSuchFallback"
