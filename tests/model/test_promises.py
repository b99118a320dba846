"""The promises, under any order of people, spec changes, lagging gateways, failing pods and a clock that jumps.

The invariants are checked by `World` after every single write; `teardown` checks that a world left alone comes to rest.
"""

from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from builders import approval, fallback_to, spec
from holdfast.api.decision import DecisionType, FallbackTargetType, Gate
from holdfast.api.reasons import Phase
from model.world import World

ROLLOUT = {"steps": [{"weight": 10, "holdSeconds": 60}, {"weight": 50, "holdSeconds": 60}], "loadDeadlineSeconds": 300}
FALLBACK = {"external": [{"name": "provider", "url": "https://api.example/v1"}], "standbyReplicas": 0}
PODS = st.sampled_from(["gateway-a", "gateway-b"])


class Promises(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.world = World(spec("a", rollout=ROLLOUT, fallback=FALLBACK))
        self.count = 0

    @rule(letter=st.sampled_from("abc"), replicas=st.sampled_from([None, 1, 2]))
    def declare(self, letter: str, replicas: int | None) -> None:
        serving = {"serving": {"replicas": replicas}} if replicas is not None else {}
        self.world.apply(spec(letter, rollout=ROLLOUT, fallback=FALLBACK, **serving))

    @rule()
    def break_the_spec(self) -> None:
        self.world.apply(None)

    @rule(
        kind=st.sampled_from(DecisionType),
        gate=st.sampled_from(Gate),
        offset=st.sampled_from([0, 0, 0, -1]),
        goal=st.sampled_from([None, FallbackTargetType.LAST_KNOWN_GOOD, FallbackTargetType.EXTERNAL]),
    )
    def decide(self, kind: DecisionType, gate: Gate, offset: int, goal: FallbackTargetType | None) -> None:
        request = self.world.status.request
        self.count += 1
        name = f"decision-{self.count}"
        to = fallback_to(goal, external="provider" if goal is FallbackTargetType.EXTERNAL else None) if goal else None
        self.world.decide_as_person(
            approval(
                kind,
                gate=gate if kind is DecisionType.APPROVE else None,
                request=max(1, request.number + offset) if request else None,
                digest=request.digest if request else None,
                base=request.base if request else None,
                fallback_to=to if kind is DecisionType.FALLBACK else None,
                name=name,
                uid=f"uid-{name}",
            )
        )

    @rule(rounds=st.integers(1, 4))
    def the_owner_says_yes(self, rounds: int) -> None:
        """Bring what is declared as far as an owner who agrees can bring it, so that deep states are common."""
        for _ in range(rounds):
            gates = {Phase.AWAITING_APPROVAL: Gate.START, Phase.AWAITING_PROMOTION: Gate.PROMOTE}
            gate = gates.get(self.world.status.phase or Phase.PENDING)
            if gate is not None:
                self.decide(DecisionType.APPROVE, gate, 0, None)
            self.world.settle()
            self.world.now += timedelta(seconds=61)
            self.world.settle()

    @rule(goal=st.sampled_from([FallbackTargetType.LAST_KNOWN_GOOD, FallbackTargetType.EXTERNAL]))
    def on_call_falls_back(self, goal: FallbackTargetType) -> None:
        self.decide(DecisionType.FALLBACK, Gate.START, 0, goal)

    @rule()
    def on_call_resumes(self) -> None:
        self.decide(DecisionType.RESUME, Gate.START, 0, None)

    @rule()
    def delete_a_decision(self) -> None:
        for name in list(self.world.approvals)[:1]:
            del self.world.approvals[name]

    @rule(count=st.integers(1, 4))
    def operate(self, count: int) -> None:
        """Run the operator for a few writes; it may be killed after any of them."""
        for _ in range(count):
            self.world.step()

    @rule()
    def restart_the_operator(self) -> None:
        self.world.resolutions.clear()

    @rule(pod=PODS)
    def gateway_takes_up(self, pod: str) -> None:
        self.world.project(pod)

    @rule(pod=PODS)
    def gateway_reports(self, pod: str) -> None:
        self.world.report(pod)

    @rule()
    def gateway_publishes(self) -> None:
        self.world.publish()

    @rule(revision=st.integers(1, 3))
    def pods_load(self, revision: int) -> None:
        self.world.load(revision)

    @rule(revision=st.integers(1, 3))
    def pods_fail(self, revision: int) -> None:
        if revision in self.world.engines:
            self.world.engines[revision].ready = 0

    @rule(seconds=st.sampled_from([1, 31, 61, 301]))
    def time_passes(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds)

    @rule()
    def all_is_well_for_a_while(self) -> None:
        self.world.settle()

    @invariant()
    def promises_hold(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.settle()
        before = world.writes
        world.run()
        assert world.writes == before, "a world at rest is not written"
        if world.status.phase is not Phase.FALLBACK and world.status.stable is not None and world.spec is not None:
            roles = {
                role.revision for role in (world.status.stable, world.status.last_known_good, world.status.candidate) if role
            }
            assert set(world.engines) <= roles, "no orphan engines"


TestPromises = Promises.TestCase
TestPromises.settings = settings(
    max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
