"""A route that is on its way to the gateway while its reason goes away.

The operator works on a ModelDeployment and on its gateway at the same time. A route that was decided on and not yet written, or
written and not yet known to be, or that a pod will begin with, leads to an engine just as a published one does: the engine stays.
"""

import pytest

from builders import NAME
from holdfast.api import names
from holdfast.cluster import kinds
from holdfast.cluster.errors import Transient
from model.life import CALM, Place, played
from model.operator_run import OperatorRun

ROUTES = f"replace ConfigMap {names.GATEWAY_ROUTES}"
ENGINES = [f"{NAME}-1", f"{NAME}-2"]


async def starting(stage: str) -> tuple[Place, OperatorRun]:
    """An operator at the end of a stage, which has listed everything and will not so soon again."""
    place = (await played(stage)).end.copy()
    operator = OperatorRun(place.cluster, place.nodes, landed=place.witness.landed)
    await operator.start()
    await operator.settle(calm=2)
    return place, operator


def engines(place: Place) -> list[str]:
    return [key.name for key in place.cluster.view(kinds.DEPLOYMENT) if key.name != names.GATEWAY_NAME]


async def ends_well(place: Place, operator: OperatorRun) -> None:
    """Everything goes on; then the canary is over and its engine gone, and never was a route without one."""
    operator.gates.hurry()
    await operator.settle()
    place.witness.hold()
    assert place.people.phase == "Aborted"
    assert engines(place) == ENGINES[:1]
    await operator.kill()


@pytest.mark.parametrize("call", [f"{ROUTES}: sent", f"{ROUTES}: answered"])
async def test_an_abort_does_not_overtake_the_first_step_of_a_canary(call: str) -> None:
    place, operator = await starting("declare the second")
    place.people.approve("Start")
    assert await operator.run_until(call, given=lambda: place.people.phase == "Shifting")
    place.people.decide("Abort")
    await operator.settle(calm=5)
    assert place.people.phase == "Aborting"
    place.witness.hold()
    assert engines(place) == ENGINES
    await ends_well(place, operator)


@pytest.mark.parametrize("skip", range(0, 14, 2))
async def test_a_route_is_decided_on_what_is_asked_when_it_begins_to_come(skip: int) -> None:
    """While a gateway pod takes its time to answer, its reconciler has decided nothing that it will not decide again."""
    place, operator = await starting("declare the second")
    place.people.approve("Start")
    assert await operator.run_until("ask", given=lambda: place.people.phase == "Shifting", skip=skip)
    place.people.decide("Abort")
    await operator.settle(calm=5)
    await ends_well(place, operator)


async def test_a_publication_of_unknown_outcome_may_be_in_force() -> None:
    """The write took place, its answer is lost, no watch tells of it, and the pods have not read it yet."""
    place, operator = await starting("declare the second")
    place.people.approve("Start")
    assert await operator.run_until(f"{ROUTES}: sent", given=lambda: place.people.phase == "Shifting")
    place.cluster.inject("after", Transient("timed out"), verb="update", kind=kinds.CONFIG_MAP)
    operator.deaf.add(kinds.CONFIG_MAP)
    place.nodes.slow = set(place.nodes.envoys)
    operator.gates.hurry()
    assert await operator.run_until(f"{ROUTES}: failed")
    place.people.decide("Abort")
    operator.gates.hurry()
    await operator.settle(calm=5)
    place.witness.hold()
    operator.deaf.clear()
    place.nodes.slow.clear()
    await ends_well(place, operator)


async def test_a_pod_that_starts_begins_with_the_route_of_the_time_when_it_was_placed() -> None:
    """It was given the canary's route, and pulls its image while the canary is aborted."""
    place, operator = await starting("start the canary")
    place.nodes.replace(next(iter(place.nodes.envoys.values())))
    place.nodes.run_deployments()
    place.nodes.slow = {envoy.uid for envoy in place.nodes.envoys.values() if not envoy.running}
    assert len(place.nodes.slow) == 1
    place.people.decide("Abort")
    await operator.settle(calm=CALM)
    assert place.people.phase == "Aborted"
    assert engines(place) == ENGINES
    place.nodes.slow.clear()
    await ends_well(place, operator)


async def test_a_pod_that_no_watch_has_told_of_is_found_before_anything_goes() -> None:
    place, operator = await starting("start the canary")
    envoy = next(iter(place.nodes.envoys.values()))
    place.nodes.replace(envoy)
    place.nodes.end(envoy)
    operator.hear_all()
    operator.deaf.add(kinds.POD)
    place.nodes.run_deployments()
    place.nodes.slow = {envoy.uid for envoy in place.nodes.envoys.values() if not envoy.running}
    place.people.decide("Abort")
    await operator.settle(calm=CALM)
    assert engines(place) == ENGINES
    operator.deaf.clear()
    place.nodes.slow.clear()
    await ends_well(place, operator)
