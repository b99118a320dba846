"""Labels and owners of the children of a ModelDeployment."""

from typing import Any, Final

from holdfast.api import names
from holdfast.domain.snapshot import DeploymentView

FETCHING_LABELS: Final = {names.LABEL_FETCHING: names.FETCHING}
"""Of pods of engines that are let out to fetch; in no selector of a workload, since the operator takes them off pods that run."""


def labels(component: str, deployment: str, revision: int | None = None) -> dict[str, str]:
    """Return the labels by which watches, Services and the guards know a child."""
    found = {names.LABEL_COMPONENT: component, names.LABEL_DEPLOYMENT: deployment}
    return found if revision is None else found | {names.LABEL_REVISION: str(revision)}


def metadata(deployment: DeploymentView, name: str, component: str, revision: int | None = None) -> dict[str, Any]:
    """Return the metadata of a child: deleted with its ModelDeployment, and not holding it up (which would need a permission)."""
    key = deployment.meta.key
    return {
        "name": name,
        "namespace": key.namespace,
        "labels": labels(component, key.name, revision),
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": "ModelDeployment",
                "name": key.name,
                "uid": deployment.meta.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
