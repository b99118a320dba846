"""A real cluster with Holdfast installed by Helm, a Hub stand-in, and a team for each test."""

import itertools
import os
from collections.abc import Iterator

import pytest

from e2e.operator_pod import Operator
from stage.installation import Images, Installation, grant, restricted_namespace
from stage.people import Person
from stage.reach import DirectReach
from stage.team import Team
from stage.wait import until
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
def installation(bed: Testbed, hub: HubServer, demo: Demo) -> Installation:
    """Holdfast, installed by its chart."""
    del demo
    holdfast = images.ensure(bed, "holdfast")
    found = Installation(
        kubectl=bed.kubectl,
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


@pytest.fixture
def team(bed: Testbed, installation: Installation) -> Iterator[Team]:
    """A namespace of its own with an owner of models."""
    del installation
    namespace = f"team-{next(_numbers)}"
    bed.kubectl.apply([restricted_namespace(namespace)])
    grant(bed.kubectl, namespace, "alice", "edit", "holdfast-owner")
    owner = Person(name="alice", kubeconfig=bed.user("alice"), kubectl_program=bed.programs.kubectl)
    yield Team(namespace=namespace, owner=owner, admin=bed.kubectl, reach=DirectReach(bed.kubectl))
    bed.kubectl.run("delete", "namespace", namespace, "--wait=false")
    # Nobody waits for the streams of this gateway any more: without this its pods would run beside the next test for a minute.
    bed.kubectl.run("delete", "pods", "--all", "--namespace", namespace, "--grace-period=1", "--wait=false")


@pytest.fixture
def alone(bed: Testbed, team: Team) -> None:
    """No other team is there, nor on its way out: whatever the operator does, it does for this one."""

    def others() -> list[str]:
        names = [each["metadata"]["name"] for each in bed.kubectl.get("namespaces")["items"]]
        return [name for name in names if name.startswith("team-") and name != team.namespace]

    for name in others():
        # The namespace's controller looks again after half of the grace that its pods had at first, or when the namespace changes.
        bed.kubectl.run("delete", "pods", "--all", "--namespace", name, "--grace-period=1", "--timeout=60s")
        bed.kubectl.try_run("annotate", "namespace", name, "looked-at=again", "--overwrite")  # unless it went just now
    until(lambda: not others(), what="the end of the namespaces of other teams")
