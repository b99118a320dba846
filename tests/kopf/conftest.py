"""A namespace of a real API server, and a proxy before it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from apiserver.conftest import space
from apiserver.proxy import Proxy, proxy

__all__ = ["space"]


@pytest.fixture
def line(kubeconfig: Path, space: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The operator's connection to the API server."""
    with proxy(kubeconfig) as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig(tmp_path)))
        yield running
