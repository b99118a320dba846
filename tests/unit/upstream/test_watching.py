"""When repositories are looked at: each in its turn, once for everybody, and never beyond the Hub's limits."""

import random
from collections import deque
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import pytest

from builders import SETTINGS, START, commit, meta, model, resolution, spec
from holdfast.api.deployment import Desired, ModelDeploymentStatus, UpstreamSource, UpstreamStatus
from holdfast.api.model import Model
from holdfast.api.names import Key
from holdfast.api.reasons import Reason
from holdfast.api.revision import ModelRevisionSpec, ModelRevisionStatus, Render
from holdfast.controller.observer import Observer
from holdfast.controller.queue import WorkQueue
from holdfast.controller.upstream import UpstreamWatch
from holdfast.domain.pin import declared_digest, pin_digest
from holdfast.domain.snapshot import DeploymentView, Meta, RepositorySeen, RevisionView, Snapshot
from holdfast.sources.hub_errors import SourceUnavailableError
from holdfast.sources.hub_upstream import Allowance, Look

DAY = 86_400.0
INTERVAL = 21_600.0
WINDOW = 300.0
ANONYMOUS = 500
FLEET = 3_700


class Clock:
    """The API server's time and the monotonic one, which go together here."""

    def __init__(self) -> None:
        self.seconds = START.timestamp()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


class LimitedHub:
    """A Hub that counts in fixed windows and refuses what is beyond, as https://huggingface.co/docs/hub/rate-limits says."""

    def __init__(self, clock: Clock, *, limit: int = ANONYMOUS, announces: bool = True) -> None:
        self.clock = clock
        self.limit = limit
        self.announces = announces
        self.opened = clock.seconds
        self.used = 0
        self.requests: deque[float] = deque()
        self.most = 0
        """Most requests in any five minutes, wherever they begin."""
        self.refused = 0
        self.looks: list[tuple[float, str]] = []
        self.failure: Exception | None = None
        self.head = commit("a")

    def others(self, requests: int) -> None:
        """Let somebody else behind the same address ask."""
        self._roll()
        self.used += requests

    def _roll(self) -> None:
        if self.clock.seconds - self.opened >= WINDOW:
            self.opened, self.used = self.clock.seconds, 0

    async def look(self, repository: str, commits: Collection[str]) -> Look:
        cost = 2 + len(commits)
        self.looks.append((self.clock.seconds, repository))
        for _ in range(cost):
            self.requests.append(self.clock.seconds)
        while self.requests[0] <= self.clock.seconds - WINDOW:
            self.requests.popleft()
        self.most = max(self.most, len(self.requests))
        if self.failure is not None:
            raise self.failure
        self._roll()
        self.used += cost
        reset = self.opened + WINDOW - self.clock.seconds
        if self.used > self.limit:
            self.refused += 1
            raise SourceUnavailableError("429", retry_after=reset + 1 if self.announces else None)
        allowance = Allowance(remaining=self.limit - self.used, limit=self.limit, reset_seconds=float(int(reset)))
        found = RepositorySeen(name=repository, refs={"refs/heads/main": self.head}, commits={c: {} for c in commits})
        return Look(found=found, requests=cost, allowance=allowance if self.announces else None)


class Outcomes(Observer):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def upstream_checked(self, outcome: str, requests: int, at: datetime | None) -> None:
        self.seen.append(outcome)


class Bench:
    """One process of the operator, as far as it looks upstream."""

    def __init__(self, clock: Clock, hub: LimitedHub) -> None:
        self.clock = clock
        self.hub = hub
        self.queue = WorkQueue(clock=lambda: clock.seconds, rng=random.Random(1))  # noqa: S311
        self.outcomes = Outcomes()
        self.watch = UpstreamWatch(
            hub=hub,
            queue=self.queue,
            now=clock.now,
            clock=lambda: clock.seconds,
            rng=random.Random(1),  # noqa: S311
            observer=self.outcomes,
        )

    async def play(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.clock.seconds + seconds
        while True:
            delay = await self.watch.step()
            if delay is None or self.clock.seconds + delay > end:
                self.clock.seconds = max(self.clock.seconds, end)
                return
            self.clock.seconds += max(delay, 0.001 if delay else 0.0)  # a float of this size has no smaller steps

    def told(self) -> list[object]:
        keys: list[object] = []
        while (key := self.queue.pop()) is not None:
            self.queue.done(key)
            keys.append(key)
        return keys


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bench(clock: Clock) -> Bench:
    return Bench(clock, LimitedHub(clock))


def key(number: int) -> Key:
    return Key("team-a", f"chat-{number}x")


def snapshot(
    number: int = 1, *, repository: str = "lab/model", letter: str = "a", checked: bool = False, seconds: int | None = None
) -> Snapshot:
    """A deployment that serves one repository; `checked`: which an operator before this one had looked at."""
    wire = model(source={"huggingFace": {"repository": repository, "commit": commit(letter)}})
    declared = spec(model_wire=wire, upstream={"checkSeconds": seconds} if seconds is not None else None)
    found = _revision(declared.model)
    desired = Desired(declared=found.declared, digest=found.digest, revision=1)
    before = UpstreamStatus(observed_at=START, sources=[UpstreamSource(repository=repository, commit=commit(letter))])
    status = ModelDeploymentStatus(desired=desired, upstream=before if checked else None)
    named = Meta(key=key(number), uid=f"uid-{number}", resource_version="1", generation=1, created=START)
    return Snapshot(
        deployment=DeploymentView(meta=named, spec=declared, status=status),
        settings=SETTINGS,
        revisions=(RevisionView(meta=meta("r"), spec=found, status=ModelRevisionStatus()),),
    )


def _revision(declared: Model) -> ModelRevisionSpec:
    resolved = resolution(declared).model
    return ModelRevisionSpec(
        deployment="chat",
        number=1,
        digest=pin_digest(resolved),
        declared=declared_digest(declared),
        model=resolved,
        render=Render(version=1, weights_image=SETTINGS.weights_image),
    )


@pytest.fixture(scope="module")
def fleet() -> list[Snapshot]:
    """The worst case: as many repositories as deployments."""
    return [snapshot(number, repository=f"lab-{number}/model") for number in range(FLEET)]


@pytest.fixture(scope="module")
def checked_fleet() -> list[Snapshot]:
    return [snapshot(number, repository=f"lab-{number}/model", checked=True) for number in range(FLEET)]


def want_all(bench: Bench, fleet: list[Snapshot]) -> None:
    for each in fleet:
        bench.watch.want(each.deployment.meta.key, each)


class TestTurns:
    async def test_what_was_never_looked_at_is_looked_at_first(self, bench: Bench) -> None:
        bench.watch.want(key(1), snapshot())
        await bench.play(60)
        assert [name for _, name in bench.hub.looks] == ["lab/model"]
        assert set(bench.watch.find(key(1))) == {"lab/model"}
        assert bench.told() == [key(1)]

    async def test_a_look_that_shows_nothing_new_bothers_nobody(self, bench: Bench) -> None:
        bench.watch.want(key(1), snapshot())
        await bench.play(60)
        bench.told()
        await bench.play(DAY)
        assert 4 <= len(bench.hub.looks) <= 6
        assert bench.told() == []

    async def test_a_look_that_shows_a_move_is_told(self, bench: Bench) -> None:
        bench.watch.want(key(1), snapshot())
        await bench.play(60)
        bench.told()
        bench.hub.head = commit("f")
        await bench.play(1.5 * INTERVAL)
        assert bench.told() == [key(1)]
        seen = bench.watch.find(key(1))["lab/model"]
        assert isinstance(seen, RepositorySeen)
        assert seen.refs["refs/heads/main"] == commit("f")

    async def test_one_look_serves_all_that_use_the_repository(self, bench: Bench) -> None:
        for number in range(50):
            bench.watch.want(key(number), snapshot(number))
        await bench.play(60)
        assert len(bench.hub.looks) == 1
        assert set(bench.told()) == {key(number) for number in range(50)}

    async def test_all_commits_of_a_repository_are_looked_for_together(self, bench: Bench) -> None:
        bench.watch.want(key(1), snapshot(1, letter="a"))
        bench.watch.want(key(2), snapshot(2, letter="b"))
        await bench.play(60)
        seen = bench.watch.find(key(1))["lab/model"]
        assert isinstance(seen, RepositorySeen)
        assert set(seen.commits) == {commit("a"), commit("b")}

    async def test_a_commit_that_is_new_to_a_known_repository_is_not_left_waiting(self, bench: Bench) -> None:
        bench.watch.want(key(1), snapshot(1, letter="a"))
        await bench.play(60)
        bench.watch.want(key(2), snapshot(2, letter="b"))
        await bench.play(60)
        assert len(bench.hub.looks) == 2

    async def test_a_deployment_that_is_new_after_a_restart_is_not_left_waiting_by_an_older_one(self, bench: Bench) -> None:
        bench.watch.want(key(1), snapshot(1, checked=True))
        bench.watch.want(key(2), snapshot(2))
        await bench.play(60)
        assert len(bench.hub.looks) == 1
        assert key(2) in bench.told()

    async def test_the_shortest_wish_rules(self, bench: Bench) -> None:
        bench.watch.want(key(1), snapshot(1))
        bench.watch.want(key(2), snapshot(2, seconds=600))
        await bench.play(6_000)
        assert 9 <= len(bench.hub.looks) <= 11

    async def test_what_nobody_wants_any_more_is_not_looked_at(self, bench: Bench) -> None:
        bench.watch.want(key(1), snapshot())
        await bench.play(60)
        bench.watch.release(key(1))
        await bench.play(DAY)
        assert len(bench.hub.looks) == 1
        assert bench.watch.find(key(1)) == {}

    async def test_an_owner_who_wants_no_checks_gets_none(self, bench: Bench) -> None:
        bench.watch.want(key(1), snapshot(seconds=0))
        await bench.play(DAY)
        assert bench.hub.looks == []

    async def test_a_restart_neither_skips_a_turn_nor_adds_one(self, clock: Clock) -> None:
        hub = LimitedHub(clock)
        for _ in range(100):
            bench = Bench(clock, hub)
            bench.watch.want(key(1), snapshot(checked=True))
            await bench.play(DAY / 100)
        assert len(hub.looks) == 4


class TestTrouble:
    async def test_what_was_seen_stands_while_the_hub_fails(self, bench: Bench) -> None:
        bench.watch.want(key(1), snapshot())
        await bench.play(60)
        bench.told()
        bench.hub.failure = SourceUnavailableError("503")
        await bench.play(DAY)
        assert set(bench.watch.find(key(1))) == {"lab/model"}
        assert bench.told() == []
        assert bench.outcomes.seen[-1] == Reason.SOURCE_UNAVAILABLE

    async def test_a_repository_that_fails_is_tried_less_and_less(self, bench: Bench) -> None:
        bench.hub.failure = SourceUnavailableError("503")
        bench.watch.want(key(1), snapshot())
        await bench.play(DAY)
        assert 6 <= len(bench.hub.looks) <= 14

    async def test_a_bug_is_a_failure_like_another(self, bench: Bench) -> None:
        bench.hub.failure = RuntimeError("a bug")
        bench.watch.want(key(1), snapshot())
        await bench.play(60)
        assert bench.outcomes.seen == [Reason.INTERNAL_ERROR]
        bench.hub.failure = None
        await bench.play(DAY)
        assert "Checked" in bench.outcomes.seen

    async def test_a_limit_that_is_reached_is_waited_out(self, clock: Clock) -> None:
        hub = LimitedHub(clock, limit=100)
        bench = Bench(clock, hub)
        hub.others(100)
        for number in range(50):
            bench.watch.want(key(number), snapshot(number, repository=f"lab/model-{number}"))
        await bench.play(WINDOW)
        assert (len(hub.looks), hub.refused) == (1, 1)
        await bench.play(WINDOW)
        assert len(hub.looks) > 10
        assert hub.refused == 1


class TestBudget:
    """3,700 deployments, each of a repository of its own, at the default interval and the limit for callers without a token."""

    async def test_a_new_fleet_is_looked_at_within_the_limit_and_in_one_interval(
        self, bench: Bench, fleet: list[Snapshot]
    ) -> None:
        want_all(bench, fleet)
        await bench.play(INTERVAL)
        assert len({name for _, name in bench.hub.looks}) == FLEET
        assert bench.hub.most < ANONYMOUS / 2
        assert bench.hub.refused == 0

    async def test_a_fleet_at_rest_stays_within_the_limit_and_keeps_the_interval(
        self, bench: Bench, checked_fleet: list[Snapshot]
    ) -> None:
        want_all(bench, checked_fleet)
        await bench.play(2.5 * INTERVAL)
        assert bench.hub.most < ANONYMOUS / 2
        assert bench.hub.refused == 0
        last = {name: at for at, name in bench.hub.looks}
        assert len(last) == FLEET
        assert min(last.values()) > bench.clock.seconds - 1.1 * INTERVAL

    async def test_a_restart_makes_no_burst(self, clock: Clock, checked_fleet: list[Snapshot]) -> None:
        hub = LimitedHub(clock)
        for _ in range(5):
            bench = Bench(clock, hub)
            want_all(bench, checked_fleet)
            await bench.play(60)
        assert hub.most < ANONYMOUS / 2

    async def test_an_operator_that_is_killed_again_and_again_asks_no_more(self, clock: Clock, fleet: list[Snapshot]) -> None:
        hub = LimitedHub(clock)
        for _ in range(20):
            bench = Bench(clock, hub)
            want_all(bench, fleet)
            await bench.play(30)
        assert hub.looks
        assert hub.most < ANONYMOUS / 2

    @pytest.mark.parametrize("announces", [True, False])
    async def test_beside_others_who_use_up_the_limit_hardly_a_request_is_refused(
        self, clock: Clock, checked_fleet: list[Snapshot], announces: bool
    ) -> None:
        hub = LimitedHub(clock, announces=announces)
        bench = Bench(clock, hub)
        want_all(bench, checked_fleet)
        for _ in range(12):
            hub.others(450)
            await bench.play(WINDOW)
        assert hub.refused <= 12 * (1 if announces else 6)

    async def test_some_of_the_limit_is_left_to_others(self, clock: Clock, fleet: list[Snapshot]) -> None:
        hub = LimitedHub(clock, limit=100)
        bench = Bench(clock, hub)
        want_all(bench, fleet)
        await bench.play(3_600)
        assert hub.most <= 2 * 73  # two windows of the Hub may lie within five minutes
        assert hub.refused == 0


def test_the_repository_that_waits_longest_tells_how_late_the_looks_are(bench: Bench) -> None:
    assert bench.watch.overdue() == 0.0
    bench.watch.want(key(1), snapshot())
    bench.clock.seconds += timedelta(minutes=5).total_seconds()
    assert (bench.watch.repositories(), bench.watch.overdue()) == (1, 300.0)
