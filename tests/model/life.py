"""The life of a ModelDeployment as a tree of stages: what a person or time does, after which everything comes to rest.

A stage begins where its parent came to rest. Branches share what came before, so each is played once.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from holdfast.cluster import kinds
from model.fake_cluster import FakeCluster
from model.faults import Crash
from model.nodes import Nodes
from model.operator_run import OperatorRun
from model.outcome import outcome
from model.people import UNKNOWN, People
from model.promises import Witness

CALM: Final = 25.0
"""Seconds without a change that end a stage: more than any wait in `people.ROLLOUT` but the long hold."""


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster, and everybody in it but the operator."""

    cluster: FakeCluster
    nodes: Nodes
    people: People
    witness: Witness

    @classmethod
    def empty(cls) -> "Place":
        """Return a cluster with nothing in it."""
        cluster = FakeCluster()
        nodes, people = Nodes(cluster), People(cluster)
        return cls(cluster, nodes, people, Witness(cluster, nodes, people))

    def copy(self) -> "Place":
        """Return another one like it. Calls of the past are left out."""
        everything = (*kinds.WATCHED, kinds.EVENT)
        shared = [*everything, *(found for kind in everything for found in self.cluster.view(kind).values())]
        self.cluster.calls.clear()
        return copy.deepcopy(self, {id(each): each for each in shared})


@dataclass(frozen=True, slots=True)
class Stage:
    """What happens, and the phase in which it comes to rest."""

    after: str | None
    act: Callable[[Place], object]
    ends: str


def _an_hour_passes(place: Place) -> None:
    place.cluster.advance(3600)


STAGES: Final[dict[str, Stage]] = {
    # the whole life
    "declare": Stage(None, lambda it: it.people.declare("a"), "AwaitingApproval"),
    "approve the first": Stage("declare", lambda it: it.people.approve("Start"), "Stable"),
    "declare the second": Stage("approve the first", lambda it: it.people.declare("b"), "AwaitingApproval"),
    "start the canary": Stage("declare the second", lambda it: it.people.approve("Start"), "Soaking"),
    "soak": Stage("start the canary", _an_hour_passes, "AwaitingPromotion"),
    "promote": Stage("soak", lambda it: it.people.approve("Promote"), "Stable"),
    "fall back": Stage("promote", lambda it: it.people.fall_back(), "Fallback"),
    "a pod is changed": Stage("promote", lambda it: it.nodes.change(0), "Stable"),
    "resume": Stage("fall back", lambda it: it.people.decide("Resume"), "Stable"),
    # no
    "reject the first": Stage("declare", lambda it: it.people.decide("Reject"), "Pending"),
    "reject": Stage("declare the second", lambda it: it.people.decide("Reject"), "Stable"),
    "abort in mid canary": Stage("start the canary", lambda it: it.people.decide("Abort"), "Aborted"),
    "ask again": Stage("abort in mid canary", lambda it: it.people.decide("Resume"), "AwaitingApproval"),
    "abort before the promotion": Stage("soak", lambda it: it.people.decide("Abort"), "Aborted"),
    # another mind
    "revert in mid canary": Stage("start the canary", lambda it: it.people.declare("a"), "Stable"),
    "a third in mid canary": Stage("start the canary", lambda it: it.people.declare("c"), "AwaitingApproval"),
    "revert what was aborted": Stage("abort in mid canary", lambda it: it.people.declare("a"), "Stable"),
    "scale up in mid canary": Stage("start the canary", lambda it: it.people.declare("b", serving={"replicas": 2}), "Soaking"),
    # what cannot be
    "declare what the Hub does not have": Stage("approve the first", lambda it: it.people.declare(UNKNOWN), "Stable"),
    "declare what cannot be read": Stage("start the canary", lambda it: it.people.declare_badly(), "Soaking"),
    "take it back": Stage("declare what cannot be read", lambda it: it.people.declare("a"), "Stable"),
    # the way out
    "fall back in mid canary": Stage("start the canary", lambda it: it.people.fall_back(), "Fallback"),
    "resume without the canary": Stage("fall back in mid canary", lambda it: it.people.decide("Resume"), "AwaitingApproval"),
    "fall back outside": Stage("promote", lambda it: it.people.fall_back(external="provider"), "Fallback"),
    "declare in fallback": Stage("fall back", lambda it: it.people.declare("a"), "Fallback"),
    "stay there": Stage("declare in fallback", lambda it: it.people.decide("Resume"), "Stable"),
    # the end
    "delete in mid canary": Stage("start the canary", lambda it: it.people.delete(), ""),
    "declare again": Stage("delete in mid canary", lambda it: it.people.declare("a"), "Stable"),
}


class Played:
    """A stage that was played undisturbed.

    Attributes:
        writes: how many writes of the operator it took.
        outcome: what came of it.
    """

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
