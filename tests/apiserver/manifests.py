"""Small valid objects of the three kinds, and a way to change one thing about them."""

import copy
from collections.abc import Mapping
from typing import Any, Final

Manifest = dict[str, Any]

API_VERSION: Final = "holdfast.dev/v1alpha1"
COMMIT: Final = "a09a35458c702b33eeacc393d103063234e8bc28"
IMAGE: Final = "docker.io/vllm/vllm-openai@sha256:" + "1" * 64
DIGEST: Final = "v1:" + "2" * 64
OTHER_DIGEST: Final = "v1:" + "3" * 64
SHA256: Final = "sha256:" + "4" * 64

ABSENT: Final = object()
"""In `changed`: take the field away."""


def deployment(name: str = "chat", namespace: str = "default") -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {
                "source": {"huggingFace": {"repository": "Qwen/Qwen2.5-7B-Instruct", "commit": COMMIT}},
                "engine": {"type": "VLLM", "image": IMAGE},
            }
        },
    }


def revision(deployment: str = "chat", number: int = 1, namespace: str = "default") -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRevision",
        "metadata": {
            "name": f"{deployment}-{number}",
            "namespace": namespace,
            "labels": {"holdfast.dev/deployment": deployment},
        },
        "spec": {
            "deployment": deployment,
            "number": number,
            "digest": DIGEST,
            "declared": SHA256,
            "model": {
                "source": {
                    "huggingFace": {
                        "endpoint": "https://huggingface.co",
                        "repository": "Qwen/Qwen2.5-7B-Instruct",
                        "commit": COMMIT,
                    },
                    "manifestDigest": SHA256,
                    "files": [{"path": "config.json", "size": 663, "sha256": "5" * 64}],
                },
                "remoteCode": "Forbidden",
                "engine": {"type": "VLLM", "image": IMAGE},
                "chatTemplate": {"from": "Source"},
                "generation": {
                    "temperature": 1,
                    "topP": 1,
                    "topK": -1,
                    "minP": 0,
                    "repetitionPenalty": 1,
                    "presencePenalty": 0,
                    "frequencyPenalty": 0,
                },
                "servedName": deployment,
            },
            "render": {"version": 1, "weightsImage": IMAGE},
        },
    }


def approval(
    name: str = "chat-start",
    *,
    by: str = "alice",
    deployment: str = "chat",
    decision: str = "Approve",
    namespace: str = "default",
) -> Manifest:
    spec: Manifest = {"decision": decision, "target": {"name": deployment}, "approver": {"username": by}}
    if decision == "Approve":
        spec["gate"] = "Start"
    if decision != "Fallback":
        spec["target"] |= {"digest": DIGEST, "request": 1}
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelApproval",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def decision(uid: str = "b3d1", **changes: object) -> Manifest:
    return {
        "approval": "chat-start",
        "uid": uid,
        "revision": 1,
        "decision": "Approve",
        "gate": "Start",
        "request": 1,
        "by": "alice",
        "at": "2026-11-21T06:00:00Z",
        **changes,
    }


def changed(manifest: Manifest, changes: Mapping[str, object]) -> Manifest:
    """Return a copy with these fields set; a path is written with dots, and ABSENT takes a field away."""
    result = copy.deepcopy(manifest)
    for path, value in changes.items():
        *parents, last = path.split(".")
        node = result
        for parent in parents:
            node = node.setdefault(parent, {})
        if value is ABSENT:
            node.pop(last, None)
        else:
            node[last] = value
    return result


def path_of(manifest: Manifest, *, collection: bool = False, subresource: str = "") -> str:
    """Return where the API server keeps one of our objects."""
    metadata = manifest["metadata"]
    path = f"/apis/{API_VERSION}/namespaces/{metadata['namespace']}/{manifest['kind'].lower()}s"
    if collection:
        return path
    return f"{path}/{metadata['name']}" + (f"/{subresource}" if subresource else "")
