"""Names that the API, the guards and the children share.

The guards rest on this contract: every label and annotation of ours lives under ``holdfast.dev/``, every shared object in a
namespace is named ``holdfast-*``, and nobody else may use either.
"""

from typing import Final, NamedTuple

GROUP: Final = "holdfast.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

FIELD_MANAGER: Final = "holdfast"
"""The field manager of every server-side apply of the operator."""

LABEL_COMPONENT: Final = "holdfast.dev/component"
"""On every child, with a `Component` value; the watches select by it."""
LABEL_DEPLOYMENT: Final = "holdfast.dev/deployment"
LABEL_REVISION: Final = "holdfast.dev/revision"
"""The revision's number, as text. Never its role: roles live in status."""
LABEL_FETCHING: Final = "holdfast.dev/fetching"
"""On engine pods that fetch for themselves, with the value `FETCHING`: by it a NetworkPolicy lets them out. It is in their template,
so that a pod starts while the operator is down, and in no selector; the operator takes it off once all is fetched."""
FETCHING: Final = "true"
ANNOTATION_CONFIG: Final = "holdfast.dev/config"
"""Set on gateway pods only, to make the kubelet project a changed ConfigMap at once."""
ANNOTATION_QUARANTINE: Final = "holdfast.dev/quarantine"
"""Set on engine pods only: why a pod may get no requests, until it is replaced."""
ANNOTATION_VERIFY: Final = "holdfast.dev/verify"
"""A word of the owner's choice on a ModelDeployment, and then on its engine pods: each hashes its bytes anew for each new one."""

COMPONENT_ENGINE: Final = "engine"
COMPONENT_GATEWAY: Final = "gateway"
COMPONENT_ROUTE: Final = "route"
COMPONENT_WEIGHTS: Final = "weights"

NAME_MAX_LENGTH: Final = 40
"""Longest name of a ModelDeployment: child names add at most 23 characters and stay within a DNS label (RFC 1123, 63)."""

SEAL_SECRET: Final = "holdfast-seal"  # noqa: S105 - the name of an object
"""The Secret of a namespace with which its weights containers sign what they verified. Created once; the operator never reads it."""
SEAL_KEY: Final = "key"

GATEWAY_NAME: Final = "holdfast-gateway"
GATEWAY_BOOTSTRAP: Final = "holdfast-gateway-bootstrap"
GATEWAY_ROUTES: Final = "holdfast-gateway-routes"
GATEWAY_CLUSTERS: Final = "holdfast-gateway-clusters"
GATEWAY_HTTP_PORT: Final = 8080
GATEWAY_METRICS_PORT: Final = 9090
GATEWAY_CONFIG_HOST: Final = "holdfast-gateway.internal"
"""Virtual host on which each gateway pod answers ``GET /config`` with the routing that it has in force."""
ENGINE_PORT: Final = 8000
IDENTITY_PORT: Final = 8001
"""Where the sidecar of an engine answers the kubelet whether the engine is what was approved."""
TOTAL_WEIGHT: Final = 10000
"""The weights of a route always sum to this; another total would move users (they are placed by a hash of the user)."""

HEADER_REVISION: Final = "x-holdfast-revision"
"""Response header: the number of the revision that answered, or the name of the external fallback."""
HEADER_SERVED_BY: Final = "x-holdfast-served-by"
"""Response header: ``stable``, ``candidate`` or ``fallback``."""


class Key(NamedTuple):
    """Identity of a namespaced object. Never joined into one string."""

    namespace: str
    name: str


def revision_name(deployment: str, number: int) -> str:
    """Name of a ModelRevision, of its engine Deployment and of its headless Service."""
    return f"{deployment}-{number}"


def revision_config_name(deployment: str, number: int) -> str:
    """Name of the ConfigMap with a revision's list of files and its chat template."""
    return f"holdfast-revision-{deployment}-{number}"


def weights_claim_name(deployment: str) -> str:
    """Name of the PersistentVolumeClaim that holds verified weights of all revisions of a ModelDeployment."""
    return f"holdfast-weights-{deployment}"


def weights_named_name(deployment: str) -> str:
    """Name of the ConfigMap that says which files in the claim are named by a ModelRevision."""
    return f"holdfast-weights-{deployment}"


def weights_job_name(deployment: str, number: int) -> str:
    """Name of the Job that fetches the files of a revision into the claim."""
    return f"{deployment}-{number}-weights"


def fetch_network_policy_name(deployment: str, number: int) -> str:
    """Name of the NetworkPolicy that lets the pods that fetch a revision's files out."""
    return f"holdfast-fetch-{deployment}-{number}"


def engine_network_policy_name(deployment: str) -> str:
    """Name of the NetworkPolicy that lets only the gateway reach the engines of a ModelDeployment."""
    return f"holdfast-engine-{deployment}"
