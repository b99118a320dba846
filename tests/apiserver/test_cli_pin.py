"""A pinned manifest, with a real registry, is what a real API server takes as it is."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from apiserver.rest import Rest
from testbed import Testbed
from testbed.hub import HubServer, seed_demo

BIN = Path(sys.executable).parent


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as running:
        seed_demo(running.admin)
        yield running


@pytest.fixture(scope="module")
def image(bed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small image in the bed's registry, under a tag."""
    layer = tmp_path_factory.mktemp("image") / "layer.tar"
    with tarfile.open(layer, "w") as tar:
        tar.add(__file__, arcname="readme")
    name = f"{bed.registry}/lab/engine:v1"
    _crane(bed, "append", "--oci-empty-base", "--insecure", "-f", str(layer), "-t", name)
    return name


def _crane(bed: Testbed, *arguments: str) -> str:
    return subprocess.run(
        [str(bed.programs.path("crane")), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize("repository", ["holdfast/tiny-chat-GGUF@v1", "holdfast/tiny-chat"])
def test_the_manifest_is_accepted_unchanged(
    admin: Rest, crds: None, bed: Testbed, hub: HubServer, image: str, repository: str
) -> None:
    environ = {**os.environ, "HF_ENDPOINT": hub.url}
    command = [str(BIN / "holdfast"), "pin", repository, "--image", image, "--name", "pinned", "-n", "default"]
    pinned = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    manifest = yaml.safe_load(pinned.stdout)
    name, _, _ = image.rpartition(":")
    assert manifest["spec"]["model"]["engine"]["image"] == f"{name}@{_crane(bed, 'digest', '--insecure', image)}"
    answer = admin.post(
        "/apis/holdfast.dev/v1alpha1/namespaces/default/modeldeployments", manifest, dryRun="All", fieldValidation="Strict"
    )
    assert answer.must()["spec"] == manifest["spec"]
