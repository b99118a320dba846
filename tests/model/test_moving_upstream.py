"""Whatever happens upstream, nothing happens here: no write but of what is said about it, no phase, no request, no pod."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from builders import commit, spec
from holdfast.api.deployment import ModelDeploymentStatus
from holdfast.api.reasons import ConditionType, Reason
from holdfast.domain.decide import decide
from holdfast.domain.plan import Plan, WriteStatus
from holdfast.domain.snapshot import RepositoryMissing, RepositorySeen, Snapshot
from model.effort import effort
from model.test_promises import FALLBACK, ROLLOUT, Promises
from model.world import World

REPOSITORY = "holdfast/tiny-chat-GGUF"
SAYING = {ConditionType.UPSTREAM_MOVED, ConditionType.UPSTREAM_AVAILABLE}
TELLING = {reason for reason in Reason if reason.startswith("Upstream")}
COMMITS = st.sampled_from([commit(letter) for letter in "abcdef"])
TEXTS = st.fixed_dictionaries({}, optional={"README.md": st.sampled_from("12"), "LICENSE": st.sampled_from("12")})
SEEN = st.builds(
    RepositorySeen,
    name=st.sampled_from([REPOSITORY, "other/model"]),
    gated=st.booleans(),
    license=st.sampled_from([None, "apache-2.0", "other"]),
    refs=st.dictionaries(st.sampled_from(["refs/heads/main", "refs/tags/v1", "refs/tags/v2"]), COMMITS),
    texts=TEXTS,
    commits=st.fixed_dictionaries({commit(letter): st.none() | TEXTS for letter in "abc"}),
)
MISSING = st.builds(RepositoryMissing, disabled=st.booleans())


def silent(status: ModelDeploymentStatus) -> ModelDeploymentStatus:
    """The status without what it says about upstream."""
    kept = [condition for condition in status.conditions or [] if condition.type not in SAYING]
    return status.model_copy(update={"upstream": None, "conditions": kept})


def beside(plan: Plan, before: ModelDeploymentStatus) -> Plan:
    """The plan without what it says about upstream; a write that says nothing else is none."""
    if not isinstance(plan.write, WriteStatus):
        return plan
    notes = tuple(note for note in plan.write.notes if note.reason not in TELLING)
    status = silent(plan.write.status)
    write = WriteStatus(status=status, notes=notes) if notes or status != silent(before) else None
    return replace(plan, write=write)


def deaf(snapshot: Snapshot) -> Snapshot:
    """The same moment for an operator that never asked what is published upstream."""
    view = snapshot.deployment
    return replace(snapshot, upstream={}, deployment=replace(view, status=silent(view.status)))


class MovingWorld(World):
    """A world in which every single decision is compared with the one of an operator that knows nothing of upstream."""

    def __init__(self) -> None:
        super().__init__(spec("a", rollout=ROLLOUT, fallback=FALLBACK))
        self.upstream: RepositorySeen | RepositoryMissing | None = None
        self.told = 0

    def snapshot(self) -> Snapshot:
        return replace(super().snapshot(), upstream={REPOSITORY: self.upstream} if self.upstream is not None else {})

    def step(self) -> bool:
        snapshot = self.snapshot()
        plan, other = decide(snapshot, self.now), decide(deaf(snapshot), self.now)
        assert beside(plan, snapshot.deployment.status) == beside(other, silent(snapshot.deployment.status))
        self.told += self.status.upstream is not None
        return super().step()


class MovingUpstream(Promises):
    """The promises, with a Hub that says anything at any time."""

    @initialize()
    def begin(self) -> None:
        self.world = MovingWorld()
        self.count = 0

    @rule(found=SEEN | MISSING)
    def the_hub_says(self, found: RepositorySeen | RepositoryMissing) -> None:
        assert isinstance(self.world, MovingWorld)
        self.world.upstream = found

    @rule()
    def the_operator_forgets_what_the_hub_said(self) -> None:
        assert isinstance(self.world, MovingWorld)
        self.world.upstream = None

    @rule(found=SEEN)
    def the_hub_says_it_of_a_model_that_serves(self, found: RepositorySeen) -> None:
        self.the_owner_says_yes(rounds=2)
        self.the_hub_says(found)
        self.operate(count=3)


TestMovingUpstream = MovingUpstream.TestCase
TestMovingUpstream.settings = effort(examples=60, steps=40, nightly=1000)


def test_the_comparison_sees_what_is_said_and_nothing_else() -> None:
    """The two worlds differ where they may: without this the property could hold because nothing is ever said."""
    world = MovingWorld()
    world.settle()
    world.upstream = RepositorySeen(name=REPOSITORY, refs={"refs/heads/main": commit("f")}, commits={commit("a"): {}})
    plan = decide(world.snapshot(), world.now)
    assert isinstance(plan.write, WriteStatus)
    assert [note.reason for note in plan.write.notes] == [Reason.UPSTREAM_MOVED]
    assert beside(plan, world.status).write is None
    phase, request = world.status.phase, world.status.request
    world.settle()
    assert (world.status.phase, world.status.request) == (phase, request)
    assert world.told
