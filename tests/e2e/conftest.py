"""A real cluster with Holdfast installed by Helm, a Hub stand-in, and a team for each test."""

import contextlib
import itertools
import os
from collections.abc import Iterator

import pytest

from e2e.operator_pod import Operator
from e2e.quick_reads import QuickKubectl
from e2e.story import serve_first
from stage.installation import Images, Installation, grant, restricted_namespace
from stage.people import Person
from stage.reach import DirectReach
from stage.team import Team
from testbed import Testbed, images
from testbed.hub import Demo, HubServer, seed_demo

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def bed() -> Iterator[Testbed]:
    """A real node."""
    with Testbed(f"e2e-{os.getpid()}") as bed:
        yield bed


@pytest.fixture(scope="session")
def hub(bed: Testbed) -> Iterator[HubServer]:
    """The Hub, as pods reach it; a request that no client of the Hub sends fails the run."""
    with HubServer(address=bed.host_address) as hub:
        yield hub


@pytest.fixture(scope="session")
def demo(hub: HubServer) -> Demo:
    """The Hub's repositories, each with two commits."""
    return seed_demo(hub.admin)


@pytest.fixture(scope="session")
def commits(demo: Demo) -> tuple[str, str]:
    """The first and the second commit of the tiny model."""
    first, second = demo.chat_gguf
    assert second is not None
    return first, second


@pytest.fixture(scope="session")
def engine(bed: Testbed) -> str:
    """The image of llama.cpp, by digest."""
    return images.ensure(bed, "llamacpp")


@pytest.fixture(scope="session")
def installation(bed: Testbed, admin: QuickKubectl, hub: HubServer, demo: Demo) -> Installation:
    """Holdfast, installed by its chart."""
    del demo
    holdfast = images.ensure(bed, "holdfast")
    found = Installation(
        kubectl=admin,
        helm=bed.programs.helm,
        kubeconfig=bed.kubeconfig,
        images=Images(holdfast=holdfast, gateway=images.ensure(bed, "envoy"), weights=holdfast),
        hub=hub.url,
    )
    found.install()
    return found


@pytest.fixture
def operator(bed: Testbed, installation: Installation) -> Operator:
    """The operator's pod."""
    return Operator(bed, installation)


@pytest.fixture(scope="session")
def admin(bed: Testbed) -> Iterator[QuickKubectl]:
    """The cluster's administrator."""
    with contextlib.closing(QuickKubectl(bed.programs.kubectl, bed.kubeconfig)) as admin:
        yield admin


@contextlib.contextmanager
def _team(bed: Testbed, admin: QuickKubectl) -> Iterator[Team]:
    namespace = f"team-{next(_numbers)}"
    bed.kubectl.apply([restricted_namespace(namespace)])
    grant(bed.kubectl, namespace, "alice", "edit", "holdfast-owner")
    owner = Person(name="alice", kubeconfig=bed.user("alice"), kubectl_program=bed.programs.kubectl)
    yield Team(namespace=namespace, owner=owner, admin=admin, reach=DirectReach(bed.kubectl))
    bed.kubectl.run("delete", "namespace", namespace, "--wait=false")
    # Nobody waits for the streams of this gateway any more: without this its pods would run beside the next test for a minute.
    bed.kubectl.run("delete", "pods", "--all", "--namespace", namespace, "--grace-period=1", "--wait=false")


@pytest.fixture
def team(bed: Testbed, admin: QuickKubectl, installation: Installation) -> Iterator[Team]:
    """A namespace of its own with an owner of models."""
    del installation
    with _team(bed, admin) as team:
        yield team


@pytest.fixture(scope="module")
def serving_team(
    bed: Testbed, admin: QuickKubectl, installation: Installation, commits: tuple[str, str], engine: str
) -> Iterator[Team]:
    """A namespace that the tests of a module share, in which the first revision was brought to serve.

    What a test does with it is up to that test; the next one begins with `story.back_to_first`.
    """
    del installation
    with _team(bed, admin) as team:
        serve_first(team, commits[0], engine)
        yield team
