"""Namespaces for the tests of the operator, and a guarded cluster."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from apiserver.rest import Rest
from apiserver.space import Namespace
from apiserver.world import World, guarded_world
from testbed import Testbed

_numbers = itertools.count(1)


@pytest.fixture
def space(admin: Rest, crds: None, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Namespace]:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    name = f"operator-{next(_numbers)}"
    admin.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).must()
    yield Namespace(admin, name)
    admin.call("DELETE", f"/api/v1/namespaces/{name}").must()


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """A cluster of its own: the guards would refuse what other tests of this folder do by hand."""
    with Testbed(f"guards-{os.getpid()}", control_plane_only=True) as bed, guarded_world(bed) as world:
        yield world
