"""Metrics of the operator in Prometheus' format."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from holdfast.api.decision import Gate
from holdfast.api.deployment import ModelDeploymentStatus
from holdfast.api.names import Key
from holdfast.api.reasons import ConditionType, Phase, Reason, RefusalReason
from holdfast.cluster.kinds import Kind
from holdfast.controller.observer import Observer, Outcome
from holdfast.controller.queue import WorkQueue
from holdfast.controller.upstream import UpstreamWatch
from holdfast.domain import drift

_SERIES: Final = 5000
"""ModelDeployments with series of their own; those beyond are counted by phase only, so that Prometheus is not flooded."""
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG: Final = (1, 10, 60, 600, 3600, 4 * 3600, 24 * 3600, 3 * 24 * 3600, 7 * 24 * 3600, 30 * 24 * 3600)


class Metrics(Observer):
    """Counts what the controller tells."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._reconcile = Histogram(
            "holdfast_reconcile_duration_seconds",
            "Time that reconciles took, by how they ended.",
            ("object", "outcome"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._writes = self._counter("holdfast_api_writes", "Writes sent to the API server.", "verb", "resource")
        self._transitions = self._counter("holdfast_transitions", "Transitions of ModelDeployments.", "reason")
        self._refusals = self._counter("holdfast_refused_approvals", "ModelApprovals that were refused.", "reason")
        self._resolutions = self._counter("holdfast_resolutions", "Questions to the Hub, by outcome.", "outcome")
        self._checks = self._counter("holdfast_upstream_checks", "Looks at repositories upstream, by outcome.", "outcome")
        self._asked = self._counter("holdfast_upstream_requests", "Requests to the Hub to see what it publishes.")
        self._checked_at = self._gauge(
            "holdfast_upstream_last_check_timestamp_seconds", "When a repository was last looked at, in seconds since 1970."
        )
        self._found = self._gauge(
            "holdfast_upstream_findings", "ModelDeployments of which something upstream is no longer as pinned.", "reason"
        )
        self._finding = self._gauge(
            "holdfast_upstream_finding", "1 while something upstream is no longer as pinned.", "namespace", "name", "reason"
        )
        self._weights = self._counter("holdfast_weights_failures", "Pods whose weights were refused or missing.", "reason")
        self._quarantined = self._counter("holdfast_drift_pods", "Pods that were taken out of traffic.", "reason")
        self._drift = self._gauge(
            "holdfast_drift", "1 while a pod or its files are not what was approved.", "namespace", "name", "reason"
        )
        self._phases = self._gauge("holdfast_deployments", "ModelDeployments by phase.", "phase")
        self._phase = self._gauge(
            "holdfast_deployment_phase", "1 for the phase that a ModelDeployment is in.", "namespace", "name", "phase"
        )
        self._fallback = self._gauge(
            "holdfast_fallback_active", "1 while a person has sent all traffic elsewhere.", "namespace", "name"
        )
        self._gates = Histogram(
            "holdfast_gate_wait_seconds",
            "Time that a gate waited for a person.",
            ("gate",),
            buckets=_LONG,
            registry=self.registry,
        )
        self._fell_back = Histogram(
            "holdfast_fallback_duration_seconds",
            "Time from a fallback's decision until every gateway pod was seen with it.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._known: dict[Key, tuple[Phase, bool]] = {}
        self._upstream: dict[Key, frozenset[Reason]] = {}
        self._drifted: dict[Key, Reason] = {}
        self._shown: set[Key] = set()
        for phase in Phase:
            self._phases.labels(phase)

    def watch_queue(self, queue: WorkQueue) -> None:
        """Report the state of the queue whenever it is asked for."""
        self._gauge("holdfast_queue_depth", "Keys that wait for a worker.").set_function(queue.depth)
        oldest = self._gauge("holdfast_queue_oldest_age_seconds", "For how long the key that waits longest has waited.")
        oldest.set_function(queue.oldest_age)

    def watch_upstream(self, watch: UpstreamWatch) -> None:
        """Report the state of the looks upstream whenever it is asked for."""
        self._gauge("holdfast_upstream_repositories", "Repositories that are looked at.").set_function(watch.repositories)
        overdue = self._gauge("holdfast_upstream_overdue_seconds", "For how long the repository that waits longest has waited.")
        overdue.set_function(watch.overdue)

    @contextmanager
    def serve(self, address: str, port: int) -> Iterator[None]:
        """Answer at ``/metrics`` for the time of the block, from a thread of its own so that a busy operator answers as well."""
        server, thread = start_http_server(port, addr=address, registry=self.registry)
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def wrote(self, verb: str, kind: Kind) -> None:
        """Count a write that was sent."""
        self._writes.labels(verb, kind.resource).inc()

    def reconciled(self, what: Literal["deployment", "gateway"], outcome: Outcome, seconds: float) -> None:  # noqa: D102
        self._reconcile.labels(what, outcome).observe(seconds)

    def moved(self, reason: Reason) -> None:  # noqa: D102 - see the observer
        self._transitions.labels(reason).inc()

    def gate_passed(self, gate: Gate, waited: timedelta) -> None:  # noqa: D102
        self._gates.labels(gate).observe(waited.total_seconds())

    def fell_back(self, took: timedelta) -> None:  # noqa: D102
        self._fell_back.observe(took.total_seconds())

    def refused(self, reason: RefusalReason) -> None:  # noqa: D102
        self._refusals.labels(reason).inc()

    def resolved(self, outcome: str) -> None:  # noqa: D102
        self._resolutions.labels(outcome).inc()

    def weights_failed(self, reason: Reason) -> None:  # noqa: D102
        self._weights.labels(reason).inc()

    def quarantined(self, reason: Reason) -> None:  # noqa: D102
        self._quarantined.labels(reason).inc()

    def upstream_checked(self, outcome: str, requests: int, at: datetime | None) -> None:  # noqa: D102
        self._checks.labels(outcome).inc()
        self._asked.inc(requests)
        if at is not None:
            self._checked_at.set(at.timestamp())

    def deployment(self, key: Key, status: ModelDeploymentStatus | None) -> None:  # noqa: D102
        self._findings(key, status)
        self._drifts(key, status)
        now = (status.phase or Phase.PENDING, status.fallback is not None) if status is not None else None
        before = self._known.pop(key, None)
        if now is not None:
            self._known[key] = now
        if now == before:
            return
        for seen, step in ((before, -1), (now, 1)):
            if seen is not None:
                self._phases.labels(seen[0]).inc(step)
        if before is not None and key in self._shown:
            self._shown.discard(key)
            self._phase.remove(*key, before[0])
            if before[1]:
                self._fallback.remove(*key)
        if now is not None and len(self._shown) < _SERIES:
            self._shown.add(key)
            self._phase.labels(*key, now[0]).set(1)
            if now[1]:
                self._fallback.labels(*key).set(1)

    def _findings(self, key: Key, status: ModelDeploymentStatus | None) -> None:
        sources = status.upstream.sources if status is not None and status.upstream is not None else ()
        now = frozenset(finding.reason for source in sources for finding in source.findings or ())
        before = self._upstream.pop(key, frozenset())
        if now:
            self._upstream[key] = now
        for reason in before - now:
            self._found.labels(reason).dec()
            with suppress(KeyError):  # it was beyond those with series of their own
                self._finding.remove(*key, reason)
        for reason in now - before:
            self._found.labels(reason).inc()
            if len(self._upstream) <= _SERIES:
                self._finding.labels(*key, reason).set(1)

    def _drifts(self, key: Key, status: ModelDeploymentStatus | None) -> None:
        found = (each for each in (status.conditions or [] if status is not None else []) if each.type is ConditionType.PINNED)
        pinned = next(found, None)
        now = pinned.reason if pinned is not None and pinned.status == "False" and pinned.reason in drift.REASONS else None
        before = self._drifted.pop(key, None)
        if now is not None:
            self._drifted[key] = now
        if before is not None and before != now:
            self._drift.remove(*key, before)
        if now is not None:
            self._drift.labels(*key, now).set(1)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)
