"""What a person decides is written before anything else is done, however much there is to do."""

from builders import NAME, NAMESPACE
from holdfast.api.names import LABEL_FETCHING, Key
from holdfast.cluster import kinds
from holdfast.cluster.errors import Transient
from model.fake_cluster import Call, FakeCluster
from process import run_engines
from unit.controller.objects import Manifest
from unit.controller.scenes import KEY, declare, serving, started, status, texts

PODS = 50


def fetched(cluster: FakeCluster, number: int) -> None:
    key = Key(NAMESPACE, f"{NAME}-1-{number}")
    labels = {"holdfast.dev/component": "engine", "holdfast.dev/deployment": NAME, "holdfast.dev/revision": "1"}
    spec: Manifest = {"initContainers": [{"name": "weights", "args": ["fetch"]}], "containers": [{"name": "engine"}]}
    cluster.put(
        kinds.POD,
        {"metadata": {"namespace": NAMESPACE, "name": key.name, "labels": labels | {LABEL_FETCHING: "true"}}, "spec": spec},
    )
    done = {"name": "weights", "state": {"terminated": {"exitCode": 0}}}
    cluster.set_status(kinds.POD, key, {"initContainerStatuses": [done]})


def declare_external(cluster: FakeCluster) -> None:
    declared = {"external": [{"name": "provider", "url": "https://api.example/v1"}]}
    cluster.edit(kinds.MODEL_DEPLOYMENT, KEY, lambda found: found["spec"].update(fallback=declared))


def fall_back(cluster: FakeCluster) -> None:
    spec = {"decision": "Fallback", "target": {"name": NAME}, "approver": {"username": "alice"}}
    spec |= {"fallbackTo": {"type": "External", "external": "provider"}}
    cluster.put(kinds.MODEL_APPROVAL, {"metadata": {"namespace": NAMESPACE, "name": "out"}, "spec": spec})


async def test_a_fallback_comes_before_the_marks_of_many_pods(cluster: FakeCluster) -> None:
    process = await serving(cluster)
    declare_external(cluster)
    await process.settle(run_engines)
    for number in range(PODS):
        fetched(cluster, number)
    fall_back(cluster)
    before = len(cluster.writes())
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "Fallback"
    written = cluster.writes()[before:]
    assert [call.kind for call in written].count(kinds.POD) == PODS
    assert written[0] == Call("update", kinds.MODEL_DEPLOYMENT, KEY, "status")


async def test_a_fallback_after_a_restart_does_not_wait_for_children_that_were_in_trouble(cluster: FakeCluster) -> None:
    """Their trouble is on record, so that after a start they are looked at before the record is changed. That may take for ever."""
    cluster.put(kinds.SERVICE, {"metadata": {"namespace": NAMESPACE, "name": NAME}, "spec": {"selector": {"app": "mine"}}})
    await serving_in_trouble(cluster)
    declare_external(cluster)
    fall_back(cluster)
    cluster.before_call = lambda call: (
        cluster.inject("before", Transient("timed out"), verb=call.verb, kind=call.kind)
        if call.is_write and call.kind in kinds.CHILDREN
        else None
    )
    again = await started(cluster)
    await again.settle(run_engines)
    assert "Transient" in again.outcomes
    assert status(cluster)["phase"] == "Fallback"


async def serving_in_trouble(cluster: FakeCluster) -> None:
    declare(cluster)
    process = await started(cluster)
    await process.settle(run_engines)
    assert "Stalled=NameConflict" in texts(cluster)


async def test_a_fallback_waits_for_one_child_that_is_being_made_and_not_for_all(cluster: FakeCluster) -> None:
    """A webhook that hangs holds up each of them for many seconds."""
    process = await serving(cluster)
    declare_external(cluster)
    await process.settle(run_engines)
    for kind in (kinds.SERVICE, kinds.NETWORK_POLICY, kinds.CONFIG_MAP):
        for key in [key for key in cluster.every(kind) if key.namespace == NAMESPACE]:
            cluster.remove(kind, key)
    before = len(cluster.writes())

    def decide_meanwhile(call: Call) -> None:
        if (
            call.verb == "create"
            and call.kind in kinds.CHILDREN
            and cluster.read(kinds.MODEL_APPROVAL, Key(NAMESPACE, "out")) is None
        ):
            fall_back(cluster)
            process.hear()

    cluster.before_call = decide_meanwhile
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "Fallback"
    written = cluster.writes()[before:]
    assert written[0].verb == "create"
    assert written[1] == Call("update", kinds.MODEL_DEPLOYMENT, KEY, "status")
    assert [call.verb for call in written].count("create") > 3, "the others are made after it"
    assert set(process.outcomes) == {"Settled"}


async def test_what_was_known_of_children_is_not_forgotten_when_a_decision_cuts_a_visit_short(cluster: FakeCluster) -> None:
    """Else the engine behind somebody else's Service would count as ready for a moment."""
    process = await serving(cluster)
    declare_external(cluster)
    cluster.remove(kinds.SERVICE, Key(NAMESPACE, f"{NAME}-1"))
    cluster.put(kinds.SERVICE, {"metadata": {"namespace": NAMESPACE, "name": f"{NAME}-1"}, "spec": {"selector": {"app": "evil"}}})
    await process.settle(run_engines)
    assert "Stalled=NameConflict" in texts(cluster)
    cluster.remove(kinds.SERVICE, Key(NAMESPACE, NAME))
    seen: list[list[str]] = []

    def decide_meanwhile(call: Call) -> None:
        seen.append(texts(cluster))
        if call == Call("create", kinds.SERVICE, Key(NAMESPACE, NAME)):
            fall_back(cluster)
            process.hear()

    cluster.before_call = decide_meanwhile
    await process.settle(run_engines)
    assert status(cluster)["phase"] == "Fallback"
    assert all("Stalled=NameConflict" in each for each in seen)
