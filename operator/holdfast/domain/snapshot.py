"""Everything that a decision about one ModelDeployment may look at, frozen.

The controller fills these views from its mirror; tests build them by hand. Nothing in them is a wire object, so a decision
cannot depend on a detail that was not observed on purpose.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from holdfast.api.approval import ModelApprovalSpec, ModelApprovalStatus
from holdfast.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus
from holdfast.api.names import Key
from holdfast.api.reasons import Reason
from holdfast.api.revision import ModelRevisionSpec, ModelRevisionStatus, Recorded, ResolvedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """The parts of metadata that decisions use."""

    key: Key
    uid: str
    resource_version: str
    generation: int
    created: datetime
    deleting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentView:
    """A ModelDeployment. `spec` is None when it could not be read; `invalid` then says what is wrong and where."""

    meta: Meta
    spec: ModelDeploymentSpec | None
    status: ModelDeploymentStatus
    invalid: str | None = None
    verify: str | None = None
    """The word with which somebody asked that all pods hash their bytes anew (`holdfast.api.names.ANNOTATION_VERIFY`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionView:
    """A ModelRevision of this deployment."""

    meta: Meta
    spec: ModelRevisionSpec
    status: ModelRevisionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalView:
    """A ModelApproval that targets this deployment."""

    meta: Meta
    spec: ModelApprovalSpec
    status: ModelApprovalStatus


Shape = tuple[tuple[str, str], ...]
"""What is compared of a pod's spec: fields, each with a digest of its value (`holdfast.domain.drift.shape`)."""


class WeightsState(StrEnum):
    """What a pod's weights container last reported."""

    WAITING = "Waiting"
    RUNNING = "Running"
    VERIFIED = "Verified"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """A pod of an engine, or of a Job that fetches for it."""

    name: str
    uid: str
    revision: int
    ready: bool
    deleting: bool = False
    weights: WeightsState = WeightsState.WAITING
    weights_reason: Reason | None = None
    weights_message: str = ""
    verify: str | None = None
    """The word with which it was last told to hash its bytes anew."""
    way_out: bool = False
    """Label: whether its NetworkPolicy lets it reach the sources of its files."""
    fetches: bool = False
    """Whether it fetches for itself and is not done with that, and its engine does not run."""
    cache_failed_at: datetime | None = None
    """When the container that looks into the cache failed; None if it did not, or for another container's failure."""
    image_id: str | None = None
    """Image of the engine as the node reports it."""
    shape: Shape | None = None
    mismatch: str | None = None
    """What the sidecar found wrong with the engine's own report, or with the bytes that it reads."""
    mismatch_reason: Reason = Reason.ENGINE_MISMATCH
    """Which of the two."""
    quarantine: str | None = None
    """Annotation: why the pod may get no requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineView:
    """What lives of a revision. Without a Deployment all counts are 0; so are those of an outdated observation, never ready."""

    revision: int
    replicas: int
    ready_replicas: int
    shape: Shape | None = None
    """Of its pods' template."""
    settled: bool = False
    """Whether every pod is of the current template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchView:
    """The Job that fetches the files of a revision into the claim of the cache."""

    revision: int
    created: datetime
    succeeded: bool = False
    ended_at: datetime | None = None
    """When it succeeded or, long after its pods were first restarted, was given up; None while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayReport:
    """What one gateway pod said that it has in force."""

    pod: str
    """The pod's uid."""
    serial: int
    """Serial of the publication in which the route that the pod answers by was last changed; 0 if it knows none."""
    arms: Mapping[str, int] = field(default_factory=dict)
    """The route of this deployment that the pod answers by, as `Published.arms`."""
    silent: bool = False
    """Whether the pod did not answer when it was last asked: this is what it said before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The route of this deployment as last written to the gateway's configuration.

    `serial` is the serial at which these arms were first published: a pod that reports it or a later one has them.
    """

    serial: int
    arms: Mapping[str, int]
    """Parts of 10000 by arm: a revision's number as text, or ``external/NAME``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayView:
    """The gateway of the namespace, as far as this deployment is concerned."""

    ready_pods: frozenset[str] = frozenset()
    """uids of the gateway pods that are ready: these may receive requests."""
    other_pods: frozenset[str] = frozenset()
    """uids of the gateway pods that run but are unready or leaving: no new connections, but requests on those that they hold."""
    starting_pods: frozenset[str] = frozenset()
    """uids of the pods that are on a node and do not run, yet or again: they begin with the route that they were given there."""
    reports: tuple[GatewayReport, ...] = ()
    published: Published | None = None
    coming: tuple[Mapping[str, int], ...] = ()
    """Other routes that are being written, or were and nobody knows whether they are in force; as `Published.arms`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The Hub's answer for one declared model."""

    declared: str
    model: ResolvedModel
    recorded: Recorded | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionFailed:
    """Why the declared model could not be resolved, and when to ask again."""

    declared: str
    reason: Reason
    message: str
    retry_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositorySeen:
    """A repository as the Hub showed it when it was last asked."""

    name: str
    """What the Hub calls it; another name than asked for when it was renamed."""
    gated: bool = False
    license: str | None = None
    """Identifier in the card of the default branch."""
    refs: Mapping[str, str] = field(default_factory=dict)
    """Commits by the full names of branches and tags, such as ``refs/heads/main``."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """git's hashes of the card and of files with terms on the default branch, by path."""
    commits: Mapping[str, Mapping[str, str] | None] = field(default_factory=dict)
    """The same for each pinned commit that was asked for; None for one that is not there any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryMissing:
    """A repository that the Hub did not show when it was last asked."""

    disabled: bool = False
    """Whether the Hub says that it disabled it; else it is deleted, or hidden from the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What keeps everything but decisions of people from going on: a bug of ours, or a refusal of the API server."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator itself brings into a new revision."""

    render_version: int
    weights_image: str
    hub_endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One moment of one ModelDeployment and its world."""

    deployment: DeploymentView
    settings: Settings
    revisions: tuple[RevisionView, ...] = ()
    approvals: tuple[ApprovalView, ...] = ()
    engines: tuple[EngineView, ...] = ()
    pods: tuple[PodView, ...] = ()
    fetches: tuple[FetchView, ...] = ()
    fetchers: tuple[PodView, ...] = ()
    """The pods of the Jobs behind `fetches`; they serve nothing."""
    claim_created: datetime | None = None
    """When the claim of the cache was made; None while there is none."""
    gateway: GatewayView = GatewayView()
    resolution: Resolved | ResolutionFailed | None = None
    upstream: Mapping[str, RepositorySeen | RepositoryMissing] = field(default_factory=dict)
    """What the Hub said last about pinned repositories, by their pinned names; it informs and decides nothing."""
    conflicts: tuple[str, ...] = ()
    """Names of objects that stand where a child belongs and are not ours."""
    refused: tuple[str, ...] = ()
    """What the API server says about children that it does not accept, such as an exceeded quota."""
    stopped: Stopped | None = None
    """What ended the last visit; None if it came to its end."""
