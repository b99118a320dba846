"""Which pods may reach the sources of their files."""

import pytest

from builders import SETTINGS, deployment, spec
from holdfast.domain.egress import to_turn
from holdfast.domain.snapshot import PodView, Snapshot


def turned(**pod: object) -> bool:
    view = PodView(name="pod", uid="1", revision=1, ready=False, **pod)  # type: ignore[arg-type]
    return bool(to_turn(Snapshot(deployment=deployment(spec()), settings=SETTINGS, pods=(view,))))


@pytest.mark.parametrize(
    ("way_out", "fetches", "turns"),
    [
        (True, True, False),
        (True, False, True),
        (False, True, True),
        (False, False, False),
    ],
    ids=["fetches", "has fetched", "has to fetch again", "fetched long ago"],
)
def test_a_pod_is_let_out_as_long_as_it_fetches(way_out: bool, fetches: bool, turns: bool) -> None:
    assert turned(way_out=way_out, fetches=fetches) is turns


def test_a_pod_that_is_not_what_was_approved_is_shut_in() -> None:
    assert turned(way_out=True, fetches=True, quarantine="PodDrifted: x")
    assert not turned(way_out=False, fetches=True, quarantine="PodDrifted: x")


def test_a_pod_on_its_way_out_of_the_cluster_is_left_alone() -> None:
    assert not turned(way_out=True, fetches=False, deleting=True)
