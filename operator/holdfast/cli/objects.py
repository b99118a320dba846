"""Objects from the API server, read into our models.

What only informs is read leniently, so that this command line goes on working beside a newer operator. What a person is about to
approve is read strictly: a field that is not understood is a difference that would not be shown.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from holdfast.api.approval import ModelApprovalStatus
from holdfast.api.base import ApiModel
from holdfast.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus
from holdfast.api.names import revision_name
from holdfast.api.revision import ModelRevisionSpec, ModelRevisionStatus
from holdfast.cli.cluster import Cluster
from holdfast.cli.exits import CommandError, ExitCode
from holdfast.cli.malformed import finding
from holdfast.domain.pin import pin_digest

_Model = TypeVar("_Model", bound=ApiModel)
_TIME: TypeAdapter[datetime] = TypeAdapter(datetime)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A ModelDeployment. `spec` is None when this version cannot read it."""

    name: str
    namespace: str
    generation: int
    spec: ModelDeploymentSpec | None
    status: ModelDeploymentStatus
    raw_status: dict[str, Any]

    @property
    def behind(self) -> bool:
        """Whether the operator has not looked at the latest spec yet."""
        return self.status.observed_generation != self.generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A ModelRevision."""

    created: datetime
    spec: ModelRevisionSpec
    status: ModelRevisionStatus


def deployment(raw: dict[str, Any]) -> Deployment:
    """Read a ModelDeployment.

    Raises:
        CommandError: its status has values that this version does not know.
    """
    meta, status = raw["metadata"], raw.get("status") or {}
    try:
        spec = ModelDeploymentSpec.model_validate(raw.get("spec"), extra="ignore")
    except ValidationError:
        spec = None
    return Deployment(
        name=meta["name"],
        namespace=meta["namespace"],
        generation=meta.get("generation", 0),
        spec=spec,
        status=_read(ModelDeploymentStatus, status, f"the status of the ModelDeployment {meta['name']}", strict=False),
        raw_status=status,
    )


def revision(raw: dict[str, Any]) -> Revision:
    """Read a ModelRevision and check that it is what its digest says.

    Raises:
        CommandError: it has what this version does not know, or its content is not what its digest names.
    """
    return Revision(
        created=_TIME.validate_python(raw["metadata"]["creationTimestamp"]),
        spec=revision_spec(raw),
        status=_read(
            ModelRevisionStatus,
            raw.get("status") or {},
            f"the status of the ModelRevision {raw['metadata']['name']}",
            strict=False,
        ),
    )


def revision_spec(raw: dict[str, Any]) -> ModelRevisionSpec:
    """Read what a ModelRevision fixes, and check that it is what its digest says.

    Raises:
        CommandError: it has what this version does not know, or its content is not what its digest names.
    """
    name = raw["metadata"]["name"]
    spec = _read(ModelRevisionSpec, raw.get("spec"), f"the ModelRevision {name}", strict=True)
    computed = pin_digest(spec.model)
    if computed != spec.digest:
        raise CommandError(
            f"the ModelRevision {name} is not what its digest says: it holds {computed} and is labelled {spec.digest}; "
            "do not approve it, and find out who wrote it"
        )
    return spec


def approval_status(raw: dict[str, Any]) -> ModelApprovalStatus:
    """Read what became of a ModelApproval."""
    return _read(ModelApprovalStatus, raw.get("status") or {}, f"the ModelApproval {raw['metadata']['name']}", strict=False)


def revision_of(cluster: Cluster, deployment_name: str, number: int, digest: str) -> Revision:
    """Fetch a revision by its number, and make sure that it is the one with this digest.

    Raises:
        CommandError: it is not there, or another one.
    """
    found = revision(cluster.revision(revision_name(deployment_name, number)))
    if found.spec.digest != digest or found.spec.deployment != deployment_name:
        raise CommandError(
            f"revision {number} of {deployment_name} has the digest {found.spec.digest}, but the status says {digest}; "
            "the operator is not done, or somebody else wrote there; look again"
        )
    return found


def without_revision(found: Deployment) -> CommandError:
    """Return what to say of a ModelDeployment that nothing was made of yet."""
    why = found.status.message or "the operator has not looked at it"
    return CommandError(f"{found.name} has no revision yet: {why}", ExitCode.NOT_FOUND)


def _read(model: type[_Model], value: object, what: str, *, strict: bool) -> _Model:
    try:
        return model.model_validate(value, extra="forbid" if strict else "ignore")
    except ValidationError as error:
        raise CommandError(
            f"{what} has something that this version of holdfast does not know ({finding(error)}); update holdfast"
        ) from error
