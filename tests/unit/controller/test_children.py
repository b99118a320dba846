"""Children are created, repaired and never adopted."""

import random
from typing import Any

import pytest

from builders import NAME, NAMESPACE
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.cluster.errors import Conflict, Rejected, Transient
from holdfast.cluster.kinds import Kind
from holdfast.controller.children import Children, Owner
from holdfast.controller.mirror import Mirror
from holdfast.controller.queue import WorkQueue
from holdfast.controller.seals import Seals
from holdfast.controller.writer import Writer
from model.fake_cluster import FakeCluster
from unit.controller.objects import Manifest, owner

KEY = Key(NAMESPACE, NAME)
CHILD = Key(NAMESPACE, f"{NAME}-1")
OWNER = Owner(key=KEY, uid="md-1")
LABELS = {"holdfast.dev/component": "engine", "holdfast.dev/deployment": NAME, "holdfast.dev/revision": "1"}


def service(**spec: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": NAMESPACE, "name": CHILD.name, "labels": dict(LABELS)},
        "spec": {"selector": {"holdfast.dev/revision": "1"}, "ports": [{"name": "http", "port": 8000}]} | spec,
    }


def config(text: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": NAMESPACE, "name": CHILD.name, "labels": dict(LABELS)},
        "data": {"manifest.json": text},
        "immutable": True,
    }


def workload() -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": NAMESPACE, "name": CHILD.name, "labels": dict(LABELS)},
        "spec": {"replicas": 1},
    }


class Bench:
    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.restart()

    def restart(self) -> None:
        self.mirror = Mirror()
        queue = WorkQueue(clock=lambda: 0.0, rng=random.Random(1))  # noqa: S311
        self.children = Children(self.mirror, Writer(self.cluster, self.mirror, queue), Seals(self.cluster, bytes))

    def hear(self) -> None:
        for kind in kinds.CHILDREN:
            while (event := self.cluster.deliver(kind)) is not None:
                self.mirror.observe(kind, event.object, deleted=event.type == "DELETED")

    def verbs(self) -> list[str]:
        return [call.verb for call in self.cluster.writes()]

    def standing(self, kind: Kind, **metadata: Any) -> Manifest:
        """Somebody's object under the child's name."""
        body = service() if kind is kinds.SERVICE else config("[]")
        body["metadata"] = {"namespace": NAMESPACE, "name": CHILD.name} | metadata
        return self.cluster.put(kind, body)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_missing_child_is_created_and_belongs_to_its_owner(bench: Bench) -> None:
    matched = await bench.children.match([service()], by=KEY, owner=OWNER)
    assert matched.changed
    assert bench.verbs() == ["create"]
    made = bench.cluster.read(kinds.SERVICE, CHILD)
    assert made is not None
    assert made["metadata"]["ownerReferences"] == [owner()]


async def test_what_matches_is_not_written_again(bench: Bench) -> None:
    await bench.children.match([service()], by=KEY, owner=OWNER)
    assert not (await bench.children.match([service()], by=KEY, owner=OWNER)).changed
    assert bench.verbs() == ["create"]


async def test_what_matches_is_not_written_after_a_restart(bench: Bench) -> None:
    await bench.children.match([service()], by=KEY, owner=OWNER)
    bench.restart()
    bench.hear()
    assert not (await bench.children.match([service()], by=KEY, owner=OWNER)).changed
    assert bench.verbs() == ["create"]


async def test_a_new_desire_is_applied(bench: Bench) -> None:
    await bench.children.match([service()], by=KEY, owner=OWNER)
    await bench.children.match([service(sessionAffinity="ClientIP")], by=KEY, owner=OWNER)
    found = bench.cluster.read(kinds.SERVICE, CHILD)
    assert found is not None
    assert found["spec"]["sessionAffinity"] == "ClientIP"
    assert bench.verbs() == ["create", "patch"]


async def test_drift_is_repaired_once_it_is_heard_of(bench: Bench) -> None:
    await bench.children.match([service()], by=KEY, owner=OWNER)
    bench.cluster.edit(kinds.SERVICE, CHILD, lambda found: found["spec"]["selector"].update({"holdfast.dev/revision": "9"}))
    bench.hear()
    await bench.children.match([service()], by=KEY, owner=OWNER)
    found = bench.cluster.read(kinds.SERVICE, CHILD)
    assert found is not None
    assert found["spec"]["selector"] == {"holdfast.dev/revision": "1"}


async def test_what_an_apply_leaves_is_replaced(bench: Bench) -> None:
    """Fields that somebody else added belong to him, so an apply keeps them."""
    await bench.children.match([service()], by=KEY, owner=OWNER)
    bench.cluster.edit(kinds.SERVICE, CHILD, lambda found: found["spec"].update(externalIPs=["192.0.2.1"]))
    bench.hear()
    await bench.children.match([service()], by=KEY, owner=OWNER)
    found = bench.cluster.read(kinds.SERVICE, CHILD)
    assert found is not None
    assert "externalIPs" not in found["spec"]
    assert bench.verbs() == ["create", "patch", "update"]


async def test_a_foreign_object_is_reported_and_left_alone(bench: Bench) -> None:
    before = bench.standing(kinds.SERVICE)
    matched = await bench.children.match([service()], by=KEY, owner=OWNER)
    assert [text for _, text in matched.conflicts] == [f"Service {NAME}-1 exists and is not Holdfast's; delete or rename it"]
    assert not matched.changed
    assert bench.cluster.read(kinds.SERVICE, CHILD) == before


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": LABELS},
        {"ownerReferences": [owner()]},
        {"labels": LABELS, "ownerReferences": [owner(uid="other", name="other")]},
        {"labels": LABELS, "ownerReferences": [owner() | {"controller": False}]},
    ],
    ids=["label only", "owner only", "another owner", "an owner that does not control"],
)
async def test_label_and_controlling_owner_make_it_ours_and_nothing_less(bench: Bench, metadata: Manifest) -> None:
    bench.standing(kinds.SERVICE, **metadata)
    bench.hear()
    matched = await bench.children.match([service()], by=KEY, owner=OWNER)
    assert len(matched.conflicts) == 1


async def test_no_pod_runs_behind_somebody_elses_service(bench: Bench) -> None:
    bench.standing(kinds.SERVICE)
    await bench.children.match([workload(), service()], by=KEY, owner=OWNER)
    assert bench.cluster.read(kinds.DEPLOYMENT, CHILD) is None


async def test_a_workload_comes_last(bench: Bench) -> None:
    await bench.children.match([workload(), service(), config("[]")], by=KEY, owner=OWNER)
    assert [call.kind.kind for call in bench.cluster.writes()] == ["Service", "ConfigMap", "Secret", "Deployment"]


async def test_the_child_of_a_former_owner_of_the_same_name_is_waited_for(bench: Bench) -> None:
    bench.standing(kinds.SERVICE, labels=LABELS, ownerReferences=[owner(uid="former")])
    bench.hear()
    matched = await bench.children.match([service()], by=KEY, owner=OWNER)
    assert len(matched.waiting) == 1
    assert not matched.conflicts


async def test_a_child_that_is_being_deleted_is_waited_for(bench: Bench) -> None:
    bench.standing(kinds.SERVICE, labels=LABELS, ownerReferences=[owner()], finalizers=["x/y"])
    bench.cluster.remove(kinds.SERVICE, CHILD)
    bench.hear()
    matched = await bench.children.match([service()], by=KEY, owner=OWNER)
    assert [text for _, text in matched.waiting] == [f"Service {NAME}-1 is being deleted"]


async def test_a_child_that_the_mirror_had_not_seen_is_found_by_its_409(bench: Bench) -> None:
    await bench.children.match([service()], by=KEY, owner=OWNER)
    bench.restart()
    assert not (await bench.children.match([service()], by=KEY, owner=OWNER)).trouble
    assert bench.verbs() == ["create", "create"]
    assert bench.mirror.live(kinds.SERVICE, CHILD) is not None


async def test_a_child_that_was_replaced_behind_our_back_is_not_overwritten(bench: Bench) -> None:
    await bench.children.match([service()], by=KEY, owner=OWNER)
    bench.hear()
    bench.cluster.remove(kinds.SERVICE, CHILD)
    foreign = bench.standing(kinds.SERVICE)
    matched = await bench.children.match([service(sessionAffinity="ClientIP")], by=KEY, owner=OWNER)
    assert len(matched.conflicts) == 1
    assert bench.cluster.read(kinds.SERVICE, CHILD) == foreign


async def test_a_child_that_was_deleted_behind_our_back_is_made_anew(bench: Bench) -> None:
    await bench.children.match([service()], by=KEY, owner=OWNER)
    bench.cluster.remove(kinds.SERVICE, CHILD)
    await bench.children.match([service(sessionAffinity="ClientIP")], by=KEY, owner=OWNER)
    found = bench.cluster.read(kinds.SERVICE, CHILD)
    assert found is not None
    assert found["spec"]["sessionAffinity"] == "ClientIP"


async def test_an_immutable_configmap_is_made_anew(bench: Bench) -> None:
    await bench.children.match([config("[]")], by=KEY, owner=OWNER)
    await bench.children.match([config("[1]")], by=KEY, owner=OWNER)
    assert bench.verbs() == ["create", "delete"]
    bench.hear()
    await bench.children.match([config("[1]")], by=KEY, owner=OWNER)
    found = bench.cluster.read(kinds.CONFIG_MAP, CHILD)
    assert found is not None
    assert found["data"] == {"manifest.json": "[1]"}


async def test_what_the_server_refuses_is_told_and_the_others_go_on(bench: Bench) -> None:
    bench.cluster.inject("before", Rejected("exceeded quota"), kind=kinds.SERVICE)
    matched = await bench.children.match([service(), config("[]")], by=KEY, owner=OWNER)
    assert [text for _, text in matched.refused] == ["exceeded quota"]
    assert bench.cluster.read(kinds.CONFIG_MAP, CHILD) is not None


async def test_trouble_with_the_server_ends_the_visit(bench: Bench) -> None:
    bench.cluster.inject("before", Transient("no route to host"))
    with pytest.raises(Transient):
        await bench.children.match([service(), config("[]")], by=KEY, owner=OWNER)


async def test_a_write_whose_answer_was_lost_is_found_done(bench: Bench) -> None:
    bench.cluster.inject("after", Transient("timeout"))
    with pytest.raises(Transient):
        await bench.children.match([service()], by=KEY, owner=OWNER)
    assert not (await bench.children.match([service()], by=KEY, owner=OWNER)).trouble
    assert len(bench.cluster.every(kinds.SERVICE)) == 1


async def test_somebody_who_changes_it_back_each_time_is_reported_instead_of_fought(bench: Bench) -> None:
    await bench.children.match([service()], by=KEY, owner=OWNER)

    def meddle() -> None:
        bench.cluster.edit(kinds.SERVICE, CHILD, lambda found: found["spec"].update(externalIPs=["192.0.2.1"]))

    meddle()
    bench.hear()
    original = bench.cluster.replace

    async def replace(kind: Kind, manifest: Manifest) -> Manifest:
        await original(kind, manifest)
        meddle()
        return await bench.cluster.get(kind, CHILD)

    bench.cluster.replace = replace  # type: ignore[method-assign]
    for _ in range(5):
        matched = await bench.children.match([service()], by=KEY, owner=OWNER)
        bench.hear()
    assert [text for _, text in matched.refused] == [
        f"Service {NAME}-1 is changed back by somebody else: spec.externalIPs: ['192.0.2.1'], which Holdfast did not set"
    ]
    assert bench.verbs().count("update") == 1
    bench.children.sweep()
    await bench.children.match([service()], by=KEY, owner=OWNER)
    assert bench.verbs().count("update") == 2


async def test_a_child_is_deleted_by_its_uid(bench: Bench) -> None:
    await bench.children.match([service()], by=KEY, owner=OWNER)
    with pytest.raises(Conflict):
        await bench.children.remove(kinds.SERVICE, CHILD, uid="another")
    assert bench.cluster.read(kinds.SERVICE, CHILD) is not None


async def test_objects_of_a_gateway_belong_to_nobody(bench: Bench) -> None:
    await bench.children.match([service()], by=KEY, owner=None)
    found = bench.cluster.read(kinds.SERVICE, CHILD)
    assert found is not None
    assert "ownerReferences" not in found["metadata"]
    assert not (await bench.children.match([service()], by=KEY, owner=None)).changed


async def test_nothing_is_remembered_of_children_that_went_with_their_owner(bench: Bench) -> None:
    await bench.children.match([service(), workload()], by=KEY, owner=OWNER)
    await bench.children.match([service(), workload()], by=KEY, owner=OWNER)
    bench.cluster.remove(kinds.SERVICE, CHILD)
    bench.hear()
    bench.children.sweep()
    assert [kind for kind, _ in bench.children._verified] == [kinds.DEPLOYMENT]
