"""Events tell once what happened, in what the API server accepts."""

from builders import NAME, NAMESPACE
from holdfast.api.names import Key
from holdfast.api.reasons import Reason
from holdfast.cluster import kinds
from holdfast.cluster.errors import Transient
from holdfast.cluster.events import Recorder, Regarding
from holdfast.domain.plan import Note
from model.fake_cluster import FakeCluster

NOTE = Note(type="Normal", reason=Reason.PROMOTED, message="revision 2 serves all users")


def regarding(version: str = "7") -> Regarding:
    return Regarding(kind=kinds.MODEL_DEPLOYMENT, key=Key(NAMESPACE, NAME), uid="md-1", resource_version=version)


async def recorded(cluster: FakeCluster, *notes: Note, version: str = "7") -> list[dict[str, object]]:
    await Recorder(cluster, instance="operator-0").record(regarding(version), notes)
    return list(cluster.every(kinds.EVENT).values())


async def test_an_event_says_what_happened_to_which_object() -> None:
    (event,) = await recorded(FakeCluster(), NOTE)
    assert (event["type"], event["reason"], event["note"]) == ("Normal", "Promoted", "revision 2 serves all users")
    assert event["reportingController"] == "holdfast.dev/operator"
    assert event["eventTime"] == "2026-01-01T00:00:00.000000Z"
    assert event["regarding"] == {
        "apiVersion": "holdfast.dev/v1alpha1",
        "kind": "ModelDeployment",
        "namespace": NAMESPACE,
        "name": NAME,
        "uid": "md-1",
        "resourceVersion": "7",
    }


async def test_the_same_transition_told_twice_is_one_event() -> None:
    cluster = FakeCluster()
    await recorded(cluster, NOTE)
    assert len(await recorded(cluster, NOTE)) == 1


async def test_the_same_words_about_a_later_transition_are_another_event() -> None:
    cluster = FakeCluster()
    await recorded(cluster, NOTE)
    assert len(await recorded(cluster, NOTE, version="9")) == 2


async def test_a_long_note_is_cut_to_what_the_server_accepts() -> None:
    (event,) = await recorded(FakeCluster(), Note(type="Warning", reason=Reason.ABORTED, message="ü" * 2000))
    assert isinstance(event["note"], str)
    assert len(event["note"].encode()) <= 1024
    assert event["note"].endswith("…")


async def test_an_event_that_cannot_be_written_is_left_out() -> None:
    cluster = FakeCluster()
    cluster.inject("before", Transient("busy"))
    other = Note(type="Normal", reason=Reason.DRAINED, message="done")
    assert [event["reason"] for event in await recorded(cluster, NOTE, other)] == ["Drained"]
