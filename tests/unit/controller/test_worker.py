"""The kind of trouble decides when a key comes back, and nobody but the log sees a traceback."""

import logging
import random
from collections.abc import Awaitable, Callable

import pytest

from builders import NAME, NAMESPACE
from holdfast.api.names import Key
from holdfast.cluster.errors import Rejected, Transient, Waiting
from holdfast.controller.keys import GatewayKey, QueueKey
from holdfast.controller.observer import Observer
from holdfast.controller.queue import WorkQueue
from holdfast.controller.worker import Worker
from model.fake_cluster import Crash

KEY = Key(NAMESPACE, NAME)


class Bench:
    def __init__(self) -> None:
        self.now = 0.0
        self.queue = WorkQueue(clock=lambda: self.now, rng=random.Random(1))  # noqa: S311
        self.error: BaseException | None = None
        self.seen: list[QueueKey] = []
        self.ended: list[tuple[str, str]] = []
        bench = self

        class Listener(Observer):
            def reconciled(self, what: str, outcome: str, seconds: float) -> None:
                bench.ended.append((what, outcome))

        self.worker = Worker(
            queue=self.queue,
            observer=Listener(),
            deployment=self._reconciler(),
            gateway=self._reconciler(),
        )

    def _reconciler(self) -> Callable[[QueueKey], Awaitable[None]]:
        async def reconcile(key: QueueKey) -> None:
            self.seen.append(key)
            if self.error is not None:
                raise self.error

        return reconcile

    async def work(self, key: QueueKey = KEY) -> None:
        self.queue.add(key)
        assert self.queue.pop() == key
        await self.worker.work(key)

    def comes_back_after(self) -> float | None:
        due = self.queue.next_due()
        return None if due is None else due - self.now


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_settled_key_does_not_come_back(bench: Bench) -> None:
    await bench.work()
    assert bench.comes_back_after() is None
    assert bench.ended == [("deployment", "Settled")]


async def test_gateways_are_told_from_deployments(bench: Bench) -> None:
    await bench.work(GatewayKey(NAMESPACE))
    assert bench.ended == [("gateway", "Settled")]


@pytest.mark.parametrize(
    ("error", "outcome", "seconds"),
    [
        (Waiting("the namespace ends"), "Waiting", 5.0),
        (Rejected("forbidden"), "Rejected", 60.0),
        (Transient("busy", retry_after=12), "Transient", 12.0),
    ],
)
async def test_trouble_comes_back_when_its_kind_says(bench: Bench, error: Exception, outcome: str, seconds: float) -> None:
    bench.error = error
    await bench.work()
    assert bench.ended == [("deployment", outcome)]
    assert bench.comes_back_after() == seconds


async def test_trouble_that_lasts_comes_back_more_and_more_rarely(bench: Bench) -> None:
    bench.error = Transient("busy")
    delays = []
    for _ in range(12):
        await bench.work()
        delays.append(bench.comes_back_after() or 0)
        bench.now += 100
        while (key := bench.queue.pop()) is not None:
            bench.queue.done(key)
    assert delays[0] < 1
    assert delays[-1] >= 30


async def test_a_success_ends_a_streak_of_failures(bench: Bench) -> None:
    bench.error = Transient("busy")
    await bench.work()
    bench.error = None
    await bench.work()
    assert bench.queue.failures(KEY) == 0


async def test_a_bug_is_logged_once_with_its_traceback_and_tried_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.error = KeyError("oops")
    await bench.work()
    assert bench.ended == [("deployment", "InternalError")]
    assert bench.comes_back_after() is not None
    bugs = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(bugs) == 1
    assert bugs[0].exc_info is not None


async def test_a_kill_is_not_survived(bench: Bench) -> None:
    bench.error = Crash()
    with pytest.raises(Crash):
        await bench.work()
