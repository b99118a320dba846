"""Nothing moves, and nothing is said, on less than what was seen."""

from datetime import timedelta

from builders import fallback_to, spec
from holdfast.api.decision import DecisionType, FallbackTargetType, Gate
from holdfast.api.reasons import ConditionType, Phase, Reason
from model.world import World
from unit.domain.life import ROLLOUT, arms, condition, decision, phase_of, soak


def test_roles_are_not_swapped_while_the_candidate_has_no_ready_pod(canary: World) -> None:
    soak(canary)
    decision(canary, DecisionType.APPROVE, gate=Gate.PROMOTE)
    canary.run()
    assert phase_of(canary) is Phase.PROMOTING
    canary.settle_gateway()
    assert arms(canary) == {"2": 10000}
    canary.engines[2].ready = 0
    canary.run()
    assert phase_of(canary) is Phase.PROMOTING
    assert canary.status.stable is not None
    assert canary.status.stable.revision == 1


def test_a_step_is_not_over_while_the_candidate_has_no_ready_pod(canary: World) -> None:
    canary.now += timedelta(seconds=50)
    canary.engines[2].ready = 0
    canary.run()
    canary.now += timedelta(seconds=12)
    canary.run()
    assert canary.status.candidate is not None
    assert (phase_of(canary), canary.status.candidate.step) == (Phase.SOAKING, 0)


def test_a_fallback_is_observed_once_every_gateway_pod_has_it(second: World) -> None:
    decision(second, DecisionType.FALLBACK)
    second.run()
    assert second.status.fallback is not None
    assert not second.status.fallback.observed
    second.settle()
    assert second.status.fallback.observed


def test_a_fallback_to_a_revision_without_ready_pods_is_not_ready(second: World) -> None:
    decision(second, DecisionType.FALLBACK, fallback_to=fallback_to(FallbackTargetType.REVISION, revision=1))
    second.settle()
    assert condition(second, ConditionType.READY) == ("True", Reason.FALLBACK_ACTIVE)
    second.engines[1].ready = 0
    second.run()
    assert condition(second, ConditionType.READY) == ("False", Reason.FALLBACK_ACTIVE)


def test_without_a_gateway_nothing_is_ready(first: World) -> None:
    assert condition(first, ConditionType.READY) == ("True", Reason.SERVING)
    first.gateway.clear()
    first.run()
    assert condition(first, ConditionType.READY) == ("False", Reason.PROPAGATING)


def test_the_owner_scales_down_what_serves(first: World) -> None:
    first.apply(spec("a", rollout=ROLLOUT, serving={"replicas": 3}))
    first.settle()
    assert first.engines[1].replicas == 3
    first.apply(spec("a", rollout=ROLLOUT, serving={"replicas": 1}))
    first.settle()
    assert first.engines[1].replicas == 1
