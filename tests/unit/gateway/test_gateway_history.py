"""Any history of a gateway: people decide as they like, pods load what is published and answer when they like."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from holdfast.api.deployment import ModelDeploymentStatus
from holdfast.api.names import TOTAL_WEIGHT
from holdfast.api.reasons import Phase
from holdfast.domain.gateway import Clusters, PodReport, Routing, arm_cluster, cluster_names, gateway_view
from holdfast.domain.gateway_plan import GatewayPlan, World, plan_gateway
from holdfast.domain.routing import arm_revision, intended_arms, observed, possible_weight
from unit.gateway.states import fallback, pod, report, status, wanted

PODS = (pod("a"), pod("b"))
NAMES = ("chat", "other")
numbers = st.integers(min_value=1, max_value=3)


def statuses(forced: bool) -> st.SearchStrategy[ModelDeploymentStatus]:
    return st.builds(
        status,
        st.sampled_from([Phase.STABLE, Phase.SHIFTING, Phase.PROMOTING, Phase.ABORTING]),
        stable=st.none() | numbers,
        good=st.none() | numbers,
        candidate=st.none() | numbers,
        weight=st.sampled_from([0, 500, 5000, 10000]),
        fallback=st.none() | st.builds(fallback, revision=numbers) if forced else st.none(),
    )


@dataclass(slots=True)
class Loaded:
    """What a pod really has in force. It never goes back."""

    routing: Routing
    clusters: Mapping[str, Clusters]


class History(RuleBasedStateMachine):
    """Two pods, two deployments, and an operator that remembers only what is published."""

    def __init__(self) -> None:
        super().__init__()
        self.statuses: dict[str, ModelDeploymentStatus] = {}
        self.routing: Routing | None = None
        self.clusters: Mapping[str, Clusters] = {}
        self.loaded: dict[str, Loaded] = {}
        self.told: dict[str, PodReport] = {}
        self.step()

    def step(self) -> None:
        """Plan and publish."""
        before = self.routing
        plan = plan_gateway(
            [wanted(state, name=name) for name, state in self.statuses.items()],
            World(
                routing=before, clusters=self.clusters, pods=[pod for pod in PODS if pod.uid in self.loaded], reports=self.told
            ),
        )
        self.check(before, plan)
        news = plan.routing != before or plan.clusters != self.clusters
        self.routing, self.clusters = plan.routing, plan.clusters
        if news:  # the operator asks again after every publication
            self.told = {uid: report(self.loaded[uid].routing, self.loaded[uid].clusters) for uid in self.told}

    def check(self, before: Routing | None, plan: GatewayPlan) -> None:
        known = before.routes if before is not None else {}
        for name, route in plan.routing.routes.items():
            was = known.get(name)
            assert sum(route.arms.values()) == (TOTAL_WEIGHT if route.arms else 0)
            allowed = [intended_arms(self.statuses[name]), {} if was is None else dict(was.arms)]
            assert dict(route.arms) in allowed, "a route is what is asked, or what it was"
            assert was is None or (route.serial == was.serial) == (dict(route.arms) == dict(was.arms))
            assert route.serial <= plan.routing.serial
        changed = before is None or plan.routing.routes != before.routes
        assert plan.routing.serial == (0 if before is None else before.serial) + (1 if changed else 0)

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name: str) -> None:
        self.statuses.pop(name, None)
        self.step()

    @rule(uid=st.sampled_from("ab"))
    def load_routes(self, uid: str) -> None:
        assert self.routing is not None
        if uid in self.loaded:
            self.loaded[uid].routing = self.routing
        else:
            self.loaded[uid] = Loaded(self.routing, self.clusters)
        self.step()

    @rule(uid=st.sampled_from("ab"))
    def load_clusters(self, uid: str) -> None:
        if uid in self.loaded:
            self.loaded[uid].clusters = self.clusters
        self.step()

    @rule(uid=st.sampled_from("ab"))
    def answer(self, uid: str) -> None:
        if uid in self.loaded:
            self.told[uid] = report(self.loaded[uid].routing, self.loaded[uid].clusters)
        self.step()

    @rule(uid=st.sampled_from("ab"))
    def silence(self, uid: str) -> None:
        self.told.pop(uid, None)
        self.step()

    @rule()
    def restart(self) -> None:
        self.told.clear()
        self.step()

    @invariant()
    def what_is_observed_is_in_force(self) -> None:
        assert self.routing is not None
        pods = tuple(pod for pod in PODS if pod.uid in self.loaded)
        for name, route in self.routing.routes.items():
            view = gateway_view(name, self.routing, pods, self.told)
            if observed(view, route.arms):
                assert all(dict(self.loaded[pod.uid].routing.routes[name].arms) == dict(route.arms) for pod in pods)

    @invariant()
    def nothing_can_go_that_a_pod_routes_to(self) -> None:
        assert self.routing is not None
        pods = tuple(pod for pod in PODS if pod.uid in self.loaded)
        for name in self.routing.routes:
            view = gateway_view(name, self.routing, pods, self.told)
            for loaded in self.loaded.values():
                for arm in loaded.routing.routes[name].arms if name in loaded.routing.routes else ():
                    revision = arm_revision(arm)
                    assert revision is not None
                    assert possible_weight(view, revision) > 0


class Ordinary(History):
    """Without fallbacks, which do not wait for silent pods, a pod never routes to a cluster that it does not know."""

    @rule(name=st.sampled_from(NAMES), state=statuses(forced=False))
    def decide(self, name: str, state: ModelDeploymentStatus) -> None:
        self.statuses[name] = state
        self.step()

    @invariant()
    def routes_lead_to_known_clusters(self) -> None:
        for loaded in self.loaded.values():
            known = cluster_names(loaded.clusters)
            for name, route in loaded.routing.routes.items():
                assert all(arm_cluster(name, arm) in known for arm in route.arms)


class Forced(History):
    """With fallbacks."""

    @rule(name=st.sampled_from(NAMES), state=statuses(forced=True))
    def decide(self, name: str, state: ModelDeploymentStatus) -> None:
        self.statuses[name] = state
        self.step()


@pytest.mark.parametrize("history", [Ordinary, Forced])
def test_whatever_happens_the_promises_about_routes_hold(history: type[History]) -> None:
    run_state_machine_as_test(history, settings=settings(max_examples=150, stateful_step_count=30, deadline=None))
