"""The program `holdfast-operator`, a mirror that is a real registry, and a private one whose credentials it has in a file."""

import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from apiserver.space import NAME, Namespace
from apiserver.test_operator_program import Program
from testbed import Testbed
from testbed.models import tiny_model
from unit.gateway.certificates import certificate
from unit.registry import RegistryStandIn, basic

LOGIN = ("operator", "very-secret")


@pytest.fixture
def engine(bed: Testbed, tmp_path: Path) -> str:
    """The digest of an index of two images, in the bed's registry as lab/engine."""
    layer = tmp_path / "layer.tar"
    with tarfile.open(layer, "w") as tar:
        tar.add(__file__, arcname="readme")
    name = f"{bed.registry}/lab/engine"

    def crane(*arguments: str) -> str:
        command = [str(bed.programs.crane), *arguments, "--insecure"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    crane("append", "--oci-empty-base", f"--new_layer={layer}", f"--new_tag={name}:base")
    for architecture in ("amd64", "arm64"):
        crane("mutate", f"{name}:base", f"--set-platform=linux/{architecture}", f"--tag={name}:{architecture}")
    crane("index", "append", f"--manifest={name}:amd64", f"--manifest={name}:arm64", f"--tag={name}:index")
    return crane("digest", f"{name}:index")


@pytest.fixture
def private(tmp_path: Path) -> Iterator[RegistryStandIn]:
    """A mirror with TLS that wants credentials."""
    _, context = certificate(tmp_path, "127.0.0.1")
    with RegistryStandIn(tls=context) as running:
        running.access, running.credentials = "token", LOGIN
        yield running


def test_the_mirror_and_the_credentials_of_the_chart_are_used(
    space: Namespace, kubeconfig: Path, bed: Testbed, engine: str, private: RegistryStandIn, tmp_path: Path
) -> None:
    model = private.push_artifact("models/chat", dict(tiny_model(0)))
    source = {"oci": {"reference": f"private.invalid/models/chat@{model}"}}
    space.declare_spec(
        {"model": {"source": source, "engine": {"type": "VLLM", "image": f"registry.invalid/lab/engine@{engine}"}}}
    )
    credentials = tmp_path / "config.json"
    credentials.write_text(json.dumps({"auths": {private.host: {"username": LOGIN[0], "password": LOGIN[1]}}}))
    operator = Program(
        kubeconfig,
        tmp_path / "log",
        HOLDFAST_NAMESPACES=space.name,
        HOLDFAST_REGISTRY_MIRRORS=json.dumps({"registry.invalid": [f"http://{bed.registry}"], "private.invalid": [private.url]}),
        HOLDFAST_REGISTRY_CREDENTIALS_FILE=str(credentials),
        SSL_CERT_FILE=str(tmp_path / "ca.pem"),
    )
    try:
        operator.until(lambda: space.phase() == "AwaitingApproval", "a request")
    finally:
        assert operator.end() == 0
    revision = space.read("modelrevisions", f"{NAME}-1")["spec"]
    assert [one["platform"] for one in revision["recorded"]["imagePlatforms"]] == ["linux/amd64", "linux/arm64"]
    assert "model.safetensors" in [file["path"] for file in revision["model"]["source"]["files"]]
    assert basic(*LOGIN) in private.authorizations
    everything = (
        json.dumps([space.read(kind) for kind in ("modeldeployments", "modelrevisions", "events")]) + operator.log.read_text()
    )
    assert LOGIN[1] not in everything
