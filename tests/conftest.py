"""A real control plane for the tests that need one, with the CustomResourceDefinitions in it."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

from apiserver.rest import Rest
from testbed import Testbed

ROOT = Path(__file__).parents[1]

# The same examples in each run, so that a change is judged by what it changed. HOLDFAST_TESTS=nightly looks for new ones.
# A busy machine is slow and proves nothing: no example has a deadline.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("default" if os.environ.get("HOLDFAST_TESTS") == "nightly" else "reproducible")


@pytest.fixture(scope="session")
def bed() -> Iterator[Testbed]:
    with Testbed(f"apiserver-{os.getpid()}", control_plane_only=True) as bed:
        yield bed


@pytest.fixture(scope="session")
def kubeconfig(bed: Testbed) -> Path:
    return bed.kubeconfig


@pytest.fixture(scope="session")
def admin(kubeconfig: Path) -> Iterator[Rest]:
    with contextlib.closing(Rest.of(kubeconfig)) as rest:
        yield rest


@pytest.fixture(scope="session")
def crds(admin: Rest) -> None:
    """Install the committed definitions and wait until all three are served."""
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        body = yaml.safe_load(file.read_text())
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{body['metadata']['name']}"
        admin.apply(path, body, manager="tests").must()
        deadline = time.monotonic() + 30
        while not admin.get(f"/apis/holdfast.dev/v1alpha1/{body['spec']['names']['plural']}").ok:
            assert time.monotonic() < deadline, f"{file.name} is not served"
            time.sleep(0.05)
