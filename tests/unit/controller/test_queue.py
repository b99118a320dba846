"""The work queue, on a clock that the test holds."""

import asyncio
import random
import sys
import threading

import pytest

from holdfast.api.names import Key
from holdfast.controller.keys import GatewayKey
from holdfast.controller.queue import Priority, WorkQueue

A, B, C = Key("ns", "a"), Key("ns", "b"), Key("ns", "c")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    return WorkQueue(clock=clock, rng=random.Random(7))  # noqa: S311


def test_keys_come_out_in_the_order_in_which_they_went_in(queue: WorkQueue, clock: Clock) -> None:
    for key in (B, A, C):
        clock.now += 1
        queue.add(key)
    assert [queue.pop(), queue.pop(), queue.pop(), queue.pop()] == [B, A, C, None]


def test_a_key_that_waits_is_not_added_twice(queue: WorkQueue) -> None:
    queue.add(A)
    queue.add(A)
    assert (queue.depth(), queue.pop(), queue.pop()) == (1, A, None)


def test_urgent_keys_overtake(queue: WorkQueue) -> None:
    queue.add(A, Priority.LOW)
    queue.add(B)
    queue.add(C, Priority.HIGH)
    assert [queue.pop(), queue.pop(), queue.pop()] == [C, B, A]


def test_a_waiting_key_becomes_urgent_when_somebody_needs_it_so(queue: WorkQueue) -> None:
    queue.add(A, Priority.LOW)
    queue.add(B)
    queue.add(A, Priority.HIGH)
    assert [queue.pop(), queue.pop(), queue.pop()] == [A, B, None]


def test_a_waiting_key_does_not_lose_its_urgency(queue: WorkQueue) -> None:
    queue.add(A, Priority.HIGH)
    queue.add(B)
    queue.add(A, Priority.LOW)
    assert queue.pop() == A


def test_a_key_is_never_worked_on_twice_at_a_time(queue: WorkQueue) -> None:
    queue.add(A)
    assert queue.pop() == A
    queue.add(A)
    queue.add(A)
    assert queue.pop() is None
    queue.done(A)
    assert [queue.pop(), queue.pop()] == [A, None]


def test_a_key_that_was_not_added_meanwhile_is_done(queue: WorkQueue) -> None:
    queue.add(A)
    queue.pop()
    queue.done(A)
    assert queue.pop() is None


def test_a_key_and_a_gateway_of_the_same_name_are_two(queue: WorkQueue) -> None:
    queue.add(Key("ns", "ns"))
    queue.add(GatewayKey("ns"))
    assert queue.depth() == 2


def test_a_timer_adds_its_key_when_it_is_due_and_not_before(queue: WorkQueue, clock: Clock) -> None:
    queue.add_after(A, 10)
    clock.now += 9.9
    assert queue.pop() is None
    clock.now += 0.1
    assert queue.pop() == A


def test_the_earliest_timer_of_a_key_wins(queue: WorkQueue, clock: Clock) -> None:
    queue.add_after(A, 10)
    queue.add_after(A, 2)
    queue.add_after(A, 5)
    assert queue.next_due() == clock.now + 2
    clock.now += 20
    assert [queue.pop(), queue.pop()] == [A, None]
    queue.done(A)
    assert queue.pop() is None


def test_no_delay_means_now(queue: WorkQueue) -> None:
    queue.add_after(A, -3)
    assert queue.pop() == A


def test_retries_come_slower_and_slower_up_to_a_minute(queue: WorkQueue) -> None:
    delays = [queue.retry(A) for _ in range(20)]
    assert 0.1 <= delays[0] <= 0.2
    assert all(later <= 60 for later in delays)
    assert min(delays[-5:]) >= 30


def test_retries_that_failed_together_are_spread() -> None:
    delays = {WorkQueue(clock=Clock(), rng=random.Random(seed)).retry(A) for seed in range(10)}  # noqa: S311
    assert len(delays) == 10


def test_a_success_ends_the_streak(queue: WorkQueue) -> None:
    for _ in range(10):
        queue.retry(A)
    queue.succeeded(A)
    assert queue.failures(A) == 0
    assert queue.retry(A) <= 0.2


def test_the_servers_wish_is_the_least_delay(queue: WorkQueue) -> None:
    assert queue.retry(A, at_least=17) == 17


def test_a_forgotten_key_wakes_nobody(queue: WorkQueue, clock: Clock) -> None:
    queue.add_after(A, 1)
    queue.forget(A)
    clock.now += 5
    assert (queue.pop(), queue.next_due()) == (None, None)


def test_ages_tell_who_waits_and_who_works_too_long(queue: WorkQueue, clock: Clock) -> None:
    assert (queue.oldest_age(), queue.longest_busy()) == (0, 0)
    queue.add(A)
    queue.add(B)
    clock.now += 5
    queue.add(B, Priority.HIGH)
    assert queue.oldest_age() == 5
    assert queue.pop() == B
    clock.now += 2
    assert (queue.oldest_age(), queue.longest_busy()) == (7, 2)


async def test_workers_wait_until_there_is_work() -> None:
    queue = WorkQueue(clock=asyncio.get_running_loop().time, rng=random.Random(1))  # noqa: S311
    workers = [asyncio.create_task(queue.take()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(worker.done() for worker in workers)
    queue.add(A)
    queue.add(B)
    assert {await worker for worker in workers} == {A, B}


async def test_a_timer_wakes_a_worker_that_waits() -> None:
    queue = WorkQueue(clock=asyncio.get_running_loop().time, rng=random.Random(1))  # noqa: S311
    worker = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.add_after(A, 0.01)
    assert await asyncio.wait_for(worker, 5) == A


def test_a_scrape_in_a_thread_of_its_own_may_ask_while_the_queue_changes(queue: WorkQueue) -> None:
    """The metrics are served from another thread; a dict that changes while it is iterated over is an error."""
    keys = [Key("team-a", f"chat-{number}") for number in range(500)]
    failures: list[Exception] = []
    ended = threading.Event()

    def scrape() -> None:
        while not ended.is_set():
            try:
                queue.oldest_age()
            except RuntimeError as error:
                failures.append(error)
                return

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        for _ in range(20):
            for key in keys:
                queue.add(key)
            while (key_taken := queue.pop()) is not None:
                queue.done(key_taken)
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(before)
    assert failures == []


def test_what_is_urgent_for_a_key_under_work_is_pressing_until_it_is_looked_at(queue: WorkQueue) -> None:
    queue.add(A)
    assert queue.pop() == A
    queue.add(A)
    assert not queue.is_pressing(A)
    queue.add(A, Priority.HIGH)
    assert queue.is_pressing(A)
    queue.looked(A)
    assert not queue.is_pressing(A)
    queue.done(A)
    assert queue.pop() is None, "it was looked at since"


def test_what_came_after_the_look_is_done_once_more(queue: WorkQueue) -> None:
    queue.add(A)
    assert queue.pop() == A
    queue.looked(A)
    queue.add(A, Priority.HIGH)
    queue.done(A)
    assert queue.pop() == A
