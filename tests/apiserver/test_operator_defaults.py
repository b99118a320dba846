"""Nothing that is rendered looks different once the API server has filled in its defaults: that would be a write at each start."""

from typing import Any

import pytest

from apiserver.rest import Rest
from apiserver.space import NAME, Namespace
from builders import model, revision
from holdfast.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus
from holdfast.api.model import Model
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.cluster.diff import first_difference
from holdfast.domain.snapshot import DeploymentView, Meta
from holdfast.render.deployment import engine_objects, shared_objects

ENGINE = "registry.example/engine@sha256:" + "e" * 64
EVERYTHING: dict[str, Any] = {
    "replicas": 3,
    "accelerator": {"resource": "nvidia.com/gpu", "count": 2, "product": "NVIDIA-H100-80GB-HBM3"},
    "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"cpu": "2000m", "memory": "4Gi"}},
    "scheduling": {
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    },
    "cache": {"type": "PersistentVolumeClaim", "size": "1024Mi", "storageClassName": "fast", "accessMode": "ReadWriteMany"},
    "hubToken": {"name": "hub", "key": "token"},
    "drainSeconds": 45,
}


def view(space: Namespace, engine: str, serving: dict[str, Any] | None) -> DeploymentView:
    wire = model("a", engine={"type": engine, "image": ENGINE}, chatTemplate={"text": "{{ messages }}"})
    spec = ModelDeploymentSpec.parse({"model": wire} | ({"serving": serving} if serving else {}))
    made = space.create(
        "modeldeployments",
        {"apiVersion": "holdfast.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": NAME}, "spec": spec.wire()},
    )
    meta = Meta(
        key=Key(space.name, NAME),
        uid=made["metadata"]["uid"],
        resource_version="1",
        generation=1,
        created=revision(Model.parse(model()), 1).meta.created,
    )
    return DeploymentView(meta=meta, spec=spec, status=ModelDeploymentStatus())


@pytest.mark.parametrize("serving", [None, EVERYTHING], ids=["least", "everything"])
@pytest.mark.parametrize("engine", ["VLLM", "TGI", "SGLang", "LlamaCpp"])
def test_every_child_of_a_deployment_equals_itself(
    admin: Rest, space: Namespace, engine: str, serving: dict[str, Any] | None
) -> None:
    deployment = view(space, engine, serving)
    assert deployment.spec is not None
    objects = [
        *shared_objects(deployment),
        *engine_objects(deployment, revision(deployment.spec.model, 1), 2),
    ]
    assert objects
    for desired in objects:
        kind = kinds.of(desired)
        live = admin.call("POST", kind.path(space.name), desired, fieldValidation="Strict").must()
        assert first_difference(kind, desired, live) is None, kind.kind
