"""The life of a change, told as a person would live it: the first revision, and a canary."""

from datetime import timedelta

from builders import spec
from holdfast.api.decision import DecisionType, Gate
from holdfast.api.reasons import ConditionType, Phase, Reason
from model.world import World
from unit.domain.life import ROLLOUT, arms, condition, decision, phase_of, soak


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
