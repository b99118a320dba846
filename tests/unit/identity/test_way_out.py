"""An engine starts once its pod can reach nothing, or when nobody has closed its way out for long."""

from pathlib import Path

from holdfast.identity.way_out import WayOut


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_waits_until_the_label_is_gone(tmp_path: Path) -> None:
    label = tmp_path / "fetching"
    label.write_text("true")
    clock = Clock()
    way_out = WayOut(label, 30, clock=clock)
    assert not way_out.settled
    clock.now += 29
    assert not way_out.settled
    label.write_text("")
    assert way_out.settled


def test_it_waits_no_longer_than_its_patience(tmp_path: Path) -> None:
    label = tmp_path / "fetching"
    label.write_text("true")
    clock = Clock()
    way_out = WayOut(label, 30, clock=clock)
    clock.now += 30
    assert way_out.settled


def test_a_pod_that_fetches_nothing_need_not_wait(tmp_path: Path) -> None:
    assert WayOut(tmp_path / "absent", 30).settled
