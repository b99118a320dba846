"""holdfast propose --apply on a real API server: server-side apply of two fields, and who else may manage them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apiserver.space import NAME, Manifest, Namespace
from builders import model
from testbed.hub import HubServer

HOLDFAST = Path(sys.executable).parent / "holdfast"
REPO = "lab/tiny"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as running:
        running.admin.create_repo(REPO)
        running.admin.commit(REPO, {"tiny.gguf": b"GGUF" + b"\0" * 2000})
        yield running


@pytest.fixture
def pinned(hub: HubServer) -> str:
    return hub.admin.repos().repos[0].refs["refs/heads/main"]


@pytest.fixture
def head(hub: HubServer, pinned: str) -> str:
    return hub.admin.commit(REPO, {"tiny.gguf": b"GGUF" + b"\1" * 2000})


def manifest(commit: str) -> Manifest:
    source = {"huggingFace": {"repository": REPO, "commit": commit}}
    engine = model()["engine"] | {"options": {"modelFile": "tiny.gguf"}}
    spec = {"model": {"source": source, "engine": engine}, "serving": {"replicas": 2}}
    return {"apiVersion": "holdfast.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": NAME}, "spec": spec}


def declare(space: Namespace, commit: str, manager: str) -> None:
    path = space.path("modeldeployments", NAME)
    space.admin.call("PATCH", path, manifest(commit), content="application/apply-patch+yaml", fieldManager=manager).must()


def propose(space: Namespace, hub: HubServer, kubeconfig: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [str(HOLDFAST), "propose", NAME, "-n", space.name, "--apply", "--yes", *options]
    environ = {"KUBECONFIG": str(kubeconfig), "HF_ENDPOINT": hub.url, "PATH": "", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def source(space: Namespace) -> dict[str, Any]:
    found: dict[str, Any] = space.read("modeldeployments", NAME)["spec"]["model"]["source"]["huggingFace"]
    return found


def test_a_change_takes_the_commit_and_leaves_the_rest(
    space: Namespace, hub: HubServer, kubeconfig: Path, pinned: str, head: str
) -> None:
    space.create("modeldeployments", manifest(pinned))
    before = space.read("modeldeployments", NAME)["spec"]
    done = propose(space, hub, kubeconfig, "--force-conflicts")
    assert done.returncode == 0, done.stderr
    after = space.read("modeldeployments", NAME)["spec"]
    assert after["model"]["source"]["huggingFace"].pop("manifestDigest").startswith("sha256:")
    before["model"]["source"]["huggingFace"]["commit"] = head
    assert after == before
    assert "nothing runs before its owner approves" in done.stdout


def test_a_field_that_another_tool_manages_is_not_taken(
    space: Namespace, hub: HubServer, kubeconfig: Path, pinned: str, head: str
) -> None:
    declare(space, pinned, "argocd-controller")
    done = propose(space, hub, kubeconfig)
    assert done.returncode == 1
    assert "argocd-controller" in done.stderr
    assert "--file" in done.stderr
    assert source(space)["commit"] == pinned


def test_a_second_proposal_follows_the_first_without_force(
    space: Namespace, hub: HubServer, kubeconfig: Path, pinned: str, head: str
) -> None:
    declare(space, pinned, "argocd-controller")
    assert propose(space, hub, kubeconfig, "--force-conflicts").returncode == 0
    newer = hub.admin.commit(REPO, {"tiny.gguf": b"GGUF" + b"\2" * 2000})
    done = propose(space, hub, kubeconfig)
    assert done.returncode == 0, done.stderr
    assert source(space)["commit"] == newer


def test_a_deployment_that_is_gone_is_not_made_anew(
    space: Namespace, hub: HubServer, kubeconfig: Path, pinned: str, head: str
) -> None:
    done = propose(space, hub, kubeconfig)
    assert done.returncode == 3
    assert not space.exists("modeldeployments", NAME)
