"""Questions to the Hub: once per source, only while they are wanted, and asked again when it is time."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta

import pytest

import standins
from builders import NAME, NAMESPACE, model
from holdfast.api.found import Found, Question
from holdfast.api.model import Model
from holdfast.api.names import Key
from holdfast.api.reasons import Reason
from holdfast.api.revision import Platform, ResolvedModel
from holdfast.controller.observer import Observer
from holdfast.controller.queue import WorkQueue
from holdfast.controller.resolutions import Resolutions
from holdfast.domain.pin import declared_digest
from holdfast.domain.retention import Named
from holdfast.domain.snapshot import DeploymentView, ResolutionFailed, Resolved, RevisionView
from holdfast.sources.hub_errors import SourceNotFoundError, SourceUnavailableError
from model.fake_cluster import START
from unit.controller.objects import Manifest

KEY, OTHER = Key(NAMESPACE, NAME), Key("team-b", "twin")
MODEL = Model.parse(model("a"))
MODEL_B = Model.parse(model("b"))


class Renderer:
    def __init__(self) -> None:
        self.found: list[str] = []

    def engine_objects(self, deployment: DeploymentView, revision: RevisionView, replicas: int) -> Sequence[Manifest]:
        return ()

    def shared_objects(self, deployment: DeploymentView, named: Named | None = None) -> Sequence[Manifest]:
        return ()

    def problems(self, model: ResolvedModel) -> Sequence[str]:
        return self.found


class SlowHub(standins.Hub):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.under_way = 0
        self.most_at_once = 0

    async def resolve(self, question: Question) -> Found:
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            await self.gate.wait()
            return await super().resolve(question)
        finally:
            self.under_way -= 1


class Outcomes(Observer):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def resolved(self, outcome: str) -> None:
        self.seen.append(outcome)


class Bench:
    def __init__(self, hub: standins.Hub) -> None:
        self.hub = hub
        self.now = START
        self.renderer = Renderer()
        self.outcomes = Outcomes()
        self.queue = WorkQueue(clock=lambda: 0.0, rng=random.Random(1))  # noqa: S311
        self.resolutions = Resolutions(
            resolver=hub,
            renderer=self.renderer,
            queue=self.queue,
            now=lambda: self.now,
            rng=random.Random(1),  # noqa: S311
            observer=self.outcomes,
        )

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
def bench() -> Bench:
    return Bench(standins.Hub())


@pytest.fixture
def slow() -> Bench:
    return Bench(SlowHub())


async def test_an_answer_is_there_once_it_was_asked_for(bench: Bench) -> None:
    assert bench.resolutions.find(KEY, MODEL) is None
    bench.resolutions.want(KEY, MODEL)
    await bench.settle()
    found = bench.resolutions.find(KEY, MODEL)
    assert isinstance(found, Resolved)
    assert found.declared == declared_digest(MODEL)
    assert found.model.served_name == NAME
    assert bench.queue.pop() == KEY


async def test_an_answer_is_asked_for_once(bench: Bench) -> None:
    for _ in range(3):
        bench.resolutions.want(KEY, MODEL)
        await bench.settle()
    assert len(bench.hub.asked) == 1


async def test_two_deployments_of_one_source_share_a_question_and_get_their_own_answers(bench: Bench) -> None:
    bench.resolutions.want(KEY, MODEL)
    bench.resolutions.want(OTHER, MODEL)
    await bench.settle()
    assert len(bench.hub.asked) == 1
    names = [found.model.served_name for key in (KEY, OTHER) if isinstance(found := bench.resolutions.find(key, MODEL), Resolved)]
    assert names == [NAME, "twin"]
    assert {bench.queue.pop(), bench.queue.pop()} == {KEY, OTHER}


async def test_other_engine_options_are_no_new_question(bench: Bench) -> None:
    bench.resolutions.want(KEY, MODEL)
    await bench.settle()
    changed = Model.parse(model("a", servedName="renamed"))
    found = bench.resolutions.find(KEY, changed)
    assert isinstance(found, Resolved)
    assert found.declared == declared_digest(changed)
    assert found.model.served_name == "renamed"


async def test_another_commit_is_another_question_and_the_old_one_is_given_up(slow: Bench) -> None:
    slow.resolutions.want(KEY, MODEL)
    await slow.settle()
    slow.resolutions.want(KEY, MODEL_B)
    await slow.settle()
    assert slow.outcomes.seen == ["Cancelled"]
    assert isinstance(slow.hub, SlowHub)
    slow.hub.gate.set()
    await slow.settle()
    assert [source.commit[0] for source in slow.hub.asked] == ["b"]


async def test_a_question_that_somebody_else_still_has_is_not_given_up(slow: Bench) -> None:
    slow.resolutions.want(KEY, MODEL)
    slow.resolutions.want(OTHER, MODEL)
    await slow.settle()
    slow.resolutions.release(KEY)
    assert isinstance(slow.hub, SlowHub)
    slow.hub.gate.set()
    await slow.settle()
    assert slow.outcomes.seen == ["Resolved"]
    assert slow.queue.pop() == OTHER
    assert slow.queue.pop() is None


async def test_a_failure_is_told_and_asked_again_when_its_time_has_come(bench: Bench) -> None:
    bench.hub.failure = SourceUnavailableError("the Hub is busy", retry_after=40)
    bench.resolutions.want(KEY, MODEL)
    await bench.settle()
    failed = bench.resolutions.find(KEY, MODEL)
    assert isinstance(failed, ResolutionFailed)
    assert (failed.reason, failed.message) == (Reason.SOURCE_UNAVAILABLE, "spec.model.source: the Hub is busy")
    assert failed.retry_at == START + timedelta(seconds=40)
    bench.hub.failure = None
    bench.resolutions.want(KEY, MODEL)
    await bench.settle()
    assert len(bench.hub.asked) == 1
    bench.now += timedelta(seconds=40)
    bench.resolutions.want(KEY, MODEL)
    await bench.settle()
    assert isinstance(bench.resolutions.find(KEY, MODEL), Resolved)


async def test_a_failure_stays_visible_until_the_next_answer(slow: Bench) -> None:
    assert isinstance(slow.hub, SlowHub)
    slow.hub.failure = SourceUnavailableError("busy", retry_after=40)
    slow.hub.gate.set()
    slow.resolutions.want(KEY, MODEL)
    await slow.settle()
    slow.hub.gate.clear()
    slow.now += timedelta(seconds=40)
    slow.resolutions.want(KEY, MODEL)
    await slow.settle()
    assert slow.hub.under_way == 1
    assert isinstance(slow.resolutions.find(KEY, MODEL), ResolutionFailed)
    await slow.resolutions.close()


async def test_failures_are_asked_again_more_and_more_rarely(bench: Bench) -> None:
    bench.hub.failure = SourceNotFoundError("no such commit")
    waits = []
    for _ in range(12):
        bench.resolutions.want(KEY, MODEL)
        await bench.settle()
        failed = bench.resolutions.find(KEY, MODEL)
        assert isinstance(failed, ResolutionFailed)
        waits.append((failed.retry_at - bench.now).total_seconds())
        bench.now = failed.retry_at
    assert waits[0] <= 5
    assert waits[-1] >= 300
    assert max(waits) <= 600


async def test_a_bug_of_ours_reaches_nobody_as_a_traceback(bench: Bench) -> None:
    bench.hub.failure = ZeroDivisionError("division by zero")
    bench.resolutions.want(KEY, MODEL)
    await bench.settle()
    failed = bench.resolutions.find(KEY, MODEL)
    assert isinstance(failed, ResolutionFailed)
    assert failed.reason is Reason.INTERNAL_ERROR
    assert "division" not in failed.message


async def test_a_model_that_cannot_be_rendered_is_refused_with_the_reasons(bench: Bench) -> None:
    bench.renderer.found = ["spec.model.engine.args: --x is refused", "spec.model.generation: not with LlamaCpp"]
    bench.resolutions.want(KEY, MODEL)
    await bench.settle()
    failed = bench.resolutions.find(KEY, MODEL)
    assert isinstance(failed, ResolutionFailed)
    assert failed.reason is Reason.INVALID_SPEC
    assert failed.message == "; ".join(bench.renderer.found)


async def test_only_so_many_questions_are_asked_at_once(slow: Bench) -> None:
    for number in range(30):
        slow.resolutions.want(Key(NAMESPACE, f"md{number}"), Model.parse(_with_repository(f"holdfast/m{number}")))
    await slow.settle()
    assert isinstance(slow.hub, SlowHub)
    assert slow.hub.under_way == 8
    slow.hub.gate.set()
    for _ in range(30):
        await slow.settle()
    assert len(slow.hub.asked) == 30
    assert slow.hub.most_at_once == 8


async def test_the_end_gives_up_what_is_under_way(slow: Bench) -> None:
    slow.resolutions.want(KEY, MODEL)
    await slow.settle()
    await slow.resolutions.close()
    assert isinstance(slow.hub, SlowHub)
    assert slow.hub.under_way == 0


def _with_repository(repository: str) -> Manifest:
    wire = model("a")
    wire["source"]["huggingFace"]["repository"] = repository
    return wire


PARTS = {
    "tokenizer": {"huggingFace": {"repository": "holdfast/words", "commit": "c" * 40}},
    "adapters": [
        {"name": "legal", "source": {"huggingFace": {"repository": "holdfast/tune", "commit": "d" * 40}}},
        {"name": "tone", "source": {"huggingFace": {"repository": "holdfast/tune", "commit": "d" * 40}}},
    ],
    "draftModel": {"tokens": 3, "source": {"huggingFace": {"repository": "holdfast/draft", "commit": "e" * 40}}},
}


async def test_every_part_is_asked_for_once(bench: Bench) -> None:
    parts = Model.parse(model("a", **PARTS))
    bench.resolutions.want(KEY, parts)
    await bench.settle()
    assert sorted(source.repository for source in bench.hub.asked) == [
        "holdfast/draft",
        "holdfast/tiny-chat-GGUF",
        "holdfast/tune",
        "holdfast/words",
    ]
    found = bench.resolutions.find(KEY, parts)
    assert isinstance(found, Resolved)
    assert [name for name, _ in found.model.sources()] == [
        "source",
        "tokenizer",
        "adapters[0].source",
        "adapters[1].source",
        "draftModel.source",
    ]


async def test_there_is_no_answer_before_every_part_has_one(slow: Bench) -> None:
    parts = Model.parse(model("a", **PARTS))
    slow.resolutions.want(KEY, MODEL)
    assert isinstance(slow.hub, SlowHub)
    slow.hub.gate.set()
    await slow.settle()
    slow.hub.gate.clear()
    slow.resolutions.want(KEY, parts)
    await slow.settle()
    assert slow.resolutions.find(KEY, parts) is None
    slow.hub.gate.set()
    await slow.settle()
    assert isinstance(slow.resolutions.find(KEY, parts), Resolved)


async def test_parts_that_stay_are_not_asked_for_again(bench: Bench) -> None:
    bench.resolutions.want(KEY, Model.parse(model("a", **PARTS)))
    await bench.settle()
    bench.hub.asked.clear()
    bench.resolutions.want(KEY, Model.parse(model("b", **PARTS)))
    await bench.settle()
    assert [source.commit[0] for source in bench.hub.asked] == ["b"]


async def test_a_failure_names_the_part(bench: Bench) -> None:
    bench.hub.failures["holdfast/tune"] = SourceNotFoundError("no such commit")
    parts = Model.parse(model("a", **PARTS))
    bench.resolutions.want(KEY, parts)
    await bench.settle()
    failed = bench.resolutions.find(KEY, parts)
    assert isinstance(failed, ResolutionFailed)
    assert failed.message == "spec.model.adapters[0].source: no such commit"
    bench.hub.failures.clear()
    bench.hub.asked.clear()
    bench.now = failed.retry_at
    bench.resolutions.want(KEY, parts)
    await bench.settle()
    assert [source.repository for source in bench.hub.asked] == ["holdfast/tune"]
    assert isinstance(bench.resolutions.find(KEY, parts), Resolved)


async def test_the_images_of_the_engines_index_are_recorded(bench: Bench) -> None:
    platform = Platform(platform="linux/amd64", digest="sha256:" + "7" * 64)
    bench.hub.platforms_of[MODEL.engine.image] = (platform,)
    bench.resolutions.want(KEY, MODEL)
    await bench.settle()
    found = bench.resolutions.find(KEY, MODEL)
    assert isinstance(found, Resolved)
    assert found.recorded is not None
    assert found.recorded.image_platforms == [platform]


async def test_a_registry_that_says_nothing_stops_nobody(bench: Bench) -> None:
    bench.resolutions.want(KEY, MODEL)
    await bench.settle()
    found = bench.resolutions.find(KEY, MODEL)
    assert isinstance(found, Resolved)
    assert found.recorded is None
    assert bench.outcomes.seen == ["Resolved"]
