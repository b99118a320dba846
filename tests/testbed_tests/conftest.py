from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import Testbed
from testbed_tests import probe


@pytest.fixture(scope="session")
def bed() -> Iterator[Testbed]:
    with Testbed("testbed-tests") as running:
        yield running


@pytest.fixture(scope="session")
def image(bed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("probe")
    return probe.push(bed, folder)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Testbed]:
    with Testbed("testbed-tests-api", control_plane_only=True, kwok_nodes=3) as running:
        yield running
