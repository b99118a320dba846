"""A pod that is not what was approved loses its traffic and nothing else: the pod is what the evidence is in."""

from builders import NAME, NAMESPACE
from holdfast.api import names
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.cluster.port import Manifest
from model.life import Place, played
from model.nodes import CHANGED, is_engine
from model.operator_run import OperatorRun


def pinned(place: Place) -> Manifest:
    found: Manifest = next(each for each in place.people.status()["conditions"] if each["type"] == "Pinned")
    return found


def quarantined(place: Place) -> dict[str, str]:
    marks = {key.name: pod["metadata"]["annotations"] for key, pod in place.cluster.view(kinds.POD).items() if is_engine(pod)}
    return {name: mark[names.ANNOTATION_QUARANTINE] for name, mark in marks.items() if names.ANNOTATION_QUARANTINE in mark}


async def test_a_changed_pod_is_named_with_its_field_and_taken_out_of_traffic() -> None:
    place = (await played("a pod is changed")).end.copy()
    ((name, why),) = quarantined(place).items()
    field = "spec.containers[engine].env"
    assert why.startswith(f"PodDrifted: {field} ")
    assert CHANGED in place.cluster.view(kinds.POD)[Key(NAMESPACE, name)]["metadata"]["annotations"]
    condition = pinned(place)
    assert (condition["status"], condition["reason"]) == ("False", "PodDrifted")
    assert name in condition["message"]
    assert field in condition["message"]


async def test_nothing_is_done_to_a_changed_pod_but_the_annotation() -> None:
    place = (await played("promote")).end.copy()
    operator = OperatorRun(place.cluster, place.nodes, landed=place.witness.landed, version=1)
    await operator.start()
    await operator.settle()
    place.cluster.calls.clear()
    place.nodes.change(0)
    await operator.settle()
    await operator.kill()
    writes = [call for call in place.cluster.writes() if call.kind in (kinds.POD, kinds.DEPLOYMENT)]
    assert [(call.verb, call.kind) for call in writes] == [("patch", kinds.POD)]
    assert quarantined(place)


async def test_the_change_is_told_in_an_event() -> None:
    place = (await played("a pod is changed")).end
    reasons = [event["reason"] for event in place.cluster.view(kinds.EVENT).values()]
    assert reasons.count("PodDrifted") == 1


async def test_a_pod_that_a_person_replaced_ends_it() -> None:
    place = (await played("a pod is changed")).end.copy()
    operator = OperatorRun(place.cluster, place.nodes, landed=place.witness.landed, version=1)
    await operator.start()
    place.nodes.replace_changed()
    await operator.settle()
    await operator.kill()
    assert quarantined(place) == {}
    assert pinned(place)["status"] == "True"


async def test_pods_that_a_change_of_serving_is_about_to_replace_are_left_alone() -> None:
    place = (await played("promote")).end.copy()
    operator = OperatorRun(place.cluster, place.nodes, landed=place.witness.landed, version=1)
    await operator.start()
    await operator.settle()
    revision = place.cluster.view(kinds.DEPLOYMENT)[Key(NAMESPACE, f"{NAME}-2")]["metadata"]["generation"]
    place.people.declare("b", serving={"replicas": 1, "drainSeconds": 77})
    await operator.settle()
    await operator.kill()
    assert place.cluster.view(kinds.DEPLOYMENT)[Key(NAMESPACE, f"{NAME}-2")]["metadata"]["generation"] > revision
    assert quarantined(place) == {}
    place.witness.hold()
