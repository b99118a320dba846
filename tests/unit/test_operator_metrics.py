"""Metrics: what is counted, and that it stays bounded."""

import random
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from holdfast import metrics as metrics_module
from holdfast.api.decision import FallbackTargetType, Gate
from holdfast.api.deployment import (
    Condition,
    FallbackStatus,
    ModelDeploymentStatus,
    UpstreamFinding,
    UpstreamSource,
    UpstreamStatus,
)
from holdfast.api.names import Key
from holdfast.api.reasons import ConditionType, Phase, Reason, RefusalReason
from holdfast.cluster import kinds
from holdfast.controller.queue import WorkQueue
from holdfast.metrics import Metrics

KEY = Key("ns", "chat")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    text = generate_latest(metrics.registry).decode()
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def in_phase(phase: Phase, *, fallback: bool = False) -> ModelDeploymentStatus:
    target = FallbackStatus(
        type=FallbackTargetType.LAST_KNOWN_GOOD,
        revision=1,
        since=datetime(2026, 1, 1, tzinfo=UTC),
        by="alice",
        reason="",
        approval="a",
    )
    return ModelDeploymentStatus(phase=phase, fallback=target if fallback else None)


def test_the_phase_of_a_deployment_is_one_series(metrics: Metrics) -> None:
    metrics.deployment(KEY, in_phase(Phase.PREPARING))
    metrics.deployment(KEY, in_phase(Phase.STABLE))
    assert samples(metrics, "holdfast_deployment_phase") == {("chat", "ns", "Stable"): 1}
    assert samples(metrics, "holdfast_deployments")["Stable",] == 1
    assert samples(metrics, "holdfast_deployments")["Preparing",] == 0


def test_a_deployment_that_is_gone_has_no_series(metrics: Metrics) -> None:
    metrics.deployment(KEY, in_phase(Phase.FALLBACK, fallback=True))
    assert samples(metrics, "holdfast_fallback_active") == {("chat", "ns"): 1}
    metrics.deployment(KEY, None)
    assert samples(metrics, "holdfast_deployment_phase") == {}
    assert samples(metrics, "holdfast_fallback_active") == {}
    assert samples(metrics, "holdfast_deployments")["Fallback",] == 0


def test_a_fallback_that_ended_is_no_longer_active(metrics: Metrics) -> None:
    metrics.deployment(KEY, in_phase(Phase.FALLBACK, fallback=True))
    metrics.deployment(KEY, in_phase(Phase.STABLE))
    assert samples(metrics, "holdfast_fallback_active") == {}


def pinned(status: Literal["True", "False"], reason: Reason) -> ModelDeploymentStatus:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    said = Condition(type=ConditionType.PINNED, status=status, last_transition_time=at, reason=reason, message="")
    return ModelDeploymentStatus(phase=Phase.STABLE, conditions=[said])


@pytest.mark.parametrize("reason", [Reason.ENGINE_MISMATCH, Reason.POD_DRIFTED, Reason.WEIGHTS_MISMATCH])
def test_what_is_not_as_approved_has_a_series_until_it_is(metrics: Metrics, reason: Reason) -> None:
    metrics.deployment(KEY, pinned("False", reason))
    assert samples(metrics, "holdfast_drift") == {("chat", "ns", reason): 1}
    metrics.deployment(KEY, pinned("True", Reason.VERIFIED))
    assert samples(metrics, "holdfast_drift") == {}


def test_files_that_cannot_be_had_are_no_drift(metrics: Metrics) -> None:
    metrics.deployment(KEY, pinned("False", Reason.WEIGHTS_UNAVAILABLE))
    assert samples(metrics, "holdfast_drift") == {}


def test_beyond_a_number_deployments_are_counted_and_have_no_series(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "_SERIES", 3)
    for number in range(5):
        metrics.deployment(Key("ns", f"md{number}"), in_phase(Phase.STABLE))
    assert len(samples(metrics, "holdfast_deployment_phase")) == 3
    assert samples(metrics, "holdfast_deployments")["Stable",] == 5
    for number in range(5):
        metrics.deployment(Key("ns", f"md{number}"), None)
    assert samples(metrics, "holdfast_deployments")["Stable",] == 0


def test_what_happens_is_counted_by_its_reason(metrics: Metrics) -> None:
    metrics.moved(Reason.PROMOTED)
    metrics.refused(RefusalReason.EXPIRED)
    metrics.resolved("Resolved")
    metrics.weights_failed(Reason.WEIGHTS_MISMATCH)
    metrics.wrote("create", kinds.SERVICE)
    metrics.reconciled("gateway", "Settled", 0.1)
    metrics.gate_passed(Gate.START, timedelta(hours=1))
    metrics.fell_back(timedelta(seconds=0.4))
    assert samples(metrics, "holdfast_transitions_total") == {("Promoted",): 1}
    assert samples(metrics, "holdfast_refused_approvals_total") == {("Expired",): 1}
    assert samples(metrics, "holdfast_resolutions_total") == {("Resolved",): 1}
    assert samples(metrics, "holdfast_weights_failures_total") == {("WeightsMismatch",): 1}
    assert samples(metrics, "holdfast_api_writes_total") == {("services", "create"): 1}
    assert samples(metrics, "holdfast_reconcile_duration_seconds_count") == {("gateway", "Settled"): 1}
    assert samples(metrics, "holdfast_gate_wait_seconds_sum") == {("Start",): 3600}
    assert samples(metrics, "holdfast_fallback_duration_seconds_sum") == {(): 0.4}


def test_the_queue_is_reported_as_it_is(metrics: Metrics) -> None:
    now = [0.0]
    queue = WorkQueue(clock=lambda: now[0], rng=random.Random(1))  # noqa: S311
    metrics.watch_queue(queue)
    queue.add(KEY)
    now[0] = 4.0
    assert samples(metrics, "holdfast_queue_depth") == {(): 1}
    assert samples(metrics, "holdfast_queue_oldest_age_seconds") == {(): 4}


def test_metrics_are_served_while_the_operator_runs(metrics: Metrics, unused_tcp_port: int) -> None:
    with metrics.serve("127.0.0.1", unused_tcp_port):
        address = f"http://127.0.0.1:{unused_tcp_port}/metrics"
        with urllib.request.urlopen(address, timeout=5) as answer:
            assert b"holdfast_deployments" in answer.read()


def moved_upstream(*reasons: Reason) -> ModelDeploymentStatus:
    findings = [UpstreamFinding(reason=reason, message="") for reason in reasons]
    source = UpstreamSource(repository="lab/model", commit="a" * 40, findings=findings or None)
    return ModelDeploymentStatus(upstream=UpstreamStatus(observed_at=datetime(2026, 1, 1, tzinfo=UTC), sources=[source]))


def test_what_moved_upstream_is_counted_and_shown_until_it_is_over(metrics: Metrics) -> None:
    metrics.deployment(KEY, moved_upstream(Reason.UPSTREAM_MOVED, Reason.UPSTREAM_CARD_CHANGED))
    assert samples(metrics, "holdfast_upstream_finding") == {
        ("chat", "ns", "UpstreamMoved"): 1,
        ("chat", "ns", "UpstreamCardChanged"): 1,
    }
    metrics.deployment(KEY, moved_upstream(Reason.UPSTREAM_MOVED))
    assert samples(metrics, "holdfast_upstream_findings") == {("UpstreamMoved",): 1, ("UpstreamCardChanged",): 0}
    metrics.deployment(KEY, None)
    assert samples(metrics, "holdfast_upstream_finding") == {}
    assert samples(metrics, "holdfast_upstream_findings")["UpstreamMoved",] == 0


def test_beyond_a_bound_findings_are_counted_and_not_shown(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "_SERIES", 1)
    for name in ("a", "b"):
        metrics.deployment(Key("ns", name), moved_upstream(Reason.UPSTREAM_GONE))
    assert list(samples(metrics, "holdfast_upstream_finding")) == [("a", "ns", "UpstreamGone")]
    assert samples(metrics, "holdfast_upstream_findings") == {("UpstreamGone",): 2}
    for name in ("a", "b"):
        metrics.deployment(Key("ns", name), None)
    assert samples(metrics, "holdfast_upstream_findings") == {("UpstreamGone",): 0}


def test_checks_upstream_are_counted_and_the_last_answer_is_dated(metrics: Metrics) -> None:
    metrics.upstream_checked("Checked", 3, datetime(2026, 1, 1, tzinfo=UTC))
    metrics.upstream_checked(Reason.SOURCE_UNAVAILABLE, 3, None)
    assert samples(metrics, "holdfast_upstream_checks_total") == {("Checked",): 1, ("SourceUnavailable",): 1}
    assert samples(metrics, "holdfast_upstream_requests_total") == {(): 6}
    assert samples(metrics, "holdfast_upstream_last_check_timestamp_seconds") == {(): 1767225600}
