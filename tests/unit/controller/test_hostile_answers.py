"""What a Hub's files, an engine or a container says may be anything at all: the person's way out works all the same."""

import json
from dataclasses import replace
from typing import Any

import pytest

import standins
from builders import ENGINE_IMAGE, NAME, NAMESPACE, model
from holdfast.api.found import Found, Question
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.render import deployment as real_renderer
from model.fake_cluster import FakeCluster
from process import run_engines
from unit.controller.objects import Manifest
from unit.controller.scenes import KEY, serving, started, status, texts

TOO_LONG = "x" * 70_000


def with_template(text: str) -> dict[str, str]:
    config = {"max_position_embeddings": 2048, "dtype": "bfloat16"}
    return {"config.json": json.dumps(config), "chat_template.jinja": text}


class Hub(standins.Hub):
    """Has files that say strange things."""

    def __init__(self, said: dict[str, str]) -> None:
        super().__init__()
        self.said = said

    async def resolve(self, question: Question) -> Found:
        return replace(await super().resolve(question), texts=self.said)


def propose(cluster: FakeCluster) -> None:
    changed = model("b", engine={"type": "VLLM", "image": ENGINE_IMAGE})
    cluster.edit(kinds.MODEL_DEPLOYMENT, KEY, lambda found: found["spec"].update(model=changed))


def fall_back(cluster: FakeCluster) -> None:
    declared = {"external": [{"name": "provider", "url": "https://api.example/v1"}]}
    cluster.edit(kinds.MODEL_DEPLOYMENT, KEY, lambda found: found["spec"].update(fallback=declared))
    spec = {
        "decision": "Fallback",
        "target": {"name": NAME},
        "fallbackTo": {"type": "External", "external": "provider"},
        "approver": {"username": "alice"},
    }
    cluster.put(kinds.MODEL_APPROVAL, {"metadata": {"namespace": NAMESPACE, "name": "out"}, "spec": spec})


def message(cluster: FakeCluster, kind: str) -> str:
    return next(str(each["message"]) for each in status(cluster)["conditions"] if each["type"] == kind)


@pytest.mark.parametrize("template", [TOO_LONG, "half a character: \ud800"], ids=["too long", "no text"])
async def test_a_proposal_whose_files_cannot_be_pinned_is_told_and_holds_nobody_up(cluster: FakeCluster, template: str) -> None:
    await serving(cluster)
    process = await started(cluster, resolver=Hub(with_template(template)))
    propose(cluster)
    await process.settle(run_engines)
    assert "Stalled=InvalidSpec" in texts(cluster)
    assert "cannot be pinned: text: " in message(cluster, "Stalled")
    fall_back(cluster)
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "Fallback"
    assert set(process.outcomes) == {"Settled"}


async def test_a_bug_in_making_the_pin_is_told_and_holds_nobody_up(cluster: FakeCluster) -> None:
    class Broken:
        shared_objects = staticmethod(real_renderer.shared_objects)
        engine_objects = staticmethod(real_renderer.engine_objects)

        @staticmethod
        def problems(*_: object) -> list[str]:
            raise KeyError("oops")

    await serving(cluster)
    process = await started(cluster, renderer=Broken(), resolver=Hub(with_template("{{ messages }}")))
    propose(cluster)
    await process.settle(run_engines)
    assert "Stalled=InternalError" in texts(cluster)
    assert "oops" not in message(cluster, "Stalled")
    fall_back(cluster)
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "Fallback"


@pytest.mark.parametrize("container", ["identity", "weights"])
async def test_half_a_character_in_what_a_pod_reports_holds_nobody_up(cluster: FakeCluster, container: str) -> None:
    process = await serving(cluster)
    reason = {"identity": "EngineMismatch", "weights": "WeightsMismatch"}[container]
    report = json.dumps({"reason": reason, "message": "the engine says \ud800"})
    ended: Manifest = {"name": container, "state": {"terminated": {"exitCode": 1, "message": report}}}
    labels = {"holdfast.dev/component": "engine", "holdfast.dev/deployment": NAME, "holdfast.dev/revision": "1"}
    pod: dict[str, Any] = {"metadata": {"namespace": NAMESPACE, "name": "pod", "labels": labels}, "spec": {"containers": []}}
    cluster.put(kinds.POD, pod)
    cluster.set_status(kinds.POD, Key(NAMESPACE, "pod"), {"initContainerStatuses": [ended]})
    await process.settle(run_engines)
    assert f"Pinned={reason}" in texts(cluster)
    assert message(cluster, "Pinned").isprintable()
    fall_back(cluster)
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "Fallback"
    assert "InternalError" not in process.outcomes


async def test_a_proposal_that_cannot_be_pinned_is_left_alone_however_long_it_stays(cluster: FakeCluster) -> None:
    await serving(cluster)
    process = await started(cluster, resolver=Hub(with_template(TOO_LONG)))
    propose(cluster)
    await process.settle(run_engines)
    before = len(cluster.writes())
    for _ in range(3):
        cluster.advance(86_400)
        await process.settle(run_engines)
        due = process.controller.queue.next_due()
        assert due is None or due - process.clock() > 60
    assert cluster.writes()[before:] == ()
