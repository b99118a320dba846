"""Kinds, their paths and what is seen of them."""

import pytest

from holdfast.cluster import kinds
from holdfast.cluster.kinds import Kind


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (kinds.POD, "/api/v1/namespaces/ns/pods/a/status"),
        (kinds.DEPLOYMENT, "/apis/apps/v1/namespaces/ns/deployments/a/status"),
        (kinds.MODEL_APPROVAL, "/apis/holdfast.dev/v1alpha1/namespaces/ns/modelapprovals/a/status"),
    ],
)
def test_paths_are_those_of_the_api_server(kind: Kind, path: str) -> None:
    assert kind.path("ns", "a", "status") == path


def test_a_path_without_namespace_is_that_of_all_namespaces() -> None:
    assert kinds.MODEL_DEPLOYMENT.path(None) == "/apis/holdfast.dev/v1alpha1/modeldeployments"


def test_a_manifest_tells_its_kind() -> None:
    assert kinds.of({"apiVersion": "apps/v1", "kind": "Deployment"}) is kinds.DEPLOYMENT


def test_other_kinds_are_none_of_our_business() -> None:
    with pytest.raises(ValueError, match=r"unknown kind Ingress of networking\.k8s\.io/v1"):
        kinds.of({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress"})


def test_of_our_own_kinds_all_are_seen_and_of_others_only_what_carries_our_mark() -> None:
    assert {kinds.selector(kind) for kind in kinds.OWN} == {None}
    assert {kinds.selector(kind) for kind in kinds.WATCHED if kind not in kinds.OWN} == {"holdfast.dev/component"}
