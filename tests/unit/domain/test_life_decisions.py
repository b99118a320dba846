"""What people may decide in a life, and what comes of it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import START, spec
from holdfast.api.approval import ApprovalState
from holdfast.api.decision import DecisionType, Gate
from holdfast.api.reasons import ConditionType, Phase, Reason, RefusalReason
from model.world import World
from unit.domain.life import ROLLOUT, arms, condition, decision, phase_of, soak


class TestDecisions:
    def test_an_approval_is_used_once_and_copied(self, first: World) -> None:
        decisions = first.revisions[1].status.decisions or []
        assert [d.by for d in decisions] == ["alice"]
        assert {a.status.state for a in first.approvals.values()} == {ApprovalState.ACCEPTED}

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"request": 7}, RefusalReason.OTHER_REQUEST),
            ({"digest": "v1:" + "0" * 64}, RefusalReason.OTHER_DIGEST),
            ({"base": "v1:" + "0" * 64}, RefusalReason.OTHER_BASE),
            ({"gate": Gate.PROMOTE}, RefusalReason.WRONG_GATE),
        ],
    )
    def test_an_approval_of_something_else_is_refused(self, changes: dict[str, object], reason: RefusalReason) -> None:
        world = World(spec("a"))
        world.settle()
        name = decision(world, DecisionType.APPROVE, **({"gate": Gate.START} | changes))  # type: ignore[arg-type]
        world.settle()
        assert world.approvals[name].status.reason is reason
        assert world.engines == {}

    def test_an_old_approval_does_not_start_a_second_trial(self, canary: World) -> None:
        decision(canary, DecisionType.ABORT)
        canary.settle()
        assert phase_of(canary) is Phase.ABORTED
        first_request = canary.status.request
        assert first_request is not None
        decision(canary, DecisionType.RESUME)
        canary.settle()
        replay = decision(canary, DecisionType.APPROVE, gate=Gate.START, request=first_request.number)
        canary.settle()
        assert canary.approvals[replay].status.reason is RefusalReason.OTHER_REQUEST
        assert phase_of(canary) is Phase.AWAITING_APPROVAL

    def test_an_expired_approval_is_refused(self) -> None:
        world = World(spec("a"))
        world.settle()
        name = decision(world, DecisionType.APPROVE, gate=Gate.START, ttl_seconds=60)
        world.now += timedelta(seconds=61)
        world.settle()
        assert world.approvals[name].status.reason is RefusalReason.EXPIRED

    def test_an_approval_for_an_earlier_deployment_of_the_name_is_refused(self) -> None:
        """The object was deleted and made anew: it asks for the same, by the same number, and its owner was not asked."""
        world = World(spec("a"))
        world.settle()
        name = decision(world, DecisionType.APPROVE, gate=Gate.START)
        found = world.approvals[name]
        world.approvals[name] = replace(found, meta=replace(found.meta, created=START - timedelta(seconds=1)))
        world.settle()
        assert world.approvals[name].status.reason is RefusalReason.OTHER_REQUEST
        assert phase_of(world) is Phase.AWAITING_APPROVAL

    def test_a_rejection_lasts_until_something_else_is_declared(self, first: World) -> None:
        first.apply(spec("b"))
        first.settle()
        decision(first, DecisionType.REJECT)
        first.settle()
        assert phase_of(first) is Phase.STABLE
        assert condition(first, ConditionType.APPROVED) == ("False", Reason.REJECTED)
        first.apply(spec("a"))
        first.settle()
        first.apply(spec("b"))
        first.settle()
        assert phase_of(first) is Phase.AWAITING_APPROVAL

    @pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.SOAKING, Phase.AWAITING_PROMOTION, Phase.PROMOTING])
    def test_abort_works_in_each_phase(self, first: World, phase: Phase) -> None:
        first.apply(spec("b", rollout=ROLLOUT))
        first.settle()
        decision(first, DecisionType.APPROVE, gate=Gate.START)
        first.run()
        if phase is not Phase.PREPARING:
            first.settle()
        if phase in (Phase.AWAITING_PROMOTION, Phase.PROMOTING):
            soak(first)
        if phase is Phase.PROMOTING:
            decision(first, DecisionType.APPROVE, gate=Gate.PROMOTE)
            first.run()
        assert phase_of(first) is phase
        decision(first, DecisionType.ABORT)
        first.settle()
        assert phase_of(first) is Phase.ABORTED
        assert arms(first) == {"1": 10000}
        assert set(first.engines) == {1}

    def test_the_candidate_keeps_its_pods_until_every_gateway_pod_let_go(self, canary: World) -> None:
        decision(canary, DecisionType.ABORT)
        canary.run()
        canary.publish()
        canary.project("gateway-a")
        canary.report("gateway-a")
        canary.run()
        assert canary.engines[2].replicas == 1
        assert canary.status.candidate is not None
        canary.settle_gateway()
        canary.run()
        assert 2 not in canary.engines
