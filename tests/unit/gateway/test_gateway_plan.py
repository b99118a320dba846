"""What a gateway is told next, given what is published and what its pods report."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from holdfast.api.deployment import ModelDeploymentStatus
from holdfast.api.reasons import Phase
from holdfast.domain.gateway import Clusters, External, PodReport, Routing
from holdfast.domain.gateway_plan import GatewayPlan, Wanted, World, plan_gateway, routable
from unit.gateway.states import fallback, pod, report, routes, spec, status, wanted

CANARY = status(Phase.SHIFTING, stable=1, candidate=2, weight=500)
BOTH = {"chat": Clusters(revisions=frozenset({1, 2}), failover={2: 1})}
ONE = {"chat": Clusters(revisions=frozenset({1}))}
SERVING = routes(5, chat={"1": 10000})


def world(
    known: Routing | None = SERVING, clusters: Mapping[str, Clusters] = ONE, *, pods: str = "ab", **reports: PodReport
) -> World:
    return World(routing=known, clusters=clusters, pods=[pod(uid) for uid in pods], reports=reports)


def arms(plan: GatewayPlan, name: str = "chat") -> dict[str, int]:
    return dict(plan.routing.routes[name].arms)


def test_what_is_published_and_seen_changes_nothing() -> None:
    seen = report(SERVING, ONE)
    plan = plan_gateway([wanted(status(stable=1))], world(a=seen, b=seen))
    assert plan.routing == SERVING
    assert plan.clusters == ONE
    assert (plan.waiting, plan.unobserved) == ({}, frozenset())


def test_a_new_deployment_has_a_route_without_arms_at_once() -> None:
    plan = plan_gateway([wanted(ModelDeploymentStatus())], world(None, {}, pods=""))
    assert arms(plan) == {}
    assert plan.routing.serial == 1


def test_a_canary_waits_until_every_pod_knows_the_candidate() -> None:
    plan = plan_gateway([wanted(CANARY)], world(clusters=BOTH, a=report(SERVING, BOTH), b=report(SERVING, ONE)))
    assert arms(plan) == {"1": 10000}
    assert plan.routing.serial == 5
    assert plan.waiting == {"chat": "gateway pod gateway-b does not know revision 2 yet"}


def test_clusters_are_published_before_the_route() -> None:
    plan = plan_gateway([wanted(CANARY)], world(a=report(SERVING, ONE), b=report(SERVING, ONE)))
    assert plan.clusters == BOTH
    assert arms(plan) == {"1": 10000}


def test_a_canary_waits_until_every_pod_sees_a_healthy_endpoint() -> None:
    seen = report(SERVING, BOTH)
    plan = plan_gateway([wanted(CANARY)], world(clusters=BOTH, a=seen, b=report(SERVING, BOTH, dead=(("chat", 2),))))
    assert arms(plan) == {"1": 10000}
    assert "gateway-b sees no healthy endpoint of revision 2" in plan.waiting["chat"]


def test_a_canary_waits_for_a_pod_that_does_not_answer() -> None:
    plan = plan_gateway([wanted(CANARY)], world(clusters=BOTH, a=report(SERVING, BOTH)))
    assert plan.waiting == {"chat": "gateway pod gateway-b does not answer"}


def test_a_canary_starts_when_every_pod_is_ready_for_it() -> None:
    seen = report(SERVING, BOTH)
    plan = plan_gateway([wanted(CANARY)], world(clusters=BOTH, a=seen, b=seen))
    assert arms(plan) == {"1": 9500, "2": 500}
    assert (plan.routing.serial, plan.routing.routes["chat"].serial) == (6, 6)
    assert plan.unobserved == {"chat"}


def test_a_step_needs_no_look_since_its_arms_get_requests_already() -> None:
    split = routes(6, chat={"1": 9500, "2": 500})
    plan = plan_gateway([wanted(status(Phase.SHIFTING, stable=1, candidate=2, weight=2500))], world(split, BOTH))
    assert arms(plan) == {"1": 7500, "2": 2500}


def test_an_abort_waits_for_nothing() -> None:
    split = routes(6, chat={"1": 9500, "2": 500})
    dead = report(split, BOTH, dead=(("chat", 1),))
    plan = plan_gateway([wanted(status(Phase.ABORTING, stable=1, candidate=2))], world(split, BOTH, a=dead))
    assert arms(plan) == {"1": 10000}


def test_a_revision_that_lost_its_route_stays_known_until_every_pod_is_seen_without_it() -> None:
    split, back = routes(6, chat={"1": 9500, "2": 500}), routes(7, chat={"1": 10000})
    aborted = [wanted(status(Phase.ABORTED, stable=1))]
    behind = world(back, BOTH, a=report(back, BOTH), b=report(split, BOTH))
    assert plan_gateway(aborted, behind).clusters == BOTH
    assert plan_gateway(aborted, world(back, BOTH, a=report(back, BOTH), b=report(back, BOTH))).clusters == ONE


def test_a_report_of_the_same_arms_from_before_does_not_count() -> None:
    """Between that report and now the pod may have loaded the split: it may still route to the candidate."""
    back = routes(7, chat={"1": 10000})
    old = report(SERVING, BOTH)
    plan = plan_gateway([wanted(status(Phase.ABORTED, stable=1))], world(back, BOTH, a=old, b=old))
    assert plan.unobserved == {"chat"}
    assert plan.clusters == BOTH


def test_a_later_report_of_other_arms_does_not_count() -> None:
    """Serials that were lost and began anew prove nothing."""
    other = report(routes(40, chat={"1": 5000, "2": 5000}), BOTH)
    plan = plan_gateway([wanted(status(stable=1))], world(SERVING, BOTH, a=other, b=other))
    assert plan.unobserved == {"chat"}
    assert plan.clusters == BOTH


def test_a_leaving_pod_that_is_behind_keeps_a_revision_known() -> None:
    split, back = routes(6, chat={"1": 9500, "2": 500}), routes(7, chat={"1": 10000})
    seen = world(back, BOTH, pods="a", a=report(back, BOTH), z=report(split, BOTH))
    leaving = replace(seen, pods=[*seen.pods, pod("z", ready=False)])
    assert plan_gateway([wanted(status(stable=1))], leaving).clusters == BOTH


FALLEN = status(Phase.FALLBACK, stable=2, good=1, fallback=fallback(revision=1))
ON_TWO = routes(9, chat={"2": 10000})
PAIR = {"chat": Clusters(revisions=frozenset({1, 2}))}


def test_a_fallback_is_published_at_once() -> None:
    seen = report(ON_TWO, PAIR)
    plan = plan_gateway([wanted(FALLEN)], world(ON_TWO, PAIR, a=seen, b=seen))
    assert arms(plan) == {"1": 10000}
    assert not plan.clusters_first


def test_a_fallback_does_not_wait_for_a_pod_that_does_not_answer() -> None:
    plan = plan_gateway([wanted(FALLEN)], world(ON_TWO, PAIR, a=report(ON_TWO, PAIR)))
    assert arms(plan) == {"1": 10000}


def test_a_fallback_to_a_revision_without_pods_waits_while_the_present_one_answers() -> None:
    cold = report(ON_TWO, PAIR, dead=(("chat", 1),))
    plan = plan_gateway([wanted(FALLEN)], world(ON_TWO, PAIR, a=cold, b=report(ON_TWO, PAIR)))
    assert arms(plan) == {"2": 10000}
    assert "no healthy endpoint of revision 1" in plan.waiting["chat"]


def test_a_fallback_does_not_wait_when_the_present_revision_has_no_pods_either() -> None:
    dead = report(ON_TWO, PAIR, dead=(("chat", 1), ("chat", 2)))
    plan = plan_gateway([wanted(FALLEN)], world(ON_TWO, PAIR, a=dead, b=dead))
    assert arms(plan) == {"1": 10000}


def test_a_fallback_waits_for_no_other_deployment() -> None:
    """Another deployment's pending shift, its unknown clusters and its silence hold up nothing of this one."""
    known = replace(ON_TWO, routes={**ON_TWO.routes, **routes(9, other={"1": 10000}).routes})
    clusters = {**PAIR, "other": Clusters(revisions=frozenset({1}))}
    seen = report(known, clusters)
    plan = plan_gateway([wanted(FALLEN), wanted(CANARY, name="other")], world(known, clusters, a=seen, b=seen))
    assert arms(plan) == {"1": 10000}
    assert arms(plan, "other") == {"1": 10000}
    assert set(plan.waiting) == {"other"}


DESK = External(name="desk", url="https://desk.test/v1")
DECLARED = spec(externals={"desk": "https://desk.test/v1"})
TO_DESK = status(Phase.FALLBACK, stable=1, fallback=fallback(external="desk"))


def test_a_declared_external_is_known_before_anybody_needs_it() -> None:
    plan = plan_gateway([wanted(status(stable=1), declared=DECLARED)], world())
    assert plan.clusters["chat"].externals == (DESK,)


def test_a_fallback_to_an_external_waits_until_the_pods_know_it() -> None:
    clusters = {"chat": Clusters(revisions=frozenset({1}), externals=(DESK,))}
    both = [wanted(TO_DESK, declared=DECLARED)]
    ignorant = report(SERVING, ONE)
    assert arms(plan_gateway(both, world(clusters=clusters, a=ignorant, b=ignorant))) == {"1": 10000}
    knowing = report(SERVING, clusters)
    assert arms(plan_gateway(both, world(clusters=clusters, a=knowing, b=knowing))) == {"external/desk": 10000}


def test_an_external_in_use_keeps_the_address_that_it_was_chosen_with() -> None:
    on_desk = routes(6, chat={"external/desk": 10000})
    clusters = {"chat": Clusters(revisions=frozenset({1}), externals=(DESK,))}
    seen = report(on_desk, clusters)
    edited = wanted(TO_DESK, declared=spec(externals={"desk": "https://elsewhere.test/v1"}))
    assert plan_gateway([edited], world(on_desk, clusters, a=seen, b=seen)).clusters["chat"].externals == (DESK,)


def test_an_external_that_a_pod_may_still_use_keeps_its_address() -> None:
    clusters = {"chat": Clusters(revisions=frozenset({1}), externals=(DESK,))}
    back, on_desk = routes(7, chat={"1": 10000}), routes(6, chat={"external/desk": 10000})
    edited = wanted(status(stable=1), declared=spec(externals={"desk": "https://elsewhere.test/v1"}))
    behind = world(back, clusters, a=report(back, clusters), b=report(on_desk, clusters))
    assert plan_gateway([edited], behind).clusters["chat"].externals == (DESK,)
    settled = world(back, clusters, a=report(back, clusters), b=report(back, clusters))
    assert plan_gateway([edited], settled).clusters["chat"].externals != (DESK,)


def test_an_external_that_nobody_uses_takes_its_new_address() -> None:
    clusters = {"chat": Clusters(revisions=frozenset({1}), externals=(DESK,))}
    seen = report(SERVING, clusters)
    edited = wanted(status(stable=1), declared=spec(externals={"desk": "https://elsewhere.test/v1"}))
    plan = plan_gateway([edited], world(clusters=clusters, a=seen, b=seen))
    assert plan.clusters["chat"].externals == (External(name="desk", url="https://elsewhere.test/v1"),)


def test_the_candidate_fails_over_to_the_stable_revision_and_the_stable_one_to_none() -> None:
    assert plan_gateway([wanted(CANARY)], world()).clusters["chat"].failover == {2: 1}
    promoted = plan_gateway([wanted(status(stable=2, good=1))], world(ON_TWO, BOTH))
    assert promoted.clusters["chat"].failover == {}


def test_the_target_of_a_fallback_fails_over_to_none() -> None:
    state = status(Phase.FALLBACK, stable=2, candidate=1, fallback=fallback(revision=1))
    assert plan_gateway([wanted(state)], world(ON_TWO, PAIR)).clusters["chat"].failover == {}


def test_the_header_that_splits_users_stays_while_they_are_split() -> None:
    split = routes(6, chat={"1": 9500, "2": 500})
    state = status(Phase.SHIFTING, stable=1, candidate=2, weight=2500)
    edited = spec(header="x-account")
    assert plan_gateway([wanted(state, declared=edited)], world(split, BOTH)).routing.routes["chat"].header == "x-user-id"
    assert plan_gateway([wanted(status(stable=1), declared=edited)], world()).routing.routes["chat"].header == "x-account"


def test_a_change_that_moves_nobody_keeps_the_serial_of_the_route() -> None:
    plan = plan_gateway([wanted(status(stable=1), declared=spec(header="x-account"))], world())
    assert (plan.routing.serial, plan.routing.routes["chat"].serial) == (6, 5)


def test_a_deployment_that_cannot_be_read_stays_as_it_is_published() -> None:
    plan = plan_gateway([Wanted(name="chat", spec=None, status=None)], world(a=report(SERVING, ONE)))
    assert (plan.routing, plan.clusters) == (SERVING, ONE)


def test_a_spec_that_cannot_be_read_leaves_header_and_externals() -> None:
    known = replace(SERVING, routes={"chat": replace(SERVING.routes["chat"], header="x-account")})
    clusters = {"chat": Clusters(revisions=frozenset({1}), externals=(DESK,))}
    seen = report(known, clusters)
    plan = plan_gateway([Wanted(name="chat", spec=None, status=status(stable=1))], world(known, clusters, a=seen, b=seen))
    assert (plan.routing, plan.clusters) == (known, clusters)


def test_a_deleted_deployment_loses_its_route_first_and_its_clusters_when_nobody_routes_to_them() -> None:
    seen = report(SERVING, ONE)
    plan = plan_gateway([], world(a=seen, b=seen))
    assert (dict(plan.routing.routes), plan.routing.serial) == ({}, 6)
    assert plan.clusters == ONE
    behind = plan_gateway([], world(plan.routing, ONE, a=report(plan.routing, ONE), b=seen))
    assert behind.clusters == ONE
    gone = report(plan.routing, ONE)
    assert plan_gateway([], world(plan.routing, ONE, a=gone, b=gone)).clusters == {}


def test_lost_state_is_recovered_from_what_the_pods_answer_by() -> None:
    """The ConfigMap was deleted: the pods still route, and their serials must not be used twice."""
    newest = routes(8, chat={"1": 9500, "2": 500})
    plan = plan_gateway([wanted(CANARY)], world(None, {}, a=report(newest, BOTH), b=report(SERVING, BOTH)))
    assert plan.routing.routes == newest.routes
    assert plan.routing.serial == 9


def test_lost_state_of_a_silent_gateway_is_made_anew_from_the_statuses() -> None:
    plan = plan_gateway([wanted(status(stable=1))], world(None, {}))
    assert arms(plan) == {"1": 10000}
    assert plan.clusters_first


def test_a_target_that_was_taken_away_and_comes_back_is_waited_for() -> None:
    """The pods still know it from before, and are about to load the clusters without it."""
    plan = plan_gateway([wanted(CANARY)], world(clusters=ONE, a=report(SERVING, BOTH), b=report(SERVING, BOTH)))
    assert arms(plan) == {"1": 10000}
    assert "does not know revision 2" in plan.waiting["chat"]


@pytest.mark.parametrize("url", ["http://desk.test:99999", "http://desk.test:0", "http://a..b", f"http://{'a' * 64}.test"])
def test_an_external_that_cannot_be_reached_is_told_of_and_holds_up_nothing(url: str) -> None:
    seen = report(SERVING, ONE)
    plan = plan_gateway([wanted(status(stable=1), declared=spec(externals={"desk": url}))], world(a=seen, b=seen))
    assert plan.clusters == ONE
    assert plan.problems["chat"].startswith("spec.fallback.external[desk].url: nothing can be reached at")


def test_names_that_could_meet_another_domain_are_not_routed() -> None:
    assert [routable(name) for name in ("chat", "a", "9", "chat.team-a", "holdfast-gateway", "-a", "A", "a" * 41)] == [
        *(True, True, True),
        *(False, False, False, False, False),
    ]
    plan = plan_gateway([wanted(status(stable=1), name="holdfast-gateway")], world(None, {}))
    assert plan.routing.routes == {}
    assert "cannot be a host name" in plan.problems["holdfast-gateway"]
