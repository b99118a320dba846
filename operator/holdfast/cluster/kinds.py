"""The kinds of object that Holdfast reads or writes, with the paths that serve them."""

from dataclasses import dataclass
from typing import Final

from holdfast.api import names


@dataclass(frozen=True, slots=True)
class Kind:
    """A namespaced resource of the API server."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """Return the value of `apiVersion` in a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """Return the name that people know, such as ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the URL path of the collection, of one object, or of its subresource. No namespace means all of them."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, *(("namespaces", namespace) if namespace else ()), self.plural, name, subresource]
        return "/".join(part for part in parts if part)


MODEL_DEPLOYMENT: Final = Kind(names.GROUP, names.VERSION, "modeldeployments", "ModelDeployment")
MODEL_REVISION: Final = Kind(names.GROUP, names.VERSION, "modelrevisions", "ModelRevision")
MODEL_APPROVAL: Final = Kind(names.GROUP, names.VERSION, "modelapprovals", "ModelApproval")

DEPLOYMENT: Final = Kind("apps", "v1", "deployments", "Deployment")
JOB: Final = Kind("batch", "v1", "jobs", "Job")
POD: Final = Kind("", "v1", "pods", "Pod")
SERVICE: Final = Kind("", "v1", "services", "Service")
CONFIG_MAP: Final = Kind("", "v1", "configmaps", "ConfigMap")
PERSISTENT_VOLUME_CLAIM: Final = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
NETWORK_POLICY: Final = Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
POD_DISRUPTION_BUDGET: Final = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
SECRET: Final = Kind("", "v1", "secrets", "Secret")
EVENT: Final = Kind("events.k8s.io", "v1", "events", "Event")

OWN: Final = (MODEL_DEPLOYMENT, MODEL_REVISION, MODEL_APPROVAL)
"""The kinds of our API: all objects of them are watched."""
WORKLOADS: Final = (JOB, DEPLOYMENT)
"""The children that make pods."""
CHILDREN: Final = (*WORKLOADS, SERVICE, CONFIG_MAP, PERSISTENT_VOLUME_CLAIM, NETWORK_POLICY, POD_DISRUPTION_BUDGET)
"""The kinds that the operator creates and watches. Of Secrets it creates one kind, and may neither read nor watch any."""
WATCHED: Final = (*OWN, *CHILDREN, POD)
"""The kinds that the mirror holds; those that are not our own only where they carry `selector`'s label."""


def of(manifest: dict[str, object]) -> Kind:
    """Return the kind of a manifest.

    Raises:
        ValueError: Holdfast has nothing to do with this kind.
    """
    for kind in (*WATCHED, SECRET, EVENT):
        if (manifest.get("apiVersion"), manifest.get("kind")) == (kind.api_version, kind.kind):
            return kind
    raise ValueError(f"unknown kind {manifest.get('kind')} of {manifest.get('apiVersion')}")


def selector(kind: Kind) -> str | None:
    """Return the label selector by which the API server chooses what the operator sees of a kind; None for everything."""
    return None if kind in OWN else names.LABEL_COMPONENT
