"""What the API server would say about a status: the limits of its fields are those of the API's models."""

from typing import Final

from pydantic import ValidationError

from holdfast.api.approval import ModelApprovalStatus
from holdfast.api.base import ApiModel
from holdfast.api.deployment import ModelDeploymentStatus
from holdfast.api.revision import ModelRevisionStatus
from holdfast.cluster import kinds
from holdfast.cluster.errors import Rejected
from holdfast.cluster.kinds import Kind
from holdfast.cluster.port import Manifest

_STATUS: Final[dict[Kind, type[ApiModel]]] = {
    kinds.MODEL_DEPLOYMENT: ModelDeploymentStatus,
    kinds.MODEL_REVISION: ModelRevisionStatus,
    kinds.MODEL_APPROVAL: ModelApprovalStatus,
}


def check_status(kind: Kind, status: Manifest) -> None:
    """Take a status that the operator writes.

    Raises:
        Rejected: the schema of its kind does not allow it.
    """
    try:
        _STATUS[kind].parse(status)
    except ValidationError as error:
        raise Rejected(f"{kind.resource}: {error}") from error
