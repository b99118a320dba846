"""The objects of one revision."""

from typing import Any, Final

from holdfast.api import names
from holdfast.api.deployment import Serving
from holdfast.api.model import EngineType
from holdfast.api.revision import ResolvedModel
from holdfast.domain.artifacts import artifacts, artifacts_bytes
from holdfast.domain.pin import pin_digest, short_digest
from holdfast.domain.snapshot import DeploymentView, RevisionView
from holdfast.domain.weights import is_fetched_by_pod
from holdfast.render.labels import FETCHING_LABELS, labels, metadata
from holdfast.render.version1 import container, pod, weights
from holdfast.render.version1.fetch import fetch_objects
from holdfast.render.version1.identity import IDENTITY_KEY
from holdfast.render.version1.llama_cpp import LlamaCpp
from holdfast.render.version1.sglang import SGLang
from holdfast.render.version1.tgi import TGI
from holdfast.render.version1.vllm import VLLM

_CONFIG_MAX_BYTES: Final = 1024 * 1024
"""Of all keys and values together (Kubernetes API, ConfigMap)."""
_ENGINES: Final[dict[EngineType, container.EngineRenderer]] = {
    EngineType.VLLM: VLLM(),
    EngineType.TGI: TGI(),
    EngineType.SGLANG: SGLang(),
    EngineType.LLAMA_CPP: LlamaCpp(),
}


def problems(model: ResolvedModel) -> list[str]:
    """Return what of a model its engine cannot do, and what does not fit into a ConfigMap."""
    return _ENGINES[model.engine.type].problems(model) or _too_large(model)


def _too_large(model: ResolvedModel) -> list[str]:
    size = sum(len(key) + len(value.encode()) for key, value in _data(model).items())
    if size <= _CONFIG_MAX_BYTES:
        return []
    count = sum(len(artifact.source.files or ()) for artifact in artifacts(model))
    told = (
        f"spec.model: its lists of {count} files take {size} bytes, and a ConfigMap holds {_CONFIG_MAX_BYTES};"
        " take fewer files with include, or put them on a volume with a list of its own (source.volume without files)"
    )
    return [told]


def engine_objects(deployment: DeploymentView, revision: RevisionView, serving: Serving, replicas: int) -> list[dict[str, Any]]:
    """Return the ConfigMap, the headless Service, what fetches, and the Deployment of a revision, in the order of creation."""
    return [
        _config_map(deployment, revision),
        _service(deployment, revision),
        *fetch_objects(deployment, revision.spec, serving),
        _deployment(deployment, revision, serving, replicas),
    ]


def _config_map(deployment: DeploymentView, revision: RevisionView) -> dict[str, Any]:
    model = revision.spec.model
    number = revision.spec.number
    name = names.revision_config_name(deployment.meta.key.name, number)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(deployment, name, names.COMPONENT_WEIGHTS, number),
        "immutable": True,
        "data": _data(model),
    }


def _data(model: ResolvedModel) -> dict[str, str]:
    data = {container.ARTIFACTS_KEY: artifacts_bytes(model).decode(), **weights.references(model)}
    data[IDENTITY_KEY] = _ENGINES[model.engine.type].identity(model, fingerprint=short_digest(pin_digest(model))).decode()
    if model.chat_template.text is not None:
        data[container.CHAT_TEMPLATE_KEY] = model.chat_template.text
    return data


def _service(deployment: DeploymentView, revision: RevisionView) -> dict[str, Any]:
    """Headless: the gateway finds each ready pod by DNS."""
    name, number = deployment.meta.key.name, revision.spec.number
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(deployment, names.revision_name(name, number), names.COMPONENT_ENGINE, number),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "selector": labels(names.COMPONENT_ENGINE, name, number),
            "ports": [{"name": "http", "port": names.ENGINE_PORT, "protocol": "TCP", "targetPort": names.ENGINE_PORT}],
            "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster",
        },
    }


def _deployment(deployment: DeploymentView, revision: RevisionView, serving: Serving, replicas: int) -> dict[str, Any]:
    name, number = deployment.meta.key.name, revision.spec.number
    drain_seconds = pod.drain_seconds(serving)
    fetching = FETCHING_LABELS if is_fetched_by_pod(revision.spec.model, serving) else {}
    engine = _ENGINES[revision.spec.model.engine.type].container(
        revision.spec.model, fingerprint=short_digest(revision.spec.digest), drain_seconds=drain_seconds
    )
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(deployment, names.revision_name(name, number), names.COMPONENT_ENGINE, number),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels(names.COMPONENT_ENGINE, name, number)},
            # A change of serving replaces pods one by one and never takes one away before its successor is ready.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 1,
            "template": {
                "metadata": {"labels": labels(names.COMPONENT_ENGINE, name, number) | fetching},
                "spec": pod.pod_spec(name, revision.spec, serving, engine),
            },
        },
    }
