"""The in-memory cluster behaves as the real one does, in everything that the operator rests on: each case runs on both."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from apiserver.manifests import deployment
from apiserver.space import Namespace
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.cluster.connection import connect
from holdfast.cluster.errors import AlreadyExists, Conflict, NotFound, Rejected
from holdfast.cluster.kube import KubeCluster
from holdfast.cluster.port import Cluster, Manifest
from model.fake_cluster import FakeCluster

LABELS = {"holdfast.dev/component": "engine"}


@pytest.fixture(params=["memory", "real"])
async def cluster(request: pytest.FixtureRequest, space: Namespace) -> AsyncIterator[Cluster]:
    if request.param == "memory":
        yield FakeCluster()
        return
    client = await connect()
    yield KubeCluster(client)
    await client.close()  # type: ignore[no-untyped-call]


@pytest.fixture
def key(space: Namespace) -> Key:
    return Key(space.name, "chat-1")


def config(key: Key, labels: dict[str, str] | None = None, **data: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": key.namespace, "name": key.name, "labels": labels or LABELS},
        "data": data,
    }


def with_uid(manifest: Manifest, uid: str) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "uid": uid}}


def uid(manifest: Manifest) -> str:
    found: str = manifest["metadata"]["uid"]
    return found


def version(manifest: Manifest) -> int:
    return int(manifest["metadata"]["resourceVersion"])


async def declared(cluster: Cluster, key: Key) -> Manifest:
    return await cluster.create(kinds.MODEL_DEPLOYMENT, deployment("chat", key.namespace))


async def test_what_is_created_can_be_read(cluster: Cluster, key: Key) -> None:
    created = await cluster.create(kinds.CONFIG_MAP, config(key, a="1"))
    found = await cluster.get(kinds.CONFIG_MAP, key)
    assert found["data"] == {"a": "1"}
    assert uid(found) == uid(created)
    assert version(found) == version(created)


async def test_the_time_is_known_after_an_answer(cluster: Cluster, key: Key) -> None:
    created = await cluster.create(kinds.CONFIG_MAP, config(key))
    assert cluster.now().isoformat()[:16] == created["metadata"]["creationTimestamp"][:16]


async def test_a_name_is_given_once(cluster: Cluster, key: Key) -> None:
    await cluster.create(kinds.CONFIG_MAP, config(key))
    with pytest.raises(AlreadyExists):
        await cluster.create(kinds.CONFIG_MAP, config(key))


async def test_what_is_not_there_is_not_found(cluster: Cluster, key: Key) -> None:
    with pytest.raises(NotFound):
        await cluster.get(kinds.CONFIG_MAP, key)


async def test_an_apply_changes_adds_and_takes_back_what_it_applied_before(cluster: Cluster, key: Key) -> None:
    made = await cluster.create(kinds.CONFIG_MAP, config(key))
    await cluster.apply(kinds.CONFIG_MAP, with_uid(config(key, a="1", b="1"), uid(made)))
    after = await cluster.apply(kinds.CONFIG_MAP, with_uid(config(key, b="2", c="1"), uid(made)))
    assert after["data"] == {"b": "2", "c": "1"}


async def test_an_apply_leaves_what_others_added(cluster: Cluster, key: Key) -> None:
    made = await cluster.create(kinds.CONFIG_MAP, config(key, other="x"))
    after = await cluster.apply(kinds.CONFIG_MAP, with_uid(config(key, a="1"), uid(made)))
    assert after["data"] == {"a": "1", "other": "x"}


async def test_an_apply_that_changes_nothing_is_no_write(cluster: Cluster, key: Key) -> None:
    made = await cluster.create(kinds.CONFIG_MAP, config(key, a="1"))
    first = await cluster.apply(kinds.CONFIG_MAP, with_uid(config(key, a="1"), uid(made)))
    again = await cluster.apply(kinds.CONFIG_MAP, with_uid(config(key, a="1"), uid(made)))
    assert version(again) == version(first)


async def test_an_apply_does_not_make_a_missing_object(cluster: Cluster, key: Key) -> None:
    with pytest.raises(Conflict):
        await cluster.apply(kinds.CONFIG_MAP, with_uid(config(key), "3b241101-e2bb-4255-8caf-4136c566a962"))
    with pytest.raises(NotFound):
        await cluster.get(kinds.CONFIG_MAP, key)


async def test_an_apply_does_not_touch_another_incarnation(cluster: Cluster, key: Key) -> None:
    first = await cluster.create(kinds.CONFIG_MAP, config(key, a="1"))
    await cluster.delete(kinds.CONFIG_MAP, key, uid=uid(first))
    await cluster.create(kinds.CONFIG_MAP, config(key, a="2"))
    with pytest.raises(Conflict):
        await cluster.apply(kinds.CONFIG_MAP, with_uid(config(key, a="3"), uid(first)))
    assert (await cluster.get(kinds.CONFIG_MAP, key))["data"] == {"a": "2"}


async def test_a_replacement_takes_away_what_others_added(cluster: Cluster, key: Key) -> None:
    made = await cluster.create(kinds.CONFIG_MAP, config(key, a="1", other="x"))
    body = config(key, a="1")
    body["metadata"] |= {"uid": uid(made), "resourceVersion": str(version(made))}
    assert (await cluster.replace(kinds.CONFIG_MAP, body))["data"] == {"a": "1"}


async def test_a_replacement_of_what_has_changed_is_refused(cluster: Cluster, key: Key) -> None:
    made = await cluster.create(kinds.CONFIG_MAP, config(key, a="1"))
    await cluster.annotate(kinds.CONFIG_MAP, key, uid=uid(made), annotations={"x": "1"})
    body = config(key, a="2")
    body["metadata"] |= {"uid": uid(made), "resourceVersion": str(version(made))}
    with pytest.raises(Conflict):
        await cluster.replace(kinds.CONFIG_MAP, body)


@pytest.mark.parametrize("missing", ["uid", "resourceVersion"])
async def test_a_write_without_its_precondition_is_a_bug(space: Namespace, missing: str) -> None:
    client = await connect()
    key = Key(space.name, "x")
    body = config(key)
    body["metadata"] |= {name: "1" for name in ("uid", "resourceVersion") if name != missing}
    with pytest.raises(ValueError, match=missing):
        await KubeCluster(client).replace(kinds.CONFIG_MAP, body)
    await client.close()  # type: ignore[no-untyped-call]


async def test_a_status_is_written_and_the_spec_is_not(cluster: Cluster, key: Key) -> None:
    made = await declared(cluster, key)
    name = Key(key.namespace, "chat")
    written = await cluster.replace_status(
        kinds.MODEL_DEPLOYMENT,
        name,
        uid=uid(made),
        resource_version=str(version(made)),
        status={"phase": "Pending"},
    )
    assert written["status"] == {"phase": "Pending"}
    assert written["spec"] == made["spec"]
    assert written["metadata"]["generation"] == made["metadata"]["generation"]
    assert version(written) > version(made)


async def test_a_status_replaces_the_whole_status(cluster: Cluster, key: Key) -> None:
    made = await declared(cluster, key)
    name = Key(key.namespace, "chat")

    async def put(seen: Manifest, status: dict[str, Any]) -> Manifest:
        return await cluster.replace_status(
            kinds.MODEL_DEPLOYMENT, name, uid=uid(seen), resource_version=str(version(seen)), status=status
        )

    first = await put(made, {"phase": "Pending", "message": "x"})
    assert (await put(first, {"phase": "Stable"}))["status"] == {"phase": "Stable"}


async def test_the_same_status_is_no_write(cluster: Cluster, key: Key) -> None:
    made = await declared(cluster, key)
    name = Key(key.namespace, "chat")
    seen = made
    for _ in range(2):
        seen = await cluster.replace_status(
            kinds.MODEL_DEPLOYMENT,
            name,
            uid=uid(seen),
            resource_version=str(version(seen)),
            status={"phase": "Pending"},
        )
    first_version = version(seen)
    again = await cluster.replace_status(
        kinds.MODEL_DEPLOYMENT, name, uid=uid(seen), resource_version=str(first_version), status={"phase": "Pending"}
    )
    assert version(again) == first_version


@pytest.mark.parametrize("stale", ["uid", "resource_version"])
async def test_a_status_on_what_was_not_seen_is_refused(cluster: Cluster, key: Key, stale: str) -> None:
    made = await declared(cluster, key)
    name = Key(key.namespace, "chat")
    seen = {"uid": uid(made), "resource_version": str(version(made))}
    if stale == "uid":
        seen["uid"] = "3b241101-e2bb-4255-8caf-4136c566a962"
    else:
        await cluster.annotate(kinds.MODEL_DEPLOYMENT, name, uid=uid(made), annotations={"x": "1"})
    with pytest.raises(Conflict):
        await cluster.replace_status(kinds.MODEL_DEPLOYMENT, name, **seen, status={"phase": "Stable"})
    assert "status" not in await cluster.get(kinds.MODEL_DEPLOYMENT, name)


async def test_the_status_of_what_is_gone_is_not_found(cluster: Cluster, key: Key) -> None:
    with pytest.raises(NotFound):
        await cluster.replace_status(kinds.MODEL_DEPLOYMENT, key, uid="1", resource_version="1", status={})


async def test_an_annotation_leaves_all_else(cluster: Cluster, key: Key) -> None:
    made = await cluster.create(kinds.CONFIG_MAP, config(key, a="1"))
    await cluster.annotate(kinds.CONFIG_MAP, key, uid=uid(made), annotations={"x": "1"})
    after = await cluster.annotate(kinds.CONFIG_MAP, key, uid=uid(made), annotations={"y": "2"})
    assert after["metadata"]["annotations"] == {"x": "1", "y": "2"}
    assert after["data"] == {"a": "1"}


async def test_labels_are_set_and_taken_off_and_all_else_stays(cluster: Cluster, key: Key) -> None:
    made = await cluster.create(kinds.CONFIG_MAP, config(key, a="1"))
    labels = made["metadata"]["labels"]
    set_ = await cluster.relabel(kinds.CONFIG_MAP, key, uid=uid(made), labels={"x": "1"})
    assert set_["metadata"]["labels"] == labels | {"x": "1"}
    off = await cluster.relabel(kinds.CONFIG_MAP, key, uid=uid(made), labels={"x": None})
    assert off["metadata"]["labels"] == labels
    assert off["data"] == {"a": "1"}
    with pytest.raises(Conflict):
        await cluster.relabel(kinds.CONFIG_MAP, key, uid="3b241101-e2bb-4255-8caf-4136c566a962", labels={"x": "1"})


async def test_an_annotation_does_not_touch_another_incarnation(cluster: Cluster, key: Key) -> None:
    await cluster.create(kinds.CONFIG_MAP, config(key))
    with pytest.raises(Conflict):
        await cluster.annotate(kinds.CONFIG_MAP, key, uid="3b241101-e2bb-4255-8caf-4136c566a962", annotations={"x": "1"})


async def test_a_deletion_does_not_touch_another_incarnation(cluster: Cluster, key: Key) -> None:
    await cluster.create(kinds.CONFIG_MAP, config(key))
    with pytest.raises(Conflict):
        await cluster.delete(kinds.CONFIG_MAP, key, uid="3b241101-e2bb-4255-8caf-4136c566a962")
    assert await cluster.get(kinds.CONFIG_MAP, key)


async def test_what_is_gone_already_may_be_deleted(cluster: Cluster, key: Key) -> None:
    made = await cluster.create(kinds.CONFIG_MAP, config(key))
    await cluster.delete(kinds.CONFIG_MAP, key, uid=uid(made))
    await cluster.delete(kinds.CONFIG_MAP, key, uid=uid(made))


async def test_what_has_finalizers_is_marked_and_stays(cluster: Cluster, key: Key) -> None:
    body = config(key)
    body["metadata"]["finalizers"] = ["example.com/wait"]
    made = await cluster.create(kinds.CONFIG_MAP, body)
    await cluster.delete(kinds.CONFIG_MAP, key, uid=uid(made))
    marked = await cluster.get(kinds.CONFIG_MAP, key)
    assert "deletionTimestamp" in marked["metadata"]
    body = {**marked, "metadata": {**marked["metadata"], "finalizers": []}}
    await cluster.replace(kinds.CONFIG_MAP, body)
    with pytest.raises(NotFound):
        await cluster.get(kinds.CONFIG_MAP, key)


async def test_a_list_has_what_carries_the_label_and_its_moment(cluster: Cluster, key: Key) -> None:
    made = await cluster.create(kinds.CONFIG_MAP, config(key))
    other = Key(key.namespace, "foreign")
    await cluster.create(kinds.CONFIG_MAP, config(other, labels={"app": "mine"}))
    listing = await cluster.list(kinds.CONFIG_MAP, namespace=key.namespace, selector="holdfast.dev/component")
    assert [(item["kind"], item["metadata"]["name"]) for item in listing.items] == [("ConfigMap", "chat-1")]
    assert int(listing.resource_version) >= version(made)


async def test_a_list_of_many_pages_is_whole(space: Namespace) -> None:
    """The real one only: 501 objects are more than a page."""
    client = await connect()
    cluster = KubeCluster(client)
    for number in range(501):
        await cluster.create(kinds.CONFIG_MAP, config(Key(space.name, f"c{number}")))
    listing = await cluster.list(kinds.CONFIG_MAP, namespace=space.name, selector="holdfast.dev/component")
    assert len({item["metadata"]["name"] for item in listing.items}) == 501
    await client.close()  # type: ignore[no-untyped-call]


async def test_an_unknown_field_is_refused_and_not_dropped(space: Namespace) -> None:
    """The real one only: a field that the server dropped would look like a difference for ever."""
    client = await connect()
    body = config(Key(space.name, "typo"))
    body["imutable"] = True
    with pytest.raises(Rejected, match="imutable"):
        await KubeCluster(client).create(kinds.CONFIG_MAP, body)
    await client.close()  # type: ignore[no-untyped-call]
