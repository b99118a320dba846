"""The mirror, whatever the order in which news arrive."""

from builders import NAME, NAMESPACE
from holdfast.api.names import Key
from holdfast.cluster import kinds
from holdfast.cluster.port import Listing
from holdfast.controller.keys import GatewayKey
from holdfast.controller.mirror import Mirror
from holdfast.controller.records import Unreadable
from holdfast.domain.snapshot import DeploymentView
from unit.controller.objects import Manifest, deployment, engine, metadata, owner, pod

KEY = Key(NAMESPACE, NAME)
GATEWAY = GatewayKey(NAMESPACE)


def phase_of(mirror: Mirror) -> str | None:
    found = mirror.deployment(KEY)
    assert isinstance(found, DeploymentView)
    return found.status.phase


def with_phase(version: int, phase: str, uid: str = "md-1") -> Manifest:
    return deployment(version, uid=uid, status={"phase": phase})


def listing(version: int, *items: Manifest) -> Listing:
    return Listing(resource_version=str(version), items=items)


def test_a_modeldeployment_concerns_itself_and_its_gateway() -> None:
    assert Mirror().observe(kinds.MODEL_DEPLOYMENT, deployment()).keys == {KEY, GATEWAY}


def test_the_same_news_twice_concerns_nobody() -> None:
    mirror = Mirror()
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(5))
    assert not mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(5)).keys


def test_older_news_never_replace_newer_ones() -> None:
    mirror = Mirror()
    mirror.observe(kinds.MODEL_DEPLOYMENT, with_phase(10, "Stable"))
    assert not mirror.observe(kinds.MODEL_DEPLOYMENT, with_phase(9, "Pending")).keys
    assert phase_of(mirror) == "Stable"


def test_versions_are_compared_as_numbers() -> None:
    mirror = Mirror()
    mirror.observe(kinds.MODEL_DEPLOYMENT, with_phase(9, "Pending"))
    mirror.observe(kinds.MODEL_DEPLOYMENT, with_phase(10, "Stable"))
    assert phase_of(mirror) == "Stable"


def test_a_deleted_object_is_gone() -> None:
    mirror = Mirror()
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(5))
    assert mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(6), deleted=True).keys == {KEY, GATEWAY}
    assert mirror.deployment(KEY) is None


def test_a_late_answer_to_our_own_write_does_not_raise_the_dead() -> None:
    mirror = Mirror()
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(5))
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(8), deleted=True)
    assert not mirror.observe(kinds.MODEL_DEPLOYMENT, with_phase(7, "Stable")).keys
    assert mirror.deployment(KEY) is None


def test_the_end_of_a_former_incarnation_does_not_touch_the_present_one() -> None:
    mirror = Mirror()
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(5, uid="old"))
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(9, uid="new"))
    assert not mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(8, uid="old"), deleted=True).keys
    found = mirror.deployment(KEY)
    assert found is not None
    assert found.meta.uid == "new"


def test_news_of_a_former_incarnation_do_not_leak_into_the_present_one() -> None:
    mirror = Mirror()
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(9, uid="new"))
    mirror.observe(kinds.MODEL_DEPLOYMENT, with_phase(7, "Stable", uid="old"))
    assert phase_of(mirror) is None


def test_what_a_list_lacks_is_gone() -> None:
    mirror = Mirror()
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(5))
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(6, name="other", uid="md-2"))
    keys = mirror.replace(kinds.MODEL_DEPLOYMENT, listing(9, deployment(6, name="other", uid="md-2")))
    assert keys == {KEY, GATEWAY}
    assert mirror.deployment(KEY) is None
    assert mirror.deployment(Key(NAMESPACE, "other")) is not None


def test_what_is_newer_than_the_list_stays() -> None:
    mirror = Mirror()
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(12))
    assert not mirror.replace(kinds.MODEL_DEPLOYMENT, listing(9))
    assert mirror.deployment(KEY) is not None


def test_a_list_of_one_namespace_says_nothing_about_others() -> None:
    mirror = Mirror()
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(5))
    assert not mirror.replace(kinds.MODEL_DEPLOYMENT, listing(9), namespace="team-b")
    assert mirror.deployment(KEY) is not None


def test_a_ghost_that_was_swept_stays_away() -> None:
    mirror = Mirror()
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(5))
    mirror.replace(kinds.MODEL_DEPLOYMENT, listing(9))
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(5))
    assert mirror.deployment(KEY) is None


def test_a_child_concerns_its_owner() -> None:
    assert Mirror().observe(kinds.DEPLOYMENT, engine()).keys == {KEY}


def test_a_child_that_arrives_before_its_owner_is_found_by_it() -> None:
    mirror = Mirror()
    mirror.observe(kinds.DEPLOYMENT, engine())
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(7))
    assert [child.key.name for child in mirror.children(KEY)] == [f"{NAME}-1"]


def test_a_child_whose_label_was_changed_still_concerns_its_owner() -> None:
    stolen = engine()
    stolen["metadata"]["labels"]["holdfast.dev/deployment"] = "other"
    assert Mirror().observe(kinds.DEPLOYMENT, stolen).keys == {KEY, Key(NAMESPACE, "other")}


def test_a_child_that_changes_hands_concerns_both() -> None:
    mirror = Mirror()
    mirror.observe(kinds.DEPLOYMENT, engine(3))
    moved = engine(4)
    moved["metadata"]["labels"]["holdfast.dev/deployment"] = "other"
    moved["metadata"]["ownerReferences"] = [owner(name="other")]
    assert mirror.observe(kinds.DEPLOYMENT, moved).keys == {KEY, Key(NAMESPACE, "other")}
    assert mirror.children(KEY) == []


def test_objects_of_the_gateway_concern_the_gateway() -> None:
    found = {
        "metadata": metadata("holdfast-gateway", 3, "svc", labels={"holdfast.dev/component": "gateway"}),
        "spec": {},
    }
    mirror = Mirror()
    assert mirror.observe(kinds.SERVICE, found).keys == {GATEWAY}
    assert [child.key.name for child in mirror.gateway_children(NAMESPACE)] == ["holdfast-gateway"]


def test_a_child_is_given_back_as_it_was_without_status_and_managed_fields() -> None:
    mirror = Mirror()
    raw = engine(3, readyReplicas=2)
    raw["metadata"]["managedFields"] = [{"manager": "somebody"}]
    mirror.observe(kinds.DEPLOYMENT, raw)
    live = mirror.live(kinds.DEPLOYMENT, Key(NAMESPACE, f"{NAME}-1"))
    assert live is not None
    expected = engine(3)
    del expected["status"]
    assert live.manifest() == expected


def test_a_child_that_is_being_deleted_is_known_to_be_at_once() -> None:
    mirror = Mirror()
    mirror.observe(kinds.DEPLOYMENT, engine(3))
    mirror.deleting(kinds.DEPLOYMENT, Key(NAMESPACE, f"{NAME}-1"), "deploy-1")
    assert [child.deleting for child in mirror.children(KEY)] == [True]


def test_a_read_that_finds_nothing_buries_what_was_known() -> None:
    mirror = Mirror()
    mirror.observe(kinds.DEPLOYMENT, engine(3))
    assert mirror.unknown(kinds.DEPLOYMENT, Key(NAMESPACE, f"{NAME}-1"), exists=False).keys == {KEY}
    mirror.observe(kinds.DEPLOYMENT, engine(4))
    assert mirror.children(KEY) == []


def test_a_child_that_lost_its_label_can_get_it_back() -> None:
    mirror = Mirror()
    mirror.observe(kinds.DEPLOYMENT, engine(3))
    mirror.unknown(kinds.DEPLOYMENT, Key(NAMESPACE, f"{NAME}-1"), exists=True)
    assert mirror.children(KEY) == []
    mirror.observe(kinds.DEPLOYMENT, engine(5))
    assert len(mirror.children(KEY)) == 1


def test_objects_that_cannot_be_read_become_data() -> None:
    mirror = Mirror()
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(status={"phase": "FromTheFuture"}))
    found = mirror.deployment(KEY)
    assert isinstance(found, Unreadable)
    assert found.problem.startswith("status.phase: ")


def test_pods_are_found_by_their_deployment() -> None:
    mirror = Mirror()
    mirror.observe(kinds.POD, pod())
    assert [each.name for each in mirror.pods(KEY)] == ["pod-pod-1"]


def test_everything_is_what_has_to_be_reconciled() -> None:
    mirror = Mirror()
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment())
    left_behind = {
        "metadata": metadata("holdfast-gateway", 3, "svc", labels={"holdfast.dev/component": "gateway"})
        | {"namespace": "team-z"},
        "spec": {},
    }
    mirror.observe(kinds.SERVICE, left_behind)
    assert set(mirror.everything()) == {KEY, GATEWAY, GatewayKey("team-z")}


def test_nothing_is_remembered_of_a_namespace_that_is_empty() -> None:
    """Namespaces of tests come and go all day."""
    mirror = Mirror()
    gateway_pod = pod()
    gateway_pod["metadata"]["labels"] = {"holdfast.dev/component": "gateway"}
    mirror.observe(kinds.MODEL_DEPLOYMENT, deployment(1))
    mirror.observe(kinds.DEPLOYMENT, engine())
    mirror.observe(kinds.POD, gateway_pod)
    for kind in (kinds.MODEL_DEPLOYMENT, kinds.DEPLOYMENT, kinds.POD):
        mirror.replace(kind, listing(1000))
    assert mirror.deployments(NAMESPACE) == []
    assert mirror.gateway_pods(NAMESPACE) == []
    assert mirror.gateway_children(NAMESPACE) == []
    assert list(mirror.everything()) == []
    assert (mirror._by_namespace, mirror._by_deployment, mirror._gateway_pods) == ({}, {}, {})
