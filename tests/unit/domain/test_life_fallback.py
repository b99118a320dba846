"""Fallback and resume, capacity that follows traffic, and identities that come back."""

from datetime import timedelta
from typing import Any

from builders import fallback_to, model, spec
from holdfast.api.approval import ApprovalState
from holdfast.api.decision import DecisionType, FallbackTargetType, Gate
from holdfast.api.deployment import RequestState
from holdfast.api.reasons import ConditionType, Phase, Reason, RefusalReason
from model.world import World
from unit.domain.life import ROLLOUT, arms, condition, decision, phase_of, soak


def promote_again(world: World) -> None:
    """Go back to the first revision by a request of its own."""
    world.apply(spec("a", rollout=ROLLOUT))
    world.settle()
    decision(world, DecisionType.APPROVE, gate=Gate.START)
    world.settle()
    soak(world)
    decision(world, DecisionType.APPROVE, gate=Gate.PROMOTE)
    world.settle()
    world.now += timedelta(seconds=31)
    world.settle()
    assert world.status.stable is not None
    assert world.status.stable.revision == 1


class TestFallback:
    def test_sends_everything_to_the_last_known_good_and_stays(self, second: World) -> None:
        decision(second, DecisionType.FALLBACK)
        second.settle()
        assert arms(second) == {"1": 10000}
        assert phase_of(second) is Phase.FALLBACK
        second.now += timedelta(days=30)
        second.settle()
        assert phase_of(second) is Phase.FALLBACK
        assert condition(second, ConditionType.FALLBACK) == ("True", Reason.FALLBACK_ACTIVE)

    def test_in_mid_canary_goes_to_the_stable_revision(self, canary: World) -> None:
        decision(canary, DecisionType.FALLBACK)
        canary.settle()
        assert arms(canary) == {"1": 10000}
        assert set(canary.engines) == {1}

    def test_goes_to_a_declared_external(self, first: World) -> None:
        first.apply(spec("a", fallback={"external": [{"name": "provider", "url": "https://api.example/v1"}]}))
        first.settle()
        decision(first, DecisionType.FALLBACK, fallback_to=fallback_to(FallbackTargetType.EXTERNAL, external="provider"))
        first.settle()
        assert arms(first) == {"external/provider": 10000}

    def test_to_the_revision_that_is_being_tried_again_leaves_no_candidate(self, second: World) -> None:
        second.apply(spec("a", rollout=ROLLOUT))
        second.settle()
        decision(second, DecisionType.APPROVE, gate=Gate.START)
        second.settle()
        assert phase_of(second) is Phase.SOAKING
        decision(second, DecisionType.FALLBACK, fallback_to=fallback_to(FallbackTargetType.REVISION, revision=1))
        second.run()
        assert second.status.candidate is None
        second.settle()
        assert arms(second) == {"1": 10000}

    def test_to_what_was_never_promoted_is_refused(self, canary: World) -> None:
        name = decision(canary, DecisionType.FALLBACK, fallback_to=fallback_to(FallbackTargetType.REVISION, revision=2))
        canary.settle()
        assert canary.approvals[name].status.reason is RefusalReason.NO_SUCH_FALLBACK
        assert phase_of(canary) is Phase.SOAKING

    def test_resume_returns_to_the_stable_revision(self, second: World) -> None:
        decision(second, DecisionType.FALLBACK)
        second.settle()
        decision(second, DecisionType.RESUME)
        second.settle()
        assert arms(second) == {"2": 10000}
        assert phase_of(second) is Phase.STABLE

    def test_resume_makes_the_fallback_stable_when_it_is_what_is_declared(self, second: World) -> None:
        decision(second, DecisionType.FALLBACK)
        second.settle()
        second.apply(spec("a", rollout=ROLLOUT))
        second.settle()
        decision(second, DecisionType.RESUME)
        second.settle()
        assert arms(second) == {"1": 10000}
        assert second.status.stable is not None
        assert second.status.stable.revision == 1
        assert phase_of(second) is Phase.STABLE

    def test_resume_goes_by_what_is_declared_now_and_not_by_what_was_resolved_last(self, second: World) -> None:
        """The owner goes back to the fallback's model, thinks better of it, and resumes before the operator looked."""
        decision(second, DecisionType.FALLBACK)
        second.settle()
        second.apply(spec("a", rollout=ROLLOUT))
        second.settle()
        second.apply(spec("b", rollout=ROLLOUT))
        decision(second, DecisionType.RESUME)
        second.settle()
        assert arms(second) == {"2": 10000}
        assert second.status.stable is not None
        assert second.status.stable.revision == 2

    def test_a_resume_that_is_older_than_the_fallback_does_not_end_it(self, second: World) -> None:
        decision(second, DecisionType.RESUME, name="early")
        second.now += timedelta(seconds=5)
        decision(second, DecisionType.FALLBACK)
        second.settle()
        assert phase_of(second) is Phase.FALLBACK
        assert second.approvals["early"].status.state is ApprovalState.REFUSED

    def test_works_while_the_spec_is_broken(self, second: World) -> None:
        second.apply(None)
        second.settle()
        assert condition(second, ConditionType.STALLED) == ("True", Reason.INVALID_SPEC)
        decision(second, DecisionType.FALLBACK)
        second.settle()
        assert arms(second) == {"1": 10000}


class TestCapacity:
    """Capacity follows traffic, as observed."""

    def test_a_fallback_keeps_its_pods_after_resume_until_traffic_left_it(self, second: World) -> None:
        standby_none: dict[str, Any] = {"rollout": ROLLOUT, "fallback": {"standbyReplicas": 0}}
        second.apply(spec("b", **standby_none))
        second.settle()
        assert second.engines[1].replicas == 0
        decision(second, DecisionType.FALLBACK)
        second.settle()
        assert second.engines[1].replicas == 1
        decision(second, DecisionType.RESUME)
        second.run()
        assert second.engines[1].replicas == 1
        second.settle()
        assert second.engines[1].replicas == 0

    def test_a_revision_without_a_role_runs_until_traffic_left_it(self, second: World) -> None:
        second.apply(spec("c", rollout=ROLLOUT))
        second.settle()
        decision(second, DecisionType.APPROVE, gate=Gate.START)
        second.settle()
        soak(second)
        decision(second, DecisionType.APPROVE, gate=Gate.PROMOTE)
        second.settle()
        second.now += timedelta(seconds=31)
        second.settle()
        assert set(second.engines) == {2, 3}
        decision(second, DecisionType.FALLBACK, fallback_to=fallback_to(FallbackTargetType.REVISION, revision=1))
        second.settle()
        assert arms(second) == {"1": 10000}
        decision(second, DecisionType.RESUME)
        second.run()
        assert 1 in second.engines
        second.settle()
        assert set(second.engines) == {2, 3}


class TestIdentity:
    def test_declaring_the_same_thing_in_other_words_changes_nothing(self, first: World) -> None:
        first.apply(spec(model_wire=model("a", servedName="support-chat"), rollout=ROLLOUT))
        first.settle()
        assert phase_of(first) is Phase.STABLE
        assert list(first.revisions) == [1]

    def test_a_lost_status_is_taken_up_without_a_new_approval(self, first: World) -> None:
        first.status = type(first.status)()
        first.settle()
        assert first.status.stable is not None
        assert first.status.stable.revision == 1
        assert arms(first) == {"1": 10000}

    def test_what_was_promoted_last_is_taken_up_and_not_what_was_new_last(self, second: World) -> None:
        """The owner went back to the first revision; the second is known to be worse."""
        promote_again(second)
        second.status = type(second.status)()
        second.settle()
        assert second.status.stable is not None
        assert second.status.stable.revision == 1

    def test_what_the_owner_went_back_from_needs_a_new_approval(self, second: World) -> None:
        promote_again(second)
        second.status = type(second.status)()
        second.apply(spec("b", rollout=ROLLOUT))
        second.settle()
        assert phase_of(second) is Phase.AWAITING_APPROVAL
        assert arms(second) == {}

    def test_what_a_person_resumed_to_is_what_is_taken_up(self, second: World) -> None:
        decision(second, DecisionType.FALLBACK)
        second.settle()
        second.apply(spec("a", rollout=ROLLOUT))
        second.now += timedelta(seconds=5)
        second.settle()
        decision(second, DecisionType.RESUME)
        second.settle()
        second.status = type(second.status)()
        second.apply(spec("b", rollout=ROLLOUT))
        second.settle()
        assert phase_of(second) is Phase.AWAITING_APPROVAL
        second.status = type(second.status)()
        second.apply(spec("a", rollout=ROLLOUT))
        second.settle()
        assert second.status.stable is not None
        assert second.status.stable.revision == 1

    def test_what_a_person_fell_back_from_is_not_taken_up(self, second: World) -> None:
        """Nothing but a person ends a fallback, the loss of the object that it was in force on included."""
        decision(second, DecisionType.FALLBACK)
        second.settle()
        second.status = type(second.status)()
        second.settle()
        assert phase_of(second) is Phase.AWAITING_APPROVAL
        assert arms(second) == {}

    def test_a_settled_world_is_not_written_again(self, second: World) -> None:
        before = second.writes
        second.now += timedelta(days=1)
        second.run()
        assert second.writes == before

    def test_request_states_tell_how_it_ended(self, second: World) -> None:
        assert second.status.request is not None
        assert second.status.request.state is RequestState.PROMOTED
