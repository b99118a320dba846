"""Nothing is lost: a kill or a failure at any single write, at any point of the life, ends in the same state.

Every stage of `model.life` is played undisturbed once, and its writes are counted. Then it is played again for each of them, from
the same beginning, with trouble at that write, and must come to rest in the same state: then everything after it is the same too.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Final, Literal

import pytest

from holdfast.cluster.errors import Conflict, Transient, from_response
from model.faults import Crash
from model.life import CALM, STAGES, Place
from model.operator_run import OperatorRun
from model.outcome import difference, outcome

When = Literal["before", "after"]
NIGHTLY: Final = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"

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


class Played:
    """A stage that was played undisturbed."""

    def __init__(self, begin: Place, end: Place, writes: int) -> None:
        self._begin = begin
        self.outcome = outcome(end.cluster, end.nodes)
        self.end = end
        self.writes = writes

    def begin(self) -> Place:
        """Return the beginning, to play it once more."""
        return self._begin.copy()


_PLAYED: Final[dict[str, Played]] = {}


async def played(name: str) -> Played:
    """Play a stage, and what comes before it, undisturbed, and only once."""
    if name not in _PLAYED:
        stage = STAGES[name]
        begin = (await played(stage.after)).end.copy() if stage.after is not None else Place.empty()
        place = begin.copy()
        before = len(place.cluster.writes())
        await play(name, place)
        assert (place.people.phase or "") == stage.ends, place.people.status()
        _PLAYED[name] = Played(begin, place, len(place.cluster.writes()) - before)
    return _PLAYED[name]


async def play(name: str, place: Place, *, before: Callable[[Place], None] = lambda _: None, kills: int = 1) -> None:
    """Start an operator, let the stage happen with the trouble that `before` prepares, and wait until all is at rest.

    An operator that is killed is started again.
    """
    operator = OperatorRun(place.cluster, place.nodes, landed=place.witness.landed)
    await operator.start()
    await operator.drain()
    STAGES[name].act(place)
    before(place)
    for _ in range(kills + 1):
        try:
            await operator.settle(calm=CALM)
            break
        except Crash:
            place.witness.hold()
            await operator.kill()
            operator = OperatorRun(place.cluster, place.nodes, landed=place.witness.landed)
            await operator.start()
    else:
        raise AssertionError("killed more often than was asked for")
    assert "InternalError" not in operator.outcomes
    await operator.kill()
    place.witness.hold()


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
    await try_every_write(name, KILLS[kill], lambda _: Crash())


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("name", STAGES)
async def test_a_failure_of_any_write_ends_in_the_same_state(name: str, failure: str) -> None:
    when, error = FAILURES[failure]
    await try_every_write(name, when, error)


async def try_every_write(name: str, when: When, error: Callable[[int], BaseException]) -> None:
    """Play a stage once for each of its writes, with an error there."""
    undisturbed = await played(name)
    assert undisturbed.writes > 0 or name == "soak", "a stage in which nothing is written tries nothing"
    for k in range(undisturbed.writes):
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
