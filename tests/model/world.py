"""A small world around the pure core: objects, engines and gateway pods that lag, and people who decide.

`World.step` carries out exactly one thing of one plan, so a test can stop (a killed operator) between any two writes. Every
step checks the promises that do not depend on timing.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from builders import NAME, SETTINGS, START, deployment, meta, resolution
from holdfast.api.decision import DecisionType, Gate
from holdfast.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus, RequestState
from holdfast.api.names import TOTAL_WEIGHT, revision_name
from holdfast.api.reasons import Phase
from holdfast.api.revision import ModelRevisionStatus
from holdfast.cluster import kinds
from holdfast.domain import routing
from holdfast.domain.decide import decide
from holdfast.domain.plan import CreateRevision, Note, Plan, SettleApproval, WriteRevisionStatus, WriteStatus
from holdfast.domain.snapshot import (
    ApprovalView,
    EngineView,
    GatewayReport,
    GatewayView,
    Published,
    Resolved,
    RevisionView,
    Snapshot,
)
from model.schema import check_status


@dataclass
class Engine:
    """An engine's Deployment as the cluster runs it."""

    replicas: int
    ready: int = 0
    broken: bool = False


@dataclass
class GatewayPod:
    """What a gateway pod routes by, and what it last reported."""

    serial: int = 0
    arms: dict[str, int] = field(default_factory=dict)
    reported_serial: int = 0
    reported_arms: dict[str, int] = field(default_factory=dict)


class World:
    """One ModelDeployment and everything around it."""

    def __init__(self, spec: ModelDeploymentSpec | None) -> None:
        self.now: datetime = START + timedelta(seconds=10)
        self.spec = spec
        self.generation = 1
        self.status = ModelDeploymentStatus()
        self.revisions: dict[int, RevisionView] = {}
        self.approvals: dict[str, ApprovalView] = {}
        self.engines: dict[int, Engine] = {}
        self.serial = 0
        self.published: Published | None = None
        self.gateway = {"gateway-a": GatewayPod(), "gateway-b": GatewayPod()}
        self.resolutions: dict[str, Resolved] = {}
        self.notes: list[Note] = []
        self.writes = 0

    # ---- people

    def apply(self, spec: ModelDeploymentSpec | None) -> None:
        """Change the desired state; None stands for a spec that cannot be read."""
        if spec != self.spec:
            self.spec = spec
            self.generation += 1

    def decide_as_person(self, approval: ApprovalView) -> None:
        """Create a ModelApproval."""
        self.approvals[approval.meta.key.name] = replace(approval, meta=replace(approval.meta, created=self.now))

    # ---- the cluster

    def load(self, revision: int) -> None:
        """Let the pods of a revision become ready."""
        engine = self.engines.get(revision)
        if engine is not None and not engine.broken:
            engine.ready = engine.replicas

    def publish(self) -> None:
        """Write the intended route to the gateway's configuration, if its arms can answer."""
        arms = dict(routing.intended_arms(self.status))
        current = dict(self.published.arms) if self.published is not None else None
        if arms == current or not all(self._healthy(arm) for arm in arms):
            return
        self.serial += 1
        self.published = Published(serial=self.serial, arms=MappingProxyType(arms))

    def project(self, pod: str) -> None:
        """Let a gateway pod take up the published route."""
        if self.published is not None:
            self.gateway[pod].serial = self.published.serial
            self.gateway[pod].arms = dict(self.published.arms)

    def report(self, pod: str) -> None:
        """Let the operator see what a gateway pod has."""
        self.gateway[pod].reported_serial = self.gateway[pod].serial
        self.gateway[pod].reported_arms = dict(self.gateway[pod].arms)

    def settle_gateway(self) -> None:
        """Publish, project and report everywhere."""
        self.publish()
        for pod in self.gateway:
            self.project(pod)
            self.report(pod)

    def _healthy(self, arm: str) -> bool:
        return not arm.isdigit() or (int(arm) in self.engines and self.engines[int(arm)].ready > 0)

    # ---- the operator

    def snapshot(self) -> Snapshot:
        """Return what the operator sees."""
        view = deployment(self.spec, self.status, generation=self.generation)
        declared = resolution(self.spec.model) if self.spec is not None else None
        return Snapshot(
            deployment=view,
            settings=SETTINGS,
            revisions=tuple(self.revisions.values()),
            approvals=tuple(self.approvals.values()),
            engines=tuple(
                EngineView(revision=number, replicas=engine.replicas, ready_replicas=engine.ready)
                for number, engine in self.engines.items()
            ),
            gateway=GatewayView(
                ready_pods=frozenset(self.gateway),
                reports=tuple(
                    GatewayReport(
                        pod=name,
                        serial=pod.reported_serial,
                        arms=MappingProxyType(dict(pod.reported_arms)),
                    )
                    for name, pod in self.gateway.items()
                ),
                published=self.published,
            ),
            resolution=self.resolutions.get(declared.declared) if declared is not None else None,
        )

    def step(self) -> bool:
        """Carry out one thing; return whether there was anything to do."""
        plan = decide(self.snapshot(), self.now)
        acted = self._carry_out(plan)
        self.check()
        return acted

    def run(self, *, limit: int = 100) -> None:
        """Step until nothing is left to do."""
        for _ in range(limit):
            if not self.step():
                return
        raise AssertionError(f"no rest after {limit} steps: {decide(self.snapshot(), self.now)}")

    def settle(self) -> None:
        """Let the operator, the engines and the gateway come to rest together."""
        for _ in range(50):
            before = (self.status, self.published, {n: (e.replicas, e.ready) for n, e in self.engines.items()})
            self.run()
            for number in list(self.engines):
                self.load(number)
            self.run()
            self.settle_gateway()
            self.run()
            if before == (self.status, self.published, {n: (e.replicas, e.ready) for n, e in self.engines.items()}):
                return
        raise AssertionError("the world does not come to rest")

    def _carry_out(self, plan: Plan) -> bool:
        write = plan.write
        match write:
            case WriteStatus():
                check_status(kinds.MODEL_DEPLOYMENT, write.status.wire())
                self._check_transition(self.status, write.status)
                self.status = write.status
                self.notes.extend(write.notes)
            case CreateRevision():
                number = write.spec.number
                assert number not in self.revisions
                self.revisions[number] = RevisionView(
                    meta=meta(revision_name(NAME, number), uid=f"revision-{number}"),
                    spec=write.spec,
                    status=ModelRevisionStatus(),
                )
            case WriteRevisionStatus():
                check_status(kinds.MODEL_REVISION, write.status.wire())
                known = self.revisions[write.revision].status.decisions or []
                assert (write.status.decisions or [])[: len(known)] == known, "decisions are append-only"
                self.revisions[write.revision] = replace(self.revisions[write.revision], status=write.status)
            case SettleApproval():
                check_status(kinds.MODEL_APPROVAL, write.status.wire())
                before = self.approvals[write.name]
                assert before.status.state is None, "a decision is settled once"
                self.approvals[write.name] = replace(before, status=write.status)
            case None:
                return self._act(plan)
        self.writes += 1
        return True

    def _act(self, plan: Plan) -> bool:
        if plan.resolve:
            assert self.spec is not None
            found = resolution(self.spec.model)
            self.resolutions[found.declared] = found
            return True
        for intent in plan.engines:
            engine = self.engines.get(intent.revision)
            if engine is None:
                self.engines[intent.revision] = Engine(replicas=intent.replicas)
                return True
            if engine.replicas != intent.replicas:
                engine.replicas = intent.replicas
                engine.ready = min(engine.ready, intent.replicas)
                return True
        for number in plan.remove:
            del self.engines[number]
            return True
        return False

    # ---- the promises

    def check(self) -> None:
        """Check the promises that hold at every moment."""
        approved = {number for number, view in self.revisions.items() if any(self._starts(d) for d in self._decisions(view))}
        for name, pod in self.gateway.items():
            if pod.arms:
                assert sum(pod.arms.values()) == TOTAL_WEIGHT, f"{name}: {pod.arms}"
            for arm, weight in pod.arms.items():
                if not arm.isdigit() or weight == 0:
                    continue
                assert int(arm) in approved, f"{name} routes to revision {arm}, which nobody approved"
                assert int(arm) in self.engines, f"{name} routes to revision {arm}, which does not run"
                if self.spec is None or self.spec.serving is None or self.spec.serving.replicas != 0:
                    assert self.engines[int(arm)].replicas > 0, f"{name} routes to revision {arm}, which is scaled to nothing"

    def _decisions(self, view: RevisionView) -> list[object]:
        recorded: list[object] = list(view.status.decisions or [])
        last = self.status.last_decision
        if last is not None and last.revision == view.spec.number:
            recorded.append(last)
        return recorded

    @staticmethod
    def _starts(decision: object) -> bool:
        return getattr(decision, "decision", None) is DecisionType.APPROVE and getattr(decision, "gate", None) is Gate.START

    def _check_transition(self, before: ModelDeploymentStatus, after: ModelDeploymentStatus) -> None:
        decided = after.last_decision is not None and after.last_decision != before.last_decision
        kind = after.last_decision.decision if decided and after.last_decision is not None else None
        if before.phase is Phase.FALLBACK and after.phase is not Phase.FALLBACK:
            assert kind is DecisionType.RESUME, "only a person ends a fallback"
        if before.stable != after.stable and before.stable is not None:
            assert kind is DecisionType.RESUME or self._promotion_approved(before), "nobody approved the promotion"
        if before.phase is Phase.ABORTED and after.phase is Phase.AWAITING_APPROVAL:
            new_digest = before.request is None or after.request is None or before.request.digest != after.request.digest
            assert new_digest or kind is DecisionType.RESUME, "nothing starts again by itself"
        if before.request is not None and after.request is not None:
            assert after.request.number >= before.request.number

    def _promotion_approved(self, before: ModelDeploymentStatus) -> bool:
        request = before.request
        return (
            request is not None
            and request.state is RequestState.APPROVED
            and any(
                getattr(d, "gate", None) is Gate.PROMOTE and getattr(d, "request", None) == request.number
                for d in self._decisions(self.revisions[request.revision])
            )
        )
