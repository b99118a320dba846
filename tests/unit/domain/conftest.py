"""Deployments at three points of a life."""

from datetime import timedelta

import pytest

from builders import spec
from holdfast.api.decision import DecisionType, Gate
from holdfast.api.reasons import Phase
from model.world import World
from unit.domain.life import ROLLOUT, decision, phase_of, soak


@pytest.fixture
def first() -> World:
    """A deployment whose first revision serves."""
    world = World(spec("a", rollout=ROLLOUT))
    world.settle()
    decision(world, DecisionType.APPROVE, gate=Gate.START)
    world.settle()
    assert phase_of(world) is Phase.STABLE
    return world


@pytest.fixture
def canary(first: World) -> World:
    """A second revision that soaks at its first step."""
    first.apply(spec("b", rollout=ROLLOUT))
    first.settle()
    decision(first, DecisionType.APPROVE, gate=Gate.START)
    first.settle()
    assert phase_of(first) is Phase.SOAKING
    return first


@pytest.fixture
def second(canary: World) -> World:
    """The second revision promoted; the first stands by."""
    soak(canary)
    decision(canary, DecisionType.APPROVE, gate=Gate.PROMOTE)
    canary.settle()
    canary.now += timedelta(seconds=31)
    canary.settle()
    assert phase_of(canary) is Phase.STABLE
    return canary
