"""ModelDeployment: the desired state, written by people and Git. The operator writes its status only."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from holdfast.api.base import ApiModel
from holdfast.api.decision import Decision, FallbackTargetType
from holdfast.api.model import Model, PinDigest, Sha256Digest
from holdfast.api.reasons import ConditionType, Phase, Reason
from holdfast.api.rollout import Rollout

Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$", max_length=32)]
ResourceName = Annotated[str, Field(min_length=1, max_length=128)]
LabelText = Annotated[str, Field(max_length=317)]


class Accelerator(ApiModel):
    """The accelerators of one replica."""

    resource: ResourceName = Field(description="Extended resource, such as nvidia.com/gpu.")
    count: int = Field(ge=1, le=64, description="How many, for each replica.")
    product: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        default=None, description="Value of the node label nvidia.com/gpu.product."
    )


class Resources(ApiModel):
    """Compute resources of one engine container."""

    requests: dict[ResourceName, Quantity] | None = Field(
        default=None, max_length=16, description="What is set aside, by resource: cpu, memory, ephemeral-storage."
    )
    limits: dict[ResourceName, Quantity] | None = Field(default=None, max_length=16, description="What is never exceeded.")


class Toleration(ApiModel):
    """A pod toleration (core/v1)."""

    key: LabelText | None = Field(default=None, description="Key of the taint; absent, with operator Exists, means every taint.")
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="Absent means Equal.")
    value: LabelText | None = Field(default=None, description="Value of the taint, for operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; absent means every effect."
    )
    toleration_seconds: int | None = Field(
        default=None, ge=0, le=31_536_000, description="With NoExecute: how long the taint is tolerated; absent means for ever."
    )


class Scheduling(ApiModel):
    """Where pods may run."""

    node_selector: dict[LabelText, LabelText] | None = Field(
        default=None, max_length=32, description="Labels that a node must have."
    )
    tolerations: list[Toleration] | None = Field(default=None, max_length=32, description="Taints that pods may stand.")
    priority_class_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Name of the PriorityClass of the pods."
    )


class CacheType(StrEnum):
    """Where verified weights are kept."""

    EMPTY_DIR = "EmptyDir"  # with the pod: every new pod fetches
    PERSISTENT_VOLUME_CLAIM = (
        "PersistentVolumeClaim"  # fetched once by a Job; the pods read it. Node-local storage: a node's cache
    )
    IMAGE = "Image"  # sources of kind oci are image volumes, which the nodes pull by digest
    VOLUME = "Volume"  # every source is a volume of the owner; nothing is fetched


class Verification(StrEnum):
    """How often the bytes of a cache are hashed again. At the fetch they always are."""

    ALWAYS = "Always"  # at each start of a pod
    ON_NODE = "OnNode"  # at the first use after each boot of a node; then by size, times and inode against a seal
    ON_FETCH = "OnFetch"  # never again: by size, times and inode against a seal


class Unused(StrEnum):
    """What becomes of files in the claim of the cache that no ModelRevision names."""

    KEEP = "Keep"
    DELETE = "Delete"


class Cache(ApiModel):
    """Where verified weights are kept between pods. Absent means EmptyDir."""

    type: CacheType
    size: Quantity | None = Field(default=None, description="Required for PersistentVolumeClaim.")
    storage_class_name: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None, description="Of the claim; absent means the cluster's default class."
    )
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] | None = Field(
        default=None, description="Of the claim; absent means ReadWriteOnce, with which all pods run on one node."
    )
    verify: Verification | None = Field(default=None, description="When pods hash the cache again; absent means OnNode.")
    unused: Unused | None = Field(
        default=None,
        description="What the Job that fetches does with files in the claim that no ModelRevision names; absent means Keep.",
    )


class Retention(StrEnum):
    """What becomes of the claim of the cache when its ModelDeployment is deleted."""

    KEEP = "Keep"
    DELETE = "Delete"


class SecretKey(ApiModel):
    """One key of a Secret in the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="Name of the Secret.")
    key: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="Key in its data.")


class SecretName(ApiModel):
    """A Secret in the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="Name of the Secret.")


class Serving(ApiModel):
    """How much of the model, and where. Not identity: it changes without approval."""

    replicas: int | None = Field(default=None, ge=0, le=1000, description="Pods of the stable revision; absent means 1.")
    accelerator: Accelerator | None = None
    resources: Resources | None = None
    scheduling: Scheduling | None = None
    cache: Cache | None = None
    retention: Retention | None = Field(
        default=None, description="What becomes of the cache's claim when the ModelDeployment is deleted; absent means Keep."
    )
    mirror: str | None = Field(
        default=None,
        pattern=r"^https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$",
        max_length=512,
        description="URL of your own copy of the sources, with their paths: pods ask it and nobody else. Bytes are verified all the same.",
    )
    registry_credentials: SecretName | None = Field(
        default=None,
        description="Secret of type kubernetes.io/dockerconfigjson, for the engine's image and for sources in a registry.",
    )
    hub_token: SecretKey | None = Field(default=None, description="Token with which pods fetch a gated or private repository.")
    drain_seconds: int | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="How long a revision that lost its traffic may finish its streams; absent means 30.",
    )


class ExternalFallback(ApiModel):
    """An OpenAI-compatible endpoint outside the cluster."""

    name: Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$", max_length=40)] = Field(
        description="What people call it in a Fallback decision."
    )
    url: str = Field(
        pattern=r"^https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$",
        max_length=512,
        description="Base URL; /v1 of the request is replaced by its path.",
    )
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$", max_length=128)] | None = Field(
        default=None, description="Model name to send there; absent means the name that the client sent."
    )


class Fallback(ApiModel):
    """What people may fall back to."""

    external: list[ExternalFallback] | None = Field(
        default=None, max_length=4, description="Endpoints that a Fallback decision may name."
    )
    standby_replicas: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Pods of the last known good revision kept warm; absent means as many as serving.replicas.",
    )


class UpstreamCheck(ApiModel):
    """How what is published upstream is compared with what is pinned. It informs people and moves nothing."""

    check_seconds: int | None = Field(
        default=None,
        ge=0,
        le=2_592_000,
        description="Seconds between checks of a repository; 0 means never, absent means 21600. Many checks share a budget.",
    )


class ModelDeploymentSpec(ApiModel):
    """Desired state."""

    model: Model
    serving: Serving | None = None
    rollout: Rollout | None = None
    fallback: Fallback | None = None
    upstream: UpstreamCheck | None = None


class Condition(ApiModel):
    """A condition as in meta/v1, with the closed vocabulary of Holdfast."""

    type: ConditionType
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: int | None = Field(default=None, description="metadata.generation that this was said about.")
    last_transition_time: datetime = Field(description="When status last changed.")
    reason: Reason
    message: Annotated[str, Field(max_length=1024)] = Field(description="The same for people.")


class RevisionRole(ApiModel):
    """A revision in the role that the field's name tells."""

    revision: int = Field(description="Its number.")
    digest: PinDigest = Field(description="Its digest.")
    approved_by: Annotated[str, Field(max_length=512)] | None = Field(default=None, description="Who approved it.")


class Candidate(ApiModel):
    """The revision that is being tried."""

    revision: int = Field(description="Its number.")
    digest: PinDigest = Field(description="Its digest.")
    started_at: datetime = Field(description="When its start was approved.")
    ready_at: datetime | None = Field(default=None, description="When its pods were first ready.")
    unready_since: datetime | None = Field(default=None, description="Since when it has no ready pod though it takes traffic.")
    step: int | None = Field(default=None, description="Index into the steps of the revision's snapshot, from 0.")
    step_entered_at: datetime | None = Field(
        default=None, description="When every gateway pod was first seen with the step's weight."
    )
    weight_intent: int = Field(default=0, ge=0, le=10000, description="Parts of 10000 that the gateway was told.")
    weight_observed: int = Field(default=0, ge=0, le=10000, description="Parts of 10000 that every gateway pod reported.")
    failed: Reason | None = Field(default=None, description="Why it is being aborted.")
    failed_message: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="The same for people.")


class RequestState(StrEnum):
    """What became of a request."""

    OPEN = "Open"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    WITHDRAWN = "Withdrawn"
    ABORTED = "Aborted"
    PROMOTED = "Promoted"


class Request(ApiModel):
    """The open question to the owner: may this digest replace that one?"""

    number: int = Field(ge=1, description="Counts the requests of this ModelDeployment; a decision names it.")
    digest: PinDigest = Field(description="Digest that is asked for; a decision names it.")
    revision: int = Field(description="Number of the revision that is asked for.")
    base: PinDigest | None = Field(default=None, description="Digest that serves now; absent when nothing serves yet.")
    state: RequestState
    reason: Reason | None = Field(default=None, description="Why it ended, once it did.")
    message: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="The same for people.")


class FallbackStatus(ApiModel):
    """A fallback in force."""

    type: FallbackTargetType
    revision: int | None = Field(default=None, description="Number of the revision that answers.")
    external: Annotated[str, Field(max_length=40)] | None = Field(default=None, description="Name of the endpoint that answers.")
    since: datetime = Field(description="When it was decided.")
    by: Annotated[str, Field(max_length=512)] = Field(description="Who decided it.")
    reason: Annotated[str, Field(max_length=1024)] = Field(description="Why, in the person's words.")
    approval: Annotated[str, Field(max_length=253)] = Field(description="Name of the ModelApproval.")
    observed: bool = Field(default=False, description="Whether every gateway pod reported it.")


class Desired(ApiModel):
    """The digest of spec.model, once it is resolved."""

    declared: Sha256Digest = Field(description="sha256 of the canonical JSON of the spec.model that was resolved.")
    digest: PinDigest = Field(description="Its digest.")
    revision: int = Field(description="Number of its revision.")


class WeightsKept(StrEnum):
    """Whose the bytes are that new pods start from."""

    DURABLE = "Durable"  # the owner's: whatever happens upstream, new pods start
    UPSTREAM = "Upstream"  # a Hub's or a registry's: when it has them no more, no new pod starts


class RevisionWeights(ApiModel):
    """The bytes of a revision that may serve."""

    revision: int = Field(description="Its number.")
    kept: WeightsKept
    message: Annotated[str, Field(max_length=512)] = Field(description="Where, for people.")


class UpstreamFinding(ApiModel):
    """Something upstream that is no longer as it was pinned."""

    reason: Reason
    message: Annotated[str, Field(max_length=512)] = Field(description="The same for people.")


class UpstreamSource(ApiModel):
    """A pinned repository as the Hub showed it last."""

    repository: Annotated[str, Field(max_length=193)] = Field(description="Owner and name of the repository.")
    commit: Annotated[str, Field(max_length=40)] = Field(description="Commit that is pinned.")
    ref: Annotated[str, Field(max_length=256)] | None = Field(default=None, description="Branch or tag that is followed.")
    head: Annotated[str, Field(max_length=40)] | None = Field(default=None, description="Commit that ref means now.")
    license: Annotated[str, Field(max_length=256)] | None = Field(default=None, description="Identifier in the card now.")
    known_tags: list[Annotated[str, Field(max_length=256)]] | None = Field(
        default=None, max_length=64, description="Tags when this commit was first compared; absent when there were more than 64."
    )
    findings: list[UpstreamFinding] | None = Field(default=None, max_length=16, description="What is no longer as it was.")


class UpstreamStatus(ApiModel):
    """What is published upstream, compared with what is pinned."""

    observed_at: datetime = Field(description="When it was first seen so; a check that finds nothing new is not written down.")
    sources: list[UpstreamSource] = Field(max_length=64, description="One entry for each repository and commit.")


class ModelDeploymentStatus(ApiModel):
    """Observed state; written by the operator only."""

    observed_generation: int | None = Field(default=None, description="metadata.generation that this was said about.")
    phase: Phase | None = None
    message: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="What is going on, for people.")
    url: Annotated[str, Field(max_length=512)] | None = Field(
        default=None, description="Where clients inside the cluster send requests."
    )
    desired: Desired | None = None
    stable: RevisionRole | None = None
    last_known_good: RevisionRole | None = None
    candidate: Candidate | None = None
    request: Request | None = None
    fallback: FallbackStatus | None = None
    last_decision: Decision | None = Field(
        default=None, description="The decision taken last; copied into its revision, then the ModelApproval is settled."
    )
    draining_since: datetime | None = Field(default=None, description="Since when the old revision finishes its streams.")
    ready_replicas: int | None = Field(default=None, description="Ready pods of the stable revision.")
    weights: list[RevisionWeights] | None = Field(
        default=None,
        max_length=8,
        description="Where the bytes of each revision that serves, may serve soon or is proposed are kept.",
    )
    upstream: UpstreamStatus | None = Field(default=None, description="What is published upstream now.")
    conditions: list[Condition] | None = Field(
        default=None,
        max_length=16,
        description="Ready, Approved, Pinned, Durable, Fallback, UpstreamMoved, UpstreamAvailable, Reconciling, Stalled.",
    )
