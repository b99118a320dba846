"""What fetches the files of a revision: the Job that fills the claim, and the way out of the pods that fetch."""

from typing import Any, Final
from urllib.parse import urlsplit

from holdfast.api import names
from holdfast.api.deployment import Serving
from holdfast.api.revision import ModelRevisionSpec, ResolvedSource
from holdfast.domain.artifacts import Artifact
from holdfast.domain.snapshot import DeploymentView
from holdfast.domain.weights import Place, is_fetched_by_pod, placed
from holdfast.render.labels import FETCHING_LABELS, labels, metadata
from holdfast.render.version1 import weights
from holdfast.render.version1.base import base_spec, together

_FOR_EVER: Final = 2**31 - 1  # the kubelet restarts with growing delays, up to five minutes; the Job is never given up for that
_GRACE_SECONDS: Final = 5  # what is fetched so far is on the volume
_NAME_PORTS: Final = (
    53,
    5353,
)  # 5353: the pods of OpenShift's name servers; policies see the port of the pod, not of the Service
_HTTPS: Final = 443
_SCHEMES: Final = {"http": 80, "https": _HTTPS}


def fetch_objects(deployment: DeploymentView, revision: ModelRevisionSpec, serving: Serving) -> list[dict[str, Any]]:
    """Return the NetworkPolicy and the Job that the revision needs with this cache; nothing when nothing is fetched."""
    fetched = placed(revision.model, serving, Place.CACHE)
    if not fetched:
        return []
    if is_fetched_by_pod(revision.model, serving):
        return [_network_policy(deployment, revision, serving, fetched, names.COMPONENT_ENGINE)]
    return [
        _network_policy(deployment, revision, serving, fetched, names.COMPONENT_WEIGHTS),
        _job(deployment, revision, serving),
    ]


def _job(deployment: DeploymentView, revision: ModelRevisionSpec, serving: Serving) -> dict[str, Any]:
    name, number = deployment.meta.key.name, revision.number
    affinity = together(name, serving)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(deployment, names.weights_job_name(name, number), names.COMPONENT_WEIGHTS, number),
        "spec": {
            "backoffLimit": _FOR_EVER,
            "completionMode": "NonIndexed",
            "completions": 1,
            "manualSelector": False,
            "parallelism": 1,
            "podReplacementPolicy": "TerminatingOrFailed",
            "suspend": False,
            "template": {
                "metadata": {"labels": labels(names.COMPONENT_WEIGHTS, name, number)},
                "spec": {
                    "containers": [weights.fetching(revision, serving)],
                    "volumes": [
                        weights.revision_volume(name, number),
                        {"name": "temporary", "emptyDir": {}},
                        weights.cache_volume(name, serving),
                        *weights.source_volumes(serving),
                        *weights.named_volumes(name, serving),
                    ],
                    "restartPolicy": "OnFailure",
                    "terminationGracePeriodSeconds": _GRACE_SECONDS,
                    **({"affinity": affinity} if affinity else {}),
                    **base_spec(serving),
                },
            },
        },
    }


def _network_policy(
    deployment: DeploymentView, revision: ModelRevisionSpec, serving: Serving, fetched: tuple[Artifact, ...], component: str
) -> dict[str, Any]:
    """Let the pods that fetch ask name servers and the sources, and nothing in.

    A NetworkPolicy knows addresses and ports, no names, so it is by port. It holds for the whole pod, also for its engine: so it
    selects pods of engines by a label that the operator takes off before the engine starts.
    """
    name, number = deployment.meta.key.name, revision.number
    engine = component == names.COMPONENT_ENGINE
    # A policy for the engines' ingress is there already; the pods of a Job have this one only.
    types = ["Egress"] if engine else ["Ingress", "Egress"]
    selected = labels(component, name, number) | (FETCHING_LABELS if engine else {})
    dns = [{"port": port, "protocol": protocol} for port in _NAME_PORTS for protocol in ("UDP", "TCP")]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(deployment, names.fetch_network_policy_name(name, number), component, number),
        "spec": {
            "podSelector": {"matchLabels": selected},
            "policyTypes": types,
            "egress": [{"ports": dns}, {"ports": _ports(fetched, serving)}],
        },
    }


def _ports(fetched: tuple[Artifact, ...], serving: Serving) -> list[dict[str, Any]]:
    """Return the ports of the sources. Their files come from elsewhere as a rule, by HTTPS; a Hub of one's own says from where."""
    ports = {_port(serving.mirror)} if serving.mirror else {_port(_url(artifact.source)) for artifact in fetched}
    if ports <= {_HTTPS}:
        return [{"port": _HTTPS, "protocol": "TCP"}]
    return [{"port": 1, "endPort": 65535, "protocol": "TCP"}]


def _url(source: ResolvedSource) -> str:
    if source.oci is not None:
        return f"https://{source.oci.reference.split('/', 1)[0]}"
    return source.hugging_face.endpoint if source.hugging_face is not None else ""


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or _SCHEMES.get(parts.scheme, _HTTPS)
