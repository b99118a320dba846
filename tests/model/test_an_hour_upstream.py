"""An hour in which everything upstream moves, pods come and go, the operator is upgraded and the object is restored: one model all along."""

import json
from typing import Any, Final

import pytest

from builders import ENGINE_IMAGE
from holdfast.api import names
from holdfast.cluster import kinds
from model import moving_hub
from model.life import Place
from model.moving_hub import MovingHub
from model.operator_run import OperatorRun

MINUTES: Final = 60
CHECK_SECONDS: Final = 120
MOVES: Final[dict[str, tuple[str, ...]]] = {
    "the model with its generation config": (moving_hub.MODEL,),
    "the code that auto_map names": (moving_hub.CODE,),
    "an adapter": (moving_hub.ADAPTER,),
    "the tokenizer with its template": (moving_hub.TOKENIZER,),
    "the draft model": (moving_hub.DRAFT,),
    "everything": moving_hub.REPOSITORIES,
}


class Hour:
    """A ModelDeployment that serves, and an hour to come."""

    def __init__(self) -> None:
        self.hub = MovingHub()
        self.place = Place.empty()
        self.operator = self._process(1)
        self.processes = 1
        self.pods: dict[str, str] = {}
        """What every engine pod that ever was is made of, by uid."""

    async def serve(self) -> None:
        """Bring the first revision to serve."""
        await self.operator.start()
        self._declare(replicas=2)
        await self._pass()
        self.place.people.approve("Start")
        await self._pass()
        assert self.place.people.phase == "Stable", self.place.people.status()

    async def pass_by(self, moving: tuple[str, ...]) -> None:
        """Let the hour pass: each minute something is pushed, and pods, replicas or the operator change."""
        for minute in range(MINUTES):
            for repository in moving:
                self.hub.move(repository)
                if minute == MINUTES * 2 // 3:
                    self.hub.delete(repository)
            self._declare(replicas=1 + minute % 4)
            self._delete_a_pod(minute)
            if minute % 10 == 5:
                await self._restart()
            if minute == MINUTES // 2:
                await self._restore()
            self.place.cluster.advance(60.0)
            await self._pass()

    def model(self) -> dict[str, Any]:
        """Return the identity that the only revision names."""
        (revision,) = self.place.cluster.view(kinds.MODEL_REVISION).values()
        spec: dict[str, Any] = revision["spec"]
        return spec

    def condition(self, kind: str) -> str:
        """Return the reason of a condition."""
        conditions = self.place.people.status()["conditions"]
        return next(str(each["reason"]) for each in conditions if each["type"] == kind)

    async def _pass(self) -> None:
        """Let everything come to rest, and look upstream at what is due."""
        await self.operator.settle(calm=1.0)
        while await self.operator.controller.upstream.step() == 0.0:
            pass
        await self.operator.settle(calm=1.0)
        self.place.witness.hold()
        self._look_at_pods()

    async def _restart(self) -> None:
        """Kill the operator, and start another version of it."""
        await self.operator.kill()
        self.processes += 1
        self.operator = self._process(self.processes)
        await self.operator.start()

    async def _restore(self) -> None:
        """Lose the ModelDeployment, and declare it again without its status, as a restored backup does."""
        self.place.people.delete()
        await self._pass()
        assert not self._engines(), "pods of what is gone"
        self._declare(replicas=2)

    def _process(self, version: int) -> OperatorRun:
        place = self.place
        return OperatorRun(
            place.cluster, place.nodes, landed=place.witness.landed, version=version, hub=self.hub, upstream=self.hub
        )

    def _declare(self, replicas: int) -> None:
        model = moving_hub.everything(ENGINE_IMAGE)
        upstream = {"checkSeconds": CHECK_SECONDS}
        self.place.people.declare("a", model=model, serving={"replicas": replicas}, upstream=upstream)

    def _engines(self) -> dict[str, Any]:
        pods = self.place.cluster.view(kinds.POD)
        return {
            key.name: pod
            for key, pod in pods.items()
            if pod["metadata"]["labels"][names.LABEL_COMPONENT] == names.COMPONENT_ENGINE
        }

    def _delete_a_pod(self, number: int) -> None:
        engines = sorted(self._engines())
        assert engines, f"nothing serves: {self.place.people.status()}"
        key = next(key for key in self.place.cluster.view(kinds.POD) if key.name == engines[number % len(engines)])
        self.place.nodes.delete(key)

    def _look_at_pods(self) -> None:
        """Note what each pod is made of: its whole spec, and the ConfigMap with what it has to fetch and its template."""
        for pod in self._engines().values():
            config = next(volume["configMap"]["name"] for volume in pod["spec"]["volumes"] if volume["name"] == "revision")
            found = next(each for key, each in self.place.cluster.view(kinds.CONFIG_MAP).items() if key.name == config)
            self.pods[pod["metadata"]["uid"]] = json.dumps([pod["spec"], found["data"]], sort_keys=True)


@pytest.fixture(params=MOVES)
async def hour(request: pytest.FixtureRequest) -> tuple[Hour, dict[str, Any], list[str]]:
    """The hour has passed. With what the revision was, and what the Hub had been asked, before it began."""
    hour = Hour()
    await hour.serve()
    before, asked = hour.model(), list(hour.hub.asked)
    await hour.pass_by(MOVES[request.param])
    await hour.operator.kill()
    return hour, before, asked


async def test_a_moving_upstream_changes_nothing_for_an_hour(hour: tuple[Hour, dict[str, Any], list[str]]) -> None:
    passed, before, asked = hour
    assert passed.condition("UpstreamMoved") != "UpstreamUnchanged", "nothing moved"
    assert passed.condition("UpstreamAvailable") == "UpstreamGone", "nothing went"
    assert passed.processes == 1 + MINUTES // 10
    assert len(passed.pods) > MINUTES, "no pod was started in between"
    status = passed.place.people.status()
    assert passed.model() == before, "another revision"
    assert status["phase"] == "Stable"
    assert status["stable"]["digest"] == before["digest"]
    assert "request" not in status, "somebody was asked again"
    assert len(set(passed.pods.values())) == 1, "pods that are made of different things"
    assert passed.hub.asked == asked, "the Hub was asked for files again"
    assert len(passed.hub.images) == 1, "a registry was asked again"
    assert sorted(asked) == sorted(moving_hub.REPOSITORIES)


async def test_the_same_declaration_after_a_move_would_be_another_model() -> None:
    """So the tests above would notice a second question: every part that moves changes the digest."""
    digests = set()
    for repository in (None, *moving_hub.REPOSITORIES):
        hour = Hour()
        if repository is not None:
            hour.hub.move(repository)
        await hour.serve()
        digests.add(hour.model()["digest"])
        await hour.operator.kill()
    assert len(digests) == 1 + len(moving_hub.REPOSITORIES)
