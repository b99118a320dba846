"""The API server's time, from its Date header."""

from datetime import UTC, datetime, timedelta

import pytest

from holdfast.cluster.clock import ServerClock

DATE = "Sat, 21 Nov 2026 09:00:00 GMT"
TIME = datetime(2026, 11, 21, 9, 0, 0, tzinfo=UTC)


class Local:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def local() -> Local:
    return Local()


@pytest.fixture
def clock(local: Local) -> ServerClock:
    return ServerClock(local)


def test_there_is_no_time_before_the_first_answer(clock: ServerClock) -> None:
    with pytest.raises(RuntimeError):
        clock.now()


def test_time_goes_on_between_answers(clock: ServerClock, local: Local) -> None:
    clock.observe(DATE)
    local.now += 2.5
    assert clock.now() == TIME + timedelta(seconds=2.5)


def test_an_answer_that_agrees_changes_nothing(clock: ServerClock, local: Local) -> None:
    clock.observe(DATE)
    local.now += 0.9
    clock.observe(DATE)
    assert clock.now() == TIME + timedelta(seconds=0.9)


def test_a_clock_that_is_behind_is_set_forward(clock: ServerClock) -> None:
    clock.observe(DATE)
    clock.observe("Sat, 21 Nov 2026 09:00:30 GMT")
    assert clock.now() == TIME + timedelta(seconds=30)


def test_a_clock_that_is_ahead_is_set_back_by_no_more_than_it_must(clock: ServerClock, local: Local) -> None:
    clock.observe(DATE)
    local.now += 100
    clock.observe("Sat, 21 Nov 2026 09:00:30 GMT")
    assert clock.now() == TIME + timedelta(seconds=31)


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_what_is_no_date_is_left_out(clock: ServerClock, date: str | None) -> None:
    clock.observe(DATE)
    clock.observe(date)
    assert clock.now() == TIME
