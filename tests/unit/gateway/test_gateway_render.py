"""Envoy's configuration and the gateway's objects: each rule here was paid for with failed requests (see `render.gateway`)."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.domain.gateway import Clusters, External
from holdfast.render.gateway.bootstrap import bootstrap
from holdfast.render.gateway.clusters import cluster_resources
from holdfast.render.gateway.layout import DRAIN_SECONDS, Layout
from holdfast.render.gateway.publication import compact
from holdfast.render.gateway.routes import Marked, route_resources
from holdfast.render.gateway.workload import workload
from unit.gateway.gateway import route

LAYOUT = Layout(namespace="team-a")
IMAGE = "registry.test/envoy@sha256:" + "0" * 64
FULL = Clusters(
    revisions=frozenset({1, 2}),
    failover={2: 1},
    externals=(External(name="desk", url="https://desk.test/v1"), External(name="plain", url="http://plain.test:8000")),
)


def clusters() -> dict[str, Any]:
    return {each["name"]: each for each in cluster_resources({"chat": FULL}, LAYOUT)["resources"]}


def serving(**arms: int) -> dict[str, Any]:
    chosen = {arm.removeprefix("r"): weight for arm, weight in arms.items()}
    marked = Marked(route=route(chosen), served_by={"1": "stable", "2": "candidate"})
    hosts = route_resources(7, {"chat": marked}, LAYOUT)["resources"][0]["virtual_hosts"]
    return next(each for host in hosts for each in host["routes"] if each.get("name") == "chat")


def test_a_revision_is_found_by_the_name_of_its_headless_service() -> None:
    endpoint = clusters()["chat/2"]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
    address = {"address": "chat-2.team-a.svc.cluster.local", "port_value": 8000}
    assert endpoint["endpoint"]["address"] == {"socket_address": address}
    assert endpoint["metadata"] == {"filter_metadata": {"holdfast": {"revision": "2"}}}


@pytest.mark.parametrize("name", ["chat/1", "chat/2"])
def test_a_revision_keeps_its_traffic_while_one_pod_is_healthy(name: str) -> None:
    assert clusters()[name]["load_assignment"]["policy"] == {"overprovisioning_factor": 100000}


def test_only_the_candidate_fails_over() -> None:
    known = clusters()
    assert known["chat/arm-2"]["cluster_type"]["typed_config"]["clusters"] == ["chat/2", "chat/1"]
    assert known["chat/arm-1"]["cluster_type"]["typed_config"]["clusters"] == ["chat/1"]


def test_no_cluster_has_the_default_limits() -> None:
    for cluster in clusters().values():
        assert cluster["circuit_breakers"]["thresholds"][0]["max_retries"] == 10000


def test_local_errors_are_not_told_apart_from_those_of_the_engine() -> None:
    """With `split_external_local_origin_errors` a pod that hangs is never set aside."""
    assert "split_external_local_origin_errors" not in compact(clusters())


def test_https_checks_the_name_and_http_has_no_tls() -> None:
    tls = [each.get("transport_socket") for name, each in clusters().items() if "/external-desk/" in name]
    context = tls[0]["typed_config"]
    assert context["sni"] == "desk.test"
    validation = context["common_tls_context"]["validation_context"]
    assert validation["match_typed_subject_alt_names"] == [{"san_type": "DNS", "matcher": {"exact": "desk.test"}}]
    assert [each.get("transport_socket") for name, each in clusters().items() if "/external-plain/" in name] == [None]


def test_a_cluster_without_upstream_filters_stands_under_an_arm() -> None:
    """Envoy ignores them silently under an aggregate."""
    assert "typed_extension_protocol_options" not in compact(clusters())


def test_a_generation_may_take_as_long_as_it_takes() -> None:
    action = serving(r1=10000)["route"]
    assert action["timeout"] == "0s"
    assert "per_try_timeout" not in action["retry_policy"]
    assert action["idle_timeout"] == "900s"


def test_the_order_of_arms_does_not_depend_on_their_weights() -> None:
    orders = [
        [each["name"] for each in serving(**arms)["route"]["weighted_clusters"]["clusters"]]
        for arms in ({"r1": 9500, "r2": 500}, {"r2": 9500, "r1": 500})
    ]
    assert orders == [["chat/arm-1", "chat/arm-2"]] * 2


def test_an_attempt_at_an_external_is_repeated_once() -> None:
    marked = Marked(route=route({"external/desk": 10000}), served_by={})
    assert '"num_retries":1' in compact(route_resources(7, {"chat": marked}, LAYOUT))


def test_domains_of_deployments_never_meet() -> None:
    names = ["a", "b", "ab", "team-a", "svc"]
    routes = {name: Marked(route=route({}), served_by={}) for name in names}
    hosts = route_resources(7, routes, LAYOUT)["resources"][0]["virtual_hosts"]
    domains = [domain for host in hosts for domain in host["domains"]]
    assert len(domains) == len(set(domains))


def test_listeners_are_static() -> None:
    """A listener that changes at run time cuts every running stream."""
    whole = bootstrap(LAYOUT)
    assert set(whole["dynamic_resources"]) == {"cds_config"}
    assert [each["name"] for each in whole["static_resources"]["listeners"]] == ["ingress", "metrics", "external"]


def test_the_admin_interface_is_a_socket() -> None:
    assert bootstrap(LAYOUT)["admin"]["address"] == {"pipe": {"path": "/run/holdfast/admin.sock", "mode": 0o600}}


def sources(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "path_config_source" in value:
            yield value["path_config_source"]
        for each in value.values():
            yield from sources(each)
    elif isinstance(value, list):
        for each in value:
            yield from sources(each)


def test_every_file_is_watched_by_its_folder() -> None:
    """A ConfigMap volume changes by the swap of a symlink beside the file."""
    found = list(sources(bootstrap(LAYOUT)))
    assert [each["path"] for each in found] == [
        "/etc/holdfast/clusters/cds.json",
        "/etc/holdfast/routes/rds.json",
        "/etc/holdfast/routes/rds-external.json",
    ]
    assert all(each["watched_directory"]["path"] == each["path"].rpartition("/")[0] for each in found)


def objects() -> dict[tuple[str, str], Any]:
    return {(each["kind"], each["metadata"]["name"]): each for each in workload(LAYOUT, IMAGE)}


def pod() -> Any:
    return objects()["Deployment", "holdfast-gateway"]["spec"]["template"]["spec"]


def test_the_gateway_is_these_objects() -> None:
    assert list(objects()) == [
        ("ConfigMap", "holdfast-gateway-bootstrap"),
        ("Service", "holdfast-gateway"),
        ("NetworkPolicy", "holdfast-gateway"),
        ("PodDisruptionBudget", "holdfast-gateway"),
        ("Deployment", "holdfast-gateway"),
    ]
    assert all(each["metadata"]["labels"] == {"holdfast.dev/component": "gateway"} for each in objects().values())
    assert all(each["metadata"]["namespace"] == "team-a" for each in objects().values())


def test_the_pods_are_restricted() -> None:
    """Pod Security Standards, restricted (kubernetes.io, v1.36)."""
    container = pod()["containers"][0]
    assert pod()["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod()["automountServiceAccountToken"] is False


def test_the_pods_roll_when_the_bootstrap_changes_and_not_when_routes_do() -> None:
    first = objects()["Deployment", "holdfast-gateway"]
    other = {each["kind"]: each for each in workload(Layout(namespace="team-a", http_port=8888), IMAGE)}["Deployment"]
    changed = first["spec"]["template"]["metadata"]["annotations"] != other["spec"]["template"]["metadata"]["annotations"]
    assert changed
    assert workload(LAYOUT, IMAGE) == workload(LAYOUT, IMAGE)


def test_no_configuration_is_mounted_by_sub_path() -> None:
    assert all("subPath" not in mount for mount in pod()["containers"][0]["volumeMounts"])


def test_a_pod_is_ready_when_it_answers_by_a_configuration() -> None:
    """Envoy's own readiness is fine with routes that were refused."""
    probe = pod()["containers"][0]["readinessProbe"]["httpGet"]
    assert (probe["path"], probe["port"]) == ("/config", 8080)
    assert probe["httpHeaders"] == [{"name": "Host", "value": "holdfast-gateway.internal"}]


def test_a_leaving_pod_sends_its_clients_away_and_finishes_its_streams() -> None:
    """The hook's answer takes as long as the streams may; see test_envoy_leaving."""
    hook = pod()["containers"][0]["lifecycle"]["preStop"]["httpGet"]
    assert (hook["path"], hook["port"]) == ("/drain", 9090)
    assert pod()["terminationGracePeriodSeconds"] > DRAIN_SECONDS


def test_one_pod_always_serves() -> None:
    deployment = objects()["Deployment", "holdfast-gateway"]["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert objects()["PodDisruptionBudget", "holdfast-gateway"]["spec"]["minAvailable"] == 1


def test_manifests_are_plain_json() -> None:
    assert json.loads(json.dumps(workload(LAYOUT, IMAGE))) == workload(LAYOUT, IMAGE)
