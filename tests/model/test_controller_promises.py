"""The promises of the whole controller, whatever people, the world, the watches, the API server and the process's end come up with.

The operator's calls stand still until a rule lets them go on, so that its workers interleave in every way. What must hold at every
moment is `model.promises`; what must hold once all are left alone is `model.rest`.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Literal

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast.api import names
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.cluster.errors import Conflict, Failure, Rejected, Transient
from holdfast.cluster.port import Manifest
from model.effort import effort
from model.envoys import VOLUMES, Envoy
from model.faults import Crash
from model.life import CALM, Place, played
from model.operator_run import OperatorRun
from model.outcome import difference
from model.people import KEY, UNKNOWN
from model.rest import check_rest, serving_outcome
from model.strangers import mark, spoil, squat

FAULTS: Final[dict[str, Exception]] = {
    "409": Conflict("the object has been modified"),
    "429": Transient("too many requests", retry_after=1.0),
    "500": Transient("internal error"),
    "timed out": Transient("timed out"),
    "403": Rejected("exceeded quota"),
}
VERBS: Final = ("get", "list", "create", "patch", "update", "delete", None)
BEGINNINGS: Final = (
    "declare",
    "approve the first",
    "declare the second",
    "start the canary",
    "soak",
    "promote",
    "fall back",
    "fall back in mid canary",
    "abort in mid canary",
    "stay there",
)
_GATES: Final = {"AwaitingApproval": "Start", "AwaitingPromotion": "Promote"}
CALLS: Final = (
    f"replace ConfigMap {names.GATEWAY_ROUTES}: sent",
    f"replace ConfigMap {names.GATEWAY_ROUTES}: answered",
    "ask",
    "status ModelDeployment",
    "apply Deployment",
    "delete Deployment",
    "create",
    "list Pod",
)
_FRESH: Final[dict[str, dict[str, str]]] = {}
"""What a fresh cluster becomes with a declared model, by its letter."""

index = st.integers(0, 5)


class ControllerPromises(RuleBasedStateMachine):
    """One namespace, one ModelDeployment, and everything that can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.place = Place.empty()
        self.version = 1
        self.letter = "a"
        self.heard: list[Any] = []
        self.operator = self._process()

    @initialize(stage=st.sampled_from(BEGINNINGS))
    def begin(self, stage: str) -> None:
        """Begin somewhere in the life, so that no state is too deep to be tried from every side."""
        self.place = self.loop.run_until_complete(played(stage)).end.copy()
        self.letter = "a" if stage in ("declare", "approve the first", "stay there") else "b"
        self.operator = self._process()
        self._run(self.operator.start())

    # people

    @rule(letter=st.sampled_from("aabbc"), replicas=st.sampled_from([None, 1, 2]))
    def declare(self, letter: str, replicas: int | None) -> None:
        self.letter = letter
        self.place.people.declare(letter, **({"serving": {"replicas": replicas}} if replicas is not None else {}))

    @rule(how=st.sampled_from(["unknown", "unreadable", "deleted", "deleted and declared again"]))
    def declare_nothing_good(self, how: str) -> None:
        people = self.place.people
        if how == "unknown":
            people.declare(UNKNOWN)
        elif how == "unreadable":
            people.declare_badly()
        else:
            people.delete()
        if how == "deleted and declared again":
            people.declare(self.letter)

    @rule()
    def the_owner_says_yes(self) -> None:
        self.place.people.approve(_GATES.get(self.place.people.phase or "", "Start"))

    @rule(external=st.sampled_from([None, None, "provider", "nobody"]))
    def on_call_falls_back(self, external: str | None) -> None:
        self.place.people.fall_back(external=external)

    @rule(decision=st.sampled_from(["Resume", "Abort", "Reject"]))
    def a_person_decides(self, decision: str) -> None:
        self.place.people.decide(decision)

    @rule(
        decision=st.sampled_from(["Approve", "Approve", "Resume", "Abort"]),
        gate=st.sampled_from(["Start", "Promote"]),
        wrong=st.sampled_from([{"request": 1}, {"request": 7}, {"digest": f"v1:{'0' * 64}"}, {"base": f"v1:{'0' * 64}"}]),
    )
    def somebody_decides_on_something_else(self, decision: str, gate: str, wrong: Manifest) -> None:
        self.place.people.decide(decision, gate=gate if decision == "Approve" else None, **wrong)

    @rule(number=index)
    def a_decision_is_deleted(self, number: int) -> None:
        self.place.people.delete_decision(number)

    # the world

    @rule(part=st.sampled_from(["collect_garbage", "run_deployments", "ready_engines", "report_deployments", "act"]))
    def the_world_moves(self, part: str) -> None:
        if part == "collect_garbage":
            self.place.cluster.collect_garbage()
        else:
            getattr(self.place.nodes, part)()

    @rule(number=st.integers(1, 3))
    def an_engine_breaks(self, number: int) -> None:
        self.place.nodes.broken ^= {names.revision_name(KEY.name, number)}

    @rule(number=index, event=st.sampled_from(["routes", "clusters", "start", "crash", "end", "replace", "ready", "unready"]))
    def something_happens_to_a_gateway_pod(self, number: int, event: str) -> None:
        nodes = self.place.nodes
        for envoy in self._envoy(number):
            if event in ("ready", "unready"):
                nodes.set_ready(envoy, ready=event == "ready")
            elif event in VOLUMES:
                nodes.project(envoy, "routes" if event == "routes" else "clusters")
            else:
                getattr(nodes, event)(envoy)

    @rule(number=index, how=st.sampled_from(["silent", "slow"]))
    def a_gateway_pod_is(self, number: int, how: str) -> None:
        """Let a pod not answer the operator, or be left out when the world moves by itself."""
        for envoy in self._envoy(number):
            if how == "silent":
                envoy.silent = not envoy.silent
            else:
                self.place.nodes.slow ^= {envoy.uid}

    @rule(number=st.integers(0, 20), how=st.sampled_from(["delete", "mark", "spoil", "squat"]))
    def a_stranger_meddles(self, number: int, how: str) -> None:
        cluster = self.place.cluster
        children = [(kind, key) for kind in kinds.CHILDREN for key in sorted(cluster.view(kind))]
        kind, key = children[number % len(children)] if children else (kinds.SERVICE, KEY)
        if how == "squat":
            squat(cluster, (kinds.SERVICE, kinds.CONFIG_MAP, kinds.DEPLOYMENT)[number % 3], 1 + number % 4)
        elif children and how == "delete":
            cluster.remove(kind, key)
        elif children:
            cluster.edit(kind, key, mark if how == "mark" or kind is kinds.POD_DISRUPTION_BUDGET else spoil)

    @rule(number=st.integers(0, 3))
    def a_webhook_changes_a_pod(self, number: int) -> None:
        self.place.nodes.change(number)

    @rule(seconds=st.sampled_from([0.3, 1, 6, 31, 61, 601, 3601]))
    def time_passes(self, seconds: float) -> None:
        self.place.cluster.advance(seconds)

    # the watches

    @rule(kind=st.sampled_from(kinds.WATCHED), what=st.sampled_from(["interrupted", "late", "late"]))
    def a_watch_is(self, kind: kinds.Kind, what: str) -> None:
        if what == "interrupted":
            self.operator.relist(kind)
        else:
            self.operator.deaf ^= {kind}

    @rule(number=st.integers(0, 50))
    def old_news_comes_again(self, number: int) -> None:
        if self.heard:
            self.operator.hear(self.heard[-1 - number % len(self.heard)])

    # the API server and the process

    @rule(
        when=st.sampled_from(["before", "after"]),
        fault=st.sampled_from(sorted(FAULTS)),
        verb=st.sampled_from(VERBS),
        skip=st.integers(0, 5),
    )
    def a_call_will_fail(self, when: Literal["before", "after"], fault: str, verb: str | None, skip: int) -> None:
        refused = fault in ("403", "409")
        self.place.cluster.inject("before" if refused else when, FAULTS[fault], verb=verb, skip=skip)

    @rule(when=st.sampled_from(["before", "after"]), skip=st.integers(0, 10))
    def a_write_will_kill(self, when: Literal["before", "after"], skip: int) -> None:
        self.place.cluster.inject(when, Crash(), skip=skip)

    @rule()
    def the_process_is_killed(self) -> None:
        self._restart()

    @rule(choices=st.lists(st.integers(0, 30), min_size=1, max_size=12))
    def the_operator_works(self, choices: list[int]) -> None:
        """Let news arrive, workers begin and calls go on, in some order."""
        for choice in choices:
            options = self.operator.options()
            if not options:
                return
            self._guard(self.operator.step(options[choice % len(options)]))

    @rule(call=st.sampled_from(CALLS), skip=st.integers(0, 8))
    def a_call_takes_its_time(self, call: str, skip: int) -> None:
        """Let one call stand still, in its effect or in its answer, while the other workers go on."""
        self._guard(self.operator.run_until(call, skip=skip))

    @rule()
    def slow_calls_go_on(self) -> None:
        self.operator.gates.hurry()

    @rule(calm=st.sampled_from([0.0, 3.0]))
    def everything_goes_on(self, calm: float) -> None:
        """Let everything happen that can, with all the trouble that there is."""
        self._guard(self.operator.settle(calm=calm))

    @rule(calm=st.sampled_from([0.0, CALM]))
    def all_is_well_for_a_while(self, calm: float) -> None:
        self._heal()
        self._guard(self.operator.settle(calm=calm))

    @precondition(lambda self: self.place.people.phase in (*_GATES, "Soaking"))
    @rule()
    def the_owner_agrees_and_all_is_well(self) -> None:
        """Bring what is declared further, so that deep states are common."""
        if self.place.people.phase == "Soaking":
            self.place.cluster.advance(3600)
        else:
            self.the_owner_says_yes()
        self.all_is_well_for_a_while(CALM)

    @invariant()
    def promises_hold(self) -> None:
        self.place.witness.hold()
        assert "InternalError" not in self.operator.outcomes

    def teardown(self) -> None:
        try:
            self._heal()
            self._run(self.operator.settle())
            self.promises_hold()
            check_rest(self.place)
            self._second_pass()
            self._take_back_what_is_bad()
            self._end_as_a_fresh_cluster()
        finally:
            self._run(self.operator.kill())
            self.loop.close()

    # at rest

    def _second_pass(self) -> None:
        version, writes = self.place.cluster.version, len(self.place.cluster.writes())
        self._restart()
        self._run(self.operator.settle())
        assert self.place.cluster.version == version, "a restart changes something"
        assert len(self.place.cluster.writes()) == writes, "a restart writes what is there already"

    def _take_back_what_is_bad(self) -> None:
        """Reverting to what serves always recovers."""
        people = self.place.people
        stable = people.status().get("stable")
        if stable is None or people.phase == "Fallback":
            return
        revision = self.place.cluster.view(kinds.MODEL_REVISION)[Key(KEY.namespace, f"{KEY.name}-{stable['revision']}")]
        self.letter = revision["spec"]["model"]["source"]["huggingFace"]["commit"][0]
        people.declare(self.letter)
        self._run(self.operator.settle())
        self.promises_hold()
        assert people.phase == "Stable", people.status()
        assert people.status()["stable"] == stable
        check_rest(self.place)

    def _end_as_a_fresh_cluster(self) -> None:
        """An owner who agrees gets what is declared, and it is what a fresh cluster makes of it."""
        self.place.people.declare(self.letter)
        self._run(_agree(self.place, self.operator))
        self.promises_hold()
        check_rest(self.place)
        if self.letter not in _FRESH:
            fresh = Place.empty()
            fresh.people.declare(self.letter)
            operator = OperatorRun(fresh.cluster, fresh.nodes, landed=fresh.witness.landed)
            self._run(operator.start())
            self._run(_agree(fresh, operator))
            self._run(operator.kill())
            _FRESH[self.letter] = serving_outcome(fresh)
        found = difference(serving_outcome(self.place), _FRESH[self.letter])
        assert not found, f"a fresh cluster would be another: {found}"

    # means

    def _process(self) -> OperatorRun:
        place = self.place
        return OperatorRun(place.cluster, place.nodes, landed=place.witness.landed, heard=self.heard.append, version=self.version)

    def _restart(self) -> None:
        """Kill the process, whatever is on its way, and start a newer version of the program."""
        self._run(self.operator.kill())
        self.version += 1
        self.operator = self._process()
        for _ in range(20):
            try:
                self._run(self.operator.start())
                return
            except (Failure, Crash):  # it ends, and the kubelet starts it again
                self._run(self.operator.kill())
                self.operator = self._process()
        raise AssertionError("the operator does not start")

    def _guard(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            self._run(work)
        except Crash:
            note("killed")
            self.promises_hold()
            self._restart()

    def _run(self, work: Coroutine[Any, Any, object]) -> None:
        self.loop.run_until_complete(work)

    def _envoy(self, number: int) -> list[Envoy]:
        """Return one gateway pod, if there is any."""
        envoys = list(self.place.nodes.envoys.values())
        return [envoys[number % len(envoys)]] if envoys else []

    def _heal(self) -> None:
        """Take away whatever is in the operator's way."""
        cluster, nodes = self.place.cluster, self.place.nodes
        cluster.heal()
        nodes.broken.clear()
        nodes.replace_changed()
        nodes.slow.clear()
        self.operator.deaf.clear()
        self.operator.gates.hurry()
        for envoy in nodes.envoys.values():
            envoy.silent = False
        for kind in kinds.CHILDREN:
            for key, found in list(cluster.view(kind).items()):
                if names.LABEL_COMPONENT not in (found["metadata"].get("labels") or {}):
                    cluster.remove(kind, key)


async def _agree(place: Place, operator: OperatorRun) -> None:
    """Let everybody agree until what is declared serves alone."""
    people = place.people
    for _ in range(12):
        await operator.settle()
        status = people.status()
        settled = status["phase"] == "Stable" and status["stable"]["digest"] == status["desired"]["digest"]
        if settled:
            return
        if status["phase"] in _GATES:
            people.approve(_GATES[status["phase"]])
        elif status["phase"] == "Soaking":
            place.cluster.advance(3600)
        else:
            people.decide("Resume")
    raise AssertionError(f"everybody agrees, and yet: {people.status()}")


TestControllerPromises = ControllerPromises.TestCase
TestControllerPromises.settings = effort(examples=60, steps=30, nightly=3000)
