"""The life of a change, told as a person would live it."""

from datetime import timedelta
from typing import Any

import pytest

from builders import approval, fallback_to, model, spec
from holdfast.api.approval import ApprovalState
from holdfast.api.decision import DecisionType, FallbackTargetType, Gate
from holdfast.api.deployment import RequestState
from holdfast.api.reasons import ConditionType, Phase, Reason, RefusalReason
from model.world import World

ROLLOUT = {"steps": [{"weight": 5, "holdSeconds": 60}, {"weight": 50, "holdSeconds": 60}]}


def decision(world: World, kind: DecisionType, *, gate: Gate | None = None, name: str | None = None, **changes: object) -> str:
    request = world.status.request
    bound: dict[str, object] = (
        {"request": request.number, "digest": request.digest, "base": request.base} if request is not None else {}
    )
    name = name or f"decision-{len(world.approvals)}"
    world.decide_as_person(approval(kind, gate=gate, name=name, uid=f"uid-{name}", **(bound | changes)))  # type: ignore[arg-type]
    return name


def condition(world: World, kind: ConditionType) -> tuple[str, Reason] | None:
    return next(((c.status, c.reason) for c in world.status.conditions or [] if c.type is kind), None)


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


def soak(world: World) -> None:
    for _ in range(2):
        world.now += timedelta(seconds=61)
        world.settle()
    assert phase_of(world) is Phase.AWAITING_PROMOTION


def arms(world: World) -> dict[str, int]:
    assert world.published is not None
    return dict(world.published.arms)


def phase_of(world: World) -> Phase | None:
    return world.status.phase


class TestFirstRevision:
    def test_waits_for_its_owner_and_runs_nothing(self) -> None:
        world = World(spec("a"))
        world.settle()
        assert phase_of(world) is Phase.AWAITING_APPROVAL
        assert world.engines == {}
        assert condition(world, ConditionType.APPROVED) == ("False", Reason.AWAITING_OWNER)
        assert condition(world, ConditionType.READY) == ("False", Reason.NOTHING_APPROVED)

    def test_serves_all_users_after_one_approval(self, first: World) -> None:
        assert arms(first) == {"1": 10000}
        assert condition(first, ConditionType.READY) == ("True", Reason.SERVING)
        assert first.status.stable is not None
        assert first.status.stable.approved_by == "alice"

    def test_is_aborted_when_it_never_loads(self) -> None:
        world = World(spec("a", rollout={"loadDeadlineSeconds": 60}))
        world.settle()
        decision(world, DecisionType.APPROVE, gate=Gate.START)
        world.run()
        world.engines[1].broken = True
        world.now += timedelta(seconds=61)
        world.settle()
        assert phase_of(world) is Phase.ABORTED
        assert condition(world, ConditionType.STALLED) == ("True", Reason.CANDIDATE_NEVER_READY)
        assert world.engines == {}


class TestCanary:
    def test_nothing_runs_before_the_start_is_approved(self, first: World) -> None:
        first.apply(spec("b", rollout=ROLLOUT))
        first.settle()
        assert phase_of(first) is Phase.AWAITING_APPROVAL
        assert list(first.engines) == [1]
        assert arms(first) == {"1": 10000}

    def test_takes_its_first_share_and_holds_it(self, canary: World) -> None:
        assert arms(canary) == {"2": 500, "1": 9500}
        canary.now += timedelta(seconds=59)
        canary.settle()
        assert arms(canary) == {"2": 500, "1": 9500}

    def test_waits_for_a_person_after_the_last_step(self, canary: World) -> None:
        soak(canary)
        canary.now += timedelta(days=30)
        canary.settle()
        assert phase_of(canary) is Phase.AWAITING_PROMOTION
        assert arms(canary) == {"2": 5000, "1": 5000}

    def test_does_not_soak_before_every_gateway_pod_has_the_share(self, first: World) -> None:
        first.apply(spec("b", rollout=ROLLOUT))
        first.settle()
        decision(first, DecisionType.APPROVE, gate=Gate.START)
        first.run()
        first.load(2)
        first.run()
        first.publish()
        first.project("gateway-a")
        first.report("gateway-a")
        first.run()
        assert phase_of(first) is Phase.SHIFTING

    def test_swaps_roles_and_keeps_the_old_revision_warm(self, second: World) -> None:
        assert arms(second) == {"2": 10000}
        assert second.status.last_known_good is not None
        assert second.status.last_known_good.revision == 1
        assert set(second.engines) == {1, 2}
        assert condition(second, ConditionType.APPROVED) == ("True", Reason.APPROVED)

    def test_a_later_edit_of_the_steps_does_not_reach_a_canary_under_way(self, canary: World) -> None:
        canary.apply(spec("b", rollout={"steps": [{"weight": 99, "holdSeconds": 0}]}))
        canary.settle()
        assert arms(canary) == {"2": 500, "1": 9500}

    def test_goes_back_by_itself_when_the_candidate_stays_unready(self, canary: World) -> None:
        canary.engines[2].broken = True
        canary.engines[2].ready = 0
        canary.run()
        canary.now += timedelta(seconds=29)
        canary.run()
        assert phase_of(canary) is Phase.SOAKING
        canary.now += timedelta(seconds=2)
        canary.settle()
        assert phase_of(canary) is Phase.ABORTED
        assert arms(canary) == {"1": 10000}
        assert set(canary.engines) == {1}

    def test_outlives_a_replaced_pod(self, canary: World) -> None:
        canary.engines[2].ready = 0
        canary.run()
        canary.now += timedelta(seconds=10)
        canary.settle()
        assert phase_of(canary) is Phase.SOAKING
        assert canary.status.candidate is not None
        assert canary.status.candidate.unready_since is None

    def test_a_third_digest_ends_the_trial_and_needs_its_own_request(self, canary: World) -> None:
        before = canary.status.request
        canary.apply(spec("c", rollout=ROLLOUT))
        canary.settle()
        assert arms(canary) == {"1": 10000}
        assert phase_of(canary) is Phase.AWAITING_APPROVAL
        assert before is not None
        assert canary.status.request is not None
        assert canary.status.request.number == before.number + 1
        assert canary.status.request.revision == 3

    def test_reverting_the_spec_recovers(self, canary: World) -> None:
        canary.engines[2].broken = True
        canary.apply(spec("a", rollout=ROLLOUT))
        canary.settle()
        assert phase_of(canary) is Phase.STABLE
        assert arms(canary) == {"1": 10000}
        assert condition(canary, ConditionType.STALLED) is None


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

    def test_a_settled_world_is_not_written_again(self, second: World) -> None:
        before = second.writes
        second.now += timedelta(days=1)
        second.run()
        assert second.writes == before

    def test_request_states_tell_how_it_ended(self, second: World) -> None:
        assert second.status.request is not None
        assert second.status.request.state is RequestState.PROMOTED
