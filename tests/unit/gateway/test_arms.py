"""Which revision gets which share, as a function of the status alone."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from holdfast.api.deployment import ModelDeploymentStatus
from holdfast.api.names import TOTAL_WEIGHT
from holdfast.api.reasons import Phase, Reason
from holdfast.domain.routing import (
    external_arm,
    intended_arms,
    live_arms,
    observed,
    possible_weight,
    removable,
    revision_arm,
    served_by,
)
from holdfast.domain.snapshot import GatewayReport, GatewayView, Published
from unit.gateway.states import fallback, spec, status


def test_nothing_approved_has_no_arms() -> None:
    assert intended_arms(ModelDeploymentStatus()) == {}


def test_the_stable_revision_has_everything() -> None:
    assert intended_arms(status(stable=3, good=2)) == {"3": 10000}


def test_a_canary_has_its_weight_and_the_stable_revision_the_rest() -> None:
    assert intended_arms(status(Phase.SOAKING, stable=1, candidate=2, weight=500)) == {"1": 9500, "2": 500}


def test_a_candidate_that_is_being_prepared_has_nothing() -> None:
    assert intended_arms(status(Phase.PREPARING, stable=1, candidate=2)) == {"1": 10000}


def test_the_first_candidate_gets_nothing_before_its_promotion() -> None:
    assert intended_arms(status(Phase.PREPARING, candidate=1, weight=10000)) == {}


def test_the_first_candidate_gets_everything_when_it_is_promoted() -> None:
    assert intended_arms(status(Phase.PROMOTING, candidate=1)) == {"1": 10000}


def test_a_promotion_moves_everything() -> None:
    assert intended_arms(status(Phase.PROMOTING, stable=1, candidate=2, weight=5000)) == {"2": 10000}


def test_an_abort_takes_everything_from_the_candidate() -> None:
    assert intended_arms(status(Phase.ABORTING, stable=1, candidate=2, weight=5000)) == {"1": 10000}


def test_a_failed_candidate_gets_nothing_in_any_phase() -> None:
    trial = status(Phase.SOAKING, stable=1, candidate=2, weight=5000)
    assert trial.candidate is not None
    failed = trial.candidate.model_copy(update={"failed": Reason.CANDIDATE_FAILED})
    assert intended_arms(trial.model_copy(update={"candidate": failed})) == {"1": 10000}


def test_a_fallback_takes_everything() -> None:
    state = status(Phase.FALLBACK, stable=2, good=1, candidate=3, weight=5000, fallback=fallback(revision=1))
    assert intended_arms(state) == {"1": 10000}


def test_a_fallback_to_an_external_takes_everything() -> None:
    assert intended_arms(status(Phase.FALLBACK, stable=2, fallback=fallback(external="desk"))) == {"external/desk": 10000}


def test_everything_that_a_fallback_may_need_is_live() -> None:
    state = status(Phase.FALLBACK, stable=2, good=1, candidate=3, fallback=fallback(revision=7))
    declared = spec(externals={"desk": "https://desk.test"})
    assert live_arms(state, declared) == {"1", "2", "3", "7", "external/desk"}


def test_answers_are_marked_by_role() -> None:
    assert served_by(status(stable=2, good=1, candidate=3)) == {"1": "fallback", "2": "stable", "3": "candidate"}


def test_the_target_of_a_fallback_is_marked_so_even_if_it_is_the_stable_revision() -> None:
    assert served_by(status(stable=2, good=1, fallback=fallback(revision=2)))["2"] == "fallback"


numbers = st.integers(min_value=1, max_value=9)
fallbacks = st.one_of(
    st.none(), st.builds(fallback, revision=numbers), st.builds(fallback, external=st.sampled_from(["desk", "other"]))
)
statuses = st.builds(
    status,
    st.sampled_from(list(Phase)),
    stable=st.none() | numbers,
    good=st.none() | numbers,
    candidate=st.none() | numbers,
    weight=st.integers(min_value=0, max_value=10000),
    fallback=fallbacks,
)


@given(statuses)
def test_weights_sum_to_the_total_or_there_are_none(state: ModelDeploymentStatus) -> None:
    arms = intended_arms(state)
    assert sum(arms.values()) == (TOTAL_WEIGHT if arms else 0)
    assert all(weight > 0 for weight in arms.values())


@given(statuses)
def test_nothing_is_routed_to_that_the_status_does_not_name(state: ModelDeploymentStatus) -> None:
    named = {revision_arm(each.revision) for each in (state.stable, state.last_known_good, state.candidate) if each is not None}
    if state.fallback is not None and state.fallback.revision is not None:
        named.add(revision_arm(state.fallback.revision))
    if state.fallback is not None and state.fallback.external is not None:
        named.add(external_arm(state.fallback.external))
    assert set(intended_arms(state)) <= named
    assert set(intended_arms(state)) <= live_arms(state, None)


def view(published: Published | None, *reports: GatewayReport, ready: str = "ab", other: str = "") -> GatewayView:
    return GatewayView(ready_pods=frozenset(ready), other_pods=frozenset(other), reports=reports, published=published)


def said(pod: str, serial: int) -> GatewayReport:
    return GatewayReport(pod=pod, serial=serial, arms={"1": 9500, "2": 500} if serial >= 7 else {"1": 10000})


SPLIT = Published(serial=7, arms={"1": 9500, "2": 500})


def test_arms_are_observed_when_every_ready_pod_reports_them() -> None:
    assert observed(view(SPLIT, said("a", 7), said("b", 7)), SPLIT.arms)


def test_arms_are_not_observed_while_one_pod_is_behind() -> None:
    assert not observed(view(SPLIT, said("a", 7), said("b", 6)), SPLIT.arms)


def test_arms_are_not_observed_while_one_pod_is_silent() -> None:
    assert not observed(view(SPLIT, said("a", 7)), SPLIT.arms)


def test_arms_are_not_observed_without_a_ready_pod() -> None:
    assert not observed(view(SPLIT, said("a", 7), ready="", other="a"), SPLIT.arms)


def test_arms_are_not_observed_while_a_leaving_pod_answers_by_others() -> None:
    """It still has clients, and routes their requests as before."""
    assert not observed(view(SPLIT, said("a", 7), said("b", 7), said("c", 6), other="c"), SPLIT.arms)
    assert observed(view(SPLIT, said("a", 7), said("b", 7), said("c", 7), other="c"), SPLIT.arms)


def test_a_pod_that_neither_serves_nor_answers_keeps_nothing_from_being_observed() -> None:
    gone = GatewayReport(pod="c", serial=6, arms={"1": 10000}, silent=True)
    assert observed(view(SPLIT, said("a", 7), said("b", 7), gone, other="c"), SPLIT.arms)
    assert observed(view(SPLIT, said("a", 7), said("b", 7), other="c"), SPLIT.arms)


def test_other_arms_than_the_published_are_not_observed() -> None:
    assert not observed(view(SPLIT, said("a", 7), said("b", 7)), {"1": 10000})


def test_the_same_arms_of_an_earlier_publication_are_not_observed() -> None:
    """After 100 → 50 → 100 a report from before is no proof that a pod is back at 100."""
    again = Published(serial=9, arms={"1": 10000})
    stale = GatewayReport(pod="a", serial=5, arms={"1": 10000})
    assert not observed(view(again, stale, ready="a"), again.arms)


def test_a_serial_without_the_arms_is_not_observed() -> None:
    """Serials that were lost and began anew must not make an old route pass for the published one."""
    other = GatewayReport(pod="a", serial=40, arms={"1": 10000})
    assert not observed(view(SPLIT, other, ready="a"), SPLIT.arms)


def test_a_revision_may_still_get_requests_from_a_pod_that_is_behind() -> None:
    back = Published(serial=8, arms={"1": 10000})
    assert possible_weight(view(back, GatewayReport(pod="a", serial=8, arms={"1": 10000}), said("b", 7)), 2) == 10000


def test_a_revision_gets_no_requests_once_every_running_pod_is_seen_without_it() -> None:
    back = Published(serial=8, arms={"1": 10000})
    seen = [GatewayReport(pod=pod, serial=8, arms={"1": 10000}) for pod in "abc"]
    assert possible_weight(view(back, *seen, other="c"), 2) == 0


def test_a_leaving_pod_that_is_behind_may_still_route() -> None:
    back = Published(serial=8, arms={"1": 10000})
    seen = [GatewayReport(pod=pod, serial=8, arms={"1": 10000}) for pod in "ab"]
    assert possible_weight(view(back, *seen, said("c", 7), other="c"), 2) == 10000


def test_a_published_weight_counts_though_no_pod_has_it() -> None:
    assert possible_weight(view(SPLIT, ready=""), 2) == 500


reports = st.lists(
    st.builds(
        GatewayReport,
        pod=st.sampled_from("abc"),
        serial=st.integers(min_value=0, max_value=4),
        arms=st.sampled_from([{}, {"1": 10000}, {"1": 9500, "2": 500}, {"2": 10000}]),
    ),
    max_size=3,
    unique_by=lambda each: each.pod,
)
published = st.none() | st.builds(
    Published,
    serial=st.integers(min_value=1, max_value=4),
    arms=st.sampled_from([{"1": 10000}, {"1": 9500, "2": 500}, {"2": 10000}]),
)


@given(published, reports, st.frozensets(st.sampled_from("abc")), st.frozensets(st.sampled_from("abc")), st.sampled_from([1, 2]))
def test_what_is_observed_is_what_is_possible(
    known: Published | None, said_: list[GatewayReport], ready: frozenset[str], other: frozenset[str], revision: int
) -> None:
    seen = GatewayView(ready_pods=ready, other_pods=other - ready, reports=tuple(said_), published=known)
    if known is not None and observed(seen, known.arms):
        assert all(report.serial >= known.serial for report in said_ if report.pod in ready)
        assert possible_weight(replace(seen, other_pods=frozenset()), revision) == known.arms.get(str(revision), 0)


def test_a_route_that_is_coming_keeps_the_one_in_force_from_being_observed() -> None:
    settled = view(SPLIT, said("a", 7), said("b", 7))
    assert observed(settled, SPLIT.arms)
    assert not observed(replace(settled, coming=({"1": 10000},)), SPLIT.arms)


def test_a_route_that_is_coming_may_send_requests_already() -> None:
    settled = view(Published(serial=7, arms={"1": 10000}), *(GatewayReport(pod=pod, serial=7, arms={"1": 10000}) for pod in "ab"))
    assert removable(settled, 2)
    assert possible_weight(replace(settled, coming=({"1": 9500, "2": 500},)), 2) == 500
    assert not removable(replace(settled, coming=({"1": 9500, "2": 500},)), 2)


def test_a_pod_that_is_starting_may_begin_with_an_older_route() -> None:
    settled = view(Published(serial=7, arms={"1": 10000}), *(GatewayReport(pod=pod, serial=7, arms={"1": 10000}) for pod in "ab"))
    assert not removable(replace(settled, starting_pods=frozenset({"c"})), 2)
