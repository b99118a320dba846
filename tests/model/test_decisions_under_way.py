"""Decisions that arrive while the consequences of the last one are still on their way."""

from holdfast.cluster import kinds
from model.life import Place, played
from model.operator_run import OperatorRun


async def begun(stage: str) -> tuple[Place, OperatorRun]:
    place = (await played(stage)).end.copy()
    operator = OperatorRun(place.cluster, place.nodes, landed=place.witness.landed)
    await operator.start()
    await operator.settle(calm=2)
    return place, operator


async def test_a_rejected_canary_is_gone_before_it_can_be_asked_for_again() -> None:
    place, operator = await begun("start the canary")
    place.nodes.slow = set(place.nodes.envoys)
    place.people.decide("Reject")
    await operator.settle(calm=2)
    assert place.people.phase == "Aborting"
    place.people.decide("Resume")
    await operator.settle(calm=2)
    place.witness.hold()
    assert place.people.phase == "Aborting"
    last = max(place.cluster.view(kinds.MODEL_APPROVAL).items())[1]
    assert last["status"]["state"] == "Refused"
    assert "still being withdrawn" in last["status"]["message"]
    place.nodes.slow.clear()
    await operator.settle()
    assert place.people.phase == "Aborted"
    await operator.kill()
