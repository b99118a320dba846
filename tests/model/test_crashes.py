"""Nothing is lost: a kill or a failure at any single write, at any point of the life, ends in the same state.

Every stage of `model.life` is played undisturbed once, and its writes are counted. Then it is played again for each of them, from
the same beginning, with trouble at that write, and must come to rest in the same state: then everything after it is the same too.

A process that is killed before a write leaves what one leaves that is killed after the write before. So by day only the first write
of a stage is tried from both sides, and failures that differ in their text alone take turns; at night everything is tried.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, Literal

import pytest

from holdfast.cluster.errors import Conflict, Transient, from_response
from model.effort import NIGHTLY
from model.faults import Crash
from model.life import STAGES, Place, play, played
from model.operator_run import OperatorRun
from model.outcome import difference, outcome

When = Literal["before", "after"]

KILLS: Final[dict[str, When]] = {"killed before the write": "before", "killed after the write": "after"}
OVERLOAD: Final[dict[str, Callable[[], Exception]]] = {
    "429": lambda: from_response(429, {"reason": "TooManyRequests"}, what="a write", retry_after=1),
    "500": lambda: from_response(500, {"reason": "InternalError"}, what="a write"),
    "timed out, and never done": lambda: Transient("a write: timed out"),
}
"""Failures before any effect, which differ in nothing but their text and the wait that they ask for."""


def _in_turn(k: int) -> Exception:
    return list(OVERLOAD.values())[k % len(OVERLOAD)]()


def _the_same(name: str, _k: int) -> Exception:
    return OVERLOAD[name]()


FAILURES: dict[str, tuple[When, Callable[[int], Exception]]] = {
    "409": ("before", lambda _: Conflict("a write: the object has been modified")),
    "timed out, but done": ("after", lambda _: Transient("a write: timed out")),
    "429, 500, timed out in turn": ("before", _in_turn),
}
if NIGHTLY:
    FAILURES |= {name: ("before", partial(_the_same, name)) for name in OVERLOAD}


@pytest.mark.parametrize("name", STAGES)
async def test_a_restart_writes_nothing_and_changes_nothing(name: str) -> None:
    place = (await played(name)).end.copy()
    version = place.cluster.version
    operator = OperatorRun(place.cluster, place.nodes, landed=place.witness.landed, version=2)
    await operator.start()
    await operator.settle()
    await operator.kill()
    assert place.cluster.version == version


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize("name", STAGES)
async def test_a_kill_at_any_write_ends_in_the_same_state(name: str, kill: str) -> None:
    every = NIGHTLY or kill == "killed after the write"
    await try_writes(name, KILLS[kill], lambda _: Crash(), limit=None if every else 1)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("name", STAGES)
async def test_a_failure_of_any_write_ends_in_the_same_state(name: str, failure: str) -> None:
    when, error = FAILURES[failure]
    await try_writes(name, when, error)


async def try_writes(name: str, when: When, error: Callable[[int], BaseException], *, limit: int | None = None) -> None:
    """Play a stage once for each of its writes, or for the first few, with an error there."""
    undisturbed = await played(name)
    assert undisturbed.writes > 0 or name == "soak", "a stage in which nothing is written tries nothing"
    for k in range(undisturbed.writes)[:limit]:
        place = undisturbed.begin()
        await play(name, place, before=partial(_inject, when=when, error=error(k), skip=k))
        assert place.cluster.healthy, f"the error at write {k} did not happen"
        found = difference(undisturbed.outcome, outcome(place.cluster, place.nodes))
        assert not found, f"after an error {when} write {k}: {found}"


def _inject(place: Place, *, when: When, error: BaseException, skip: int) -> None:
    place.cluster.inject(when, error, skip=skip)


@pytest.mark.parametrize("name", STAGES)
async def test_a_process_that_never_gets_beyond_one_write_ends_in_the_same_state(name: str) -> None:
    undisturbed = await played(name)
    place = undisturbed.begin()

    def again(it: Place) -> None:
        for k in range(undisturbed.writes):
            it.cluster.inject("after", Crash(), skip=k)

    await play(name, place, before=again, kills=2 * undisturbed.writes)
    assert not difference(undisturbed.outcome, outcome(place.cluster, place.nodes))
