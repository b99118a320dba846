"""The life of a ModelDeployment as a tree of stages: what a person or time does, after which everything comes to rest.

A stage begins where its parent came to rest. Branches share what came before, so each is played once.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from holdfast.cluster import kinds
from model.fake_cluster import FakeCluster
from model.nodes import Nodes
from model.people import People
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
        """Return another one like it."""
        return copy.deepcopy(self, {id(kind): kind for kind in (*kinds.WATCHED, kinds.EVENT)})


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
