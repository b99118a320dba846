"""Who may fetch, on file systems with locks, without them, and with locks that lie."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.weights import lease as lease_module
from holdfast.weights.errors import WeightsUnavailableError
from holdfast.weights.lease import Hold, Holder, Lease, Pace

NAME = "a" * 64
QUICK = Pace(renew=0.05, stop=0.3, expire=0.6, look=0.02, settle=0.05)
LONG = Pace(renew=0.05, stop=30.0, expire=60.0, look=0.02, settle=0.05)


def lease(folder: Path, unique: str, *, boot: str = "boot", pace: Pace = QUICK) -> Lease:
    return Lease(folder, NAME, Holder(unique=unique, boot_id=boot), pace=pace)


def leave(folder: Path, *, boot: str = "boot") -> None:
    """What a killed holder leaves."""
    (folder / f".lease-{NAME}").write_text(json.dumps({"beat": 7, "boot": boot, "holder": "dead"}))


@pytest.fixture(params=["locks", "no locks", "locks that lie"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What flock(2) is worth on the file system."""
    if request.param == "no locks":
        monkeypatch.setattr(lease_module, "_lock", lambda _: None)
    if request.param == "locks that lie":
        monkeypatch.setattr(lease_module, "_lock", lambda _: True)
    return str(request.param)


@contextmanager
def in_background(work: Callable[[], None]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.usefixtures("kind")
def test_nothing_is_left_of_a_lease_that_was_given_back(tmp_path: Path) -> None:
    with lease(tmp_path, "one").held():
        assert (tmp_path / f".lease-{NAME}").exists()
    assert [path.name for path in tmp_path.iterdir()] == [f".lock-{NAME}"]


@pytest.mark.usefixtures("kind")
def test_one_at_a_time(tmp_path: Path) -> None:
    inside: list[str] = []
    overlaps: list[str] = []

    def work(unique: str) -> None:
        # Each is on a node of its own, where a lock that lies does not show the others.
        with lease(tmp_path, unique, boot=unique, pace=LONG).held():
            overlaps.extend(inside)
            inside.append(unique)
            time.sleep(0.2)
            inside.remove(unique)

    threads = [threading.Thread(target=work, args=(f"pod {number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
        time.sleep(0.1)  # the moment at which two take it at once is another test's
    for thread in threads:
        thread.join(30)
    assert overlaps == []


def test_where_there_are_locks_a_killed_holder_of_the_same_node_is_not_waited_for(tmp_path: Path) -> None:
    leave(tmp_path)
    with lease(tmp_path, "next", pace=LONG).held() as hold:
        assert hold.sole


def test_whoever_gave_it_back_is_gone(tmp_path: Path) -> None:
    with lease(tmp_path, "first", boot="another").held():
        pass
    with lease(tmp_path, "next").held() as hold:
        assert hold.sole


@pytest.mark.usefixtures("kind")
def test_a_holder_on_another_node_counts_as_gone_once_its_lease_stands_still(tmp_path: Path) -> None:
    leave(tmp_path, boot="another")
    began = time.monotonic()
    with lease(tmp_path, "next").held() as hold:
        assert time.monotonic() - began >= QUICK.expire
        assert not hold.sole


@pytest.mark.usefixtures("kind")
def test_an_unreadable_lease_expires_like_any_other(tmp_path: Path) -> None:
    (tmp_path / f".lease-{NAME}").write_bytes(b"\xff{")
    began = time.monotonic()
    with lease(tmp_path, "next").held():
        assert time.monotonic() - began >= QUICK.expire


@pytest.mark.usefixtures("kind")
def test_a_lease_that_is_renewed_is_waited_for(tmp_path: Path) -> None:
    entered = threading.Event()
    order: list[str] = []

    def first() -> None:
        with lease(tmp_path, "first", boot="one").held():
            entered.set()
            time.sleep(3 * QUICK.expire)
            order.append("first")

    with in_background(first):
        assert entered.wait(10)
        with lease(tmp_path, "second", boot="two").held():
            order.append("second")
    assert order == ["first", "second"]


def test_a_holder_whose_lease_was_taken_stops(tmp_path: Path) -> None:
    with lease(tmp_path, "first").held() as hold:
        hold.check()
        leave(tmp_path, boot="another")
        deadline = time.monotonic() + 10
        while not hold.lost and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(WeightsUnavailableError, match="another one may fetch"):
            hold.check()
    assert json.loads((tmp_path / f".lease-{NAME}").read_text())["holder"] == "dead"


def test_a_holder_that_was_held_up_stops_before_others_begin() -> None:
    now = [0.0]
    hold = Hold(sole=False, clock=lambda: now[0], stop_seconds=20.0)
    now[0] = 19.0
    hold.check()
    now[0] = 21.0
    with pytest.raises(WeightsUnavailableError, match="held up"):
        hold.check()


def test_holders_stop_well_before_others_take_over() -> None:
    assert 2 * Pace().stop < Pace().expire
    assert 3 * Pace().renew < Pace().stop


def test_of_two_that_take_it_at_once_without_locks_one_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "_lock", lambda _: None)
    one, other = lease(tmp_path, "one", boot="1"), lease(tmp_path, "other", boot="2")
    taken: list[bool] = []
    threads = [threading.Thread(target=lambda taker=taker: taken.append(taker._take(None))) for taker in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False, True]


@pytest.mark.parametrize(("boot", "free"), [("boot", True), ("another", False)])
def test_work_of_another_node_is_not_thought_given_up(tmp_path: Path, boot: str, free: bool) -> None:
    leave(tmp_path, boot=boot)
    with lease(tmp_path, "one").held_if_free() as found:
        assert found is free
