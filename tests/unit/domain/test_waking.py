"""A plan names a time only if something can come of it: what that time did not move waits for something else, which is news."""

from datetime import timedelta

from builders import spec
from holdfast.api.decision import DecisionType, Gate
from holdfast.api.reasons import Phase
from holdfast.domain.decide import decide
from model.world import World
from unit.domain.life import ROLLOUT, decision, phase_of


def wake_at(world: World) -> float | None:
    """Return in how many seconds the plan wants to be made again."""
    found = decide(world.snapshot(), world.now).wake_at
    return None if found is None else (found - world.now).total_seconds()


def test_a_step_is_looked_at_when_it_was_held(canary: World) -> None:
    canary.now += timedelta(seconds=20)
    canary.run()
    assert wake_at(canary) == 40


def test_a_step_that_was_held_and_is_not_observed_is_not_looked_at_again_and_again(canary: World) -> None:
    canary.gateway["gateway-a"].reported_arms = {}
    canary.now += timedelta(seconds=61)
    canary.run()
    assert phase_of(canary) is Phase.SOAKING
    assert wake_at(canary) is None


def test_a_load_that_took_too_long_under_a_broken_spec_is_not_looked_at_again_and_again(first: World) -> None:
    first.apply(spec("b", rollout=ROLLOUT))
    first.settle()
    decision(first, DecisionType.APPROVE, gate=Gate.START)
    first.run()
    assert wake_at(first) == 2700
    first.apply(None)
    first.now += timedelta(days=1)
    first.run()
    assert phase_of(first) is Phase.PREPARING
    assert wake_at(first) is None
