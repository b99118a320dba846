"""NetworkPolicies hold in the bed, with the meaning that they have on a real cluster."""

from collections.abc import Mapping
from typing import Any

import pytest

from testbed import Testbed, TestbedError
from testbed.policy_rules import Pod, ruleset
from testbed_tests import leftovers, probe

NAMESPACE = "policies"

GATEWAY = Pod("shop", "gateway", "10.1.0.1", {"app": "gateway"}, {})
ENGINE = Pod("shop", "engine", "10.1.0.2", {"app": "engine"}, {("TCP", "http"): 8000})
STRANGER = Pod("other", "gateway", "10.1.0.3", {"app": "gateway"}, {})
PODS = [GATEWAY, ENGINE, STRANGER]
NAMESPACES = {"shop": {"team": "a"}, "other": {"team": "b"}}
ENGINES = {"podSelector": {"matchLabels": {"app": "engine"}}}


def policy(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": "example"}, "spec": {**ENGINES, **spec}}


def chain(script: str, name: str) -> list[str]:
    """The rules of one chain, without those that every chain has."""
    lines = [line.strip() for line in script.splitlines()]
    start = lines.index(f"chain {name} {{")
    return lines[start + 2 : lines.index("counter drop", start)]


def ingress(*rules: Mapping[str, Any]) -> list[str]:
    script, problems = ruleset(PODS, NAMESPACES, [policy(policyTypes=["Ingress"], ingress=list(rules))])
    assert not problems
    return chain(script, "ingress-10-1-0-2")


def egress(*rules: Mapping[str, Any]) -> list[str]:
    script, problems = ruleset(PODS, NAMESPACES, [policy(policyTypes=["Egress"], egress=list(rules))])
    assert not problems
    return chain(script, "egress-10-1-0-2")


def test_a_policy_without_rules_allows_nothing() -> None:
    assert ingress() == []


def test_an_empty_rule_allows_everything() -> None:
    assert ingress({}) == ["return"]


def test_a_pod_selector_means_pods_of_the_same_namespace() -> None:
    assert ingress({"from": [{"podSelector": {"matchLabels": {"app": "gateway"}}}]}) == ["ip saddr { 10.1.0.1 } return"]


def test_a_namespace_selector_means_pods_of_those_namespaces() -> None:
    expression = {"key": "team", "operator": "NotIn", "values": ["a"]}
    assert ingress({"from": [{"namespaceSelector": {"matchExpressions": [expression]}}]}) == ["ip saddr { 10.1.0.3 } return"]


def test_both_selectors_in_one_peer_must_match() -> None:
    peer = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "engine"}}}
    assert ingress({"from": [peer]}) == ["ip saddr { 10.1.0.2 } return"]


def test_a_block_of_addresses_may_have_exceptions() -> None:
    block = {"cidr": "10.0.0.0/8", "except": ["10.2.0.0/16"]}
    assert egress({"to": [{"ipBlock": block}]}) == ["ip daddr 10.0.0.0/8 ip daddr != { 10.2.0.0/16 } return"]


def test_ports_are_numbers_ranges_and_names() -> None:
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 80, "endPort": 90}, {"port": "http"}, {"port": "absent"}]
    assert ingress({"ports": ports}) == ["udp dport 53 return", "tcp dport 80-90 return", "tcp dport 8000 return"]


def test_a_name_of_a_port_in_egress_is_that_of_the_pod_that_is_reached() -> None:
    assert egress({"ports": [{"port": "http"}]}) == ["ip daddr 10.1.0.2 tcp dport 8000 return"]


def test_peers_that_select_nobody_allow_nobody() -> None:
    assert ingress({"from": [{"podSelector": {"matchLabels": {"app": "absent"}}}]}) == []


def test_only_selected_pods_and_named_directions_are_isolated() -> None:
    script, _ = ruleset(PODS, NAMESPACES, [policy(policyTypes=["Egress"])])
    assert [line for line in script.splitlines() if "chain " in line and "hook" not in line] == ["  chain egress-10-1-0-2 {"]


def test_policies_on_the_same_pod_add_up() -> None:
    both = [policy(ingress=[{"ports": [{"port": port}]}]) for port in (1, 2)]
    script, _ = ruleset(PODS, NAMESPACES, both)
    assert chain(script, "ingress-10-1-0-2") == ["tcp dport 1 return", "tcp dport 2 return"]


def test_what_is_not_known_shuts_the_namespace_off_and_is_reported() -> None:
    script, [problem] = ruleset(PODS, NAMESPACES, [policy(ingress=[{"from": [{"entity": "world"}]}])])
    assert (problem.name, problem.reason) == ("example", "field entity")
    for name in ("ingress-10-1-0-1", "egress-10-1-0-1", "ingress-10-1-0-2", "egress-10-1-0-2"):
        assert chain(script, name) == []
    assert "10.1.0.3" not in script


def cluster_policy(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def pods(bed: Testbed, image: str) -> Testbed:
    names = ["engine", "gateway", "stranger"]
    bed.kubectl.apply([probe.namespace(NAMESPACE)])
    bed.kubectl.apply([probe.deployment(NAMESPACE, name, image) for name in names])
    bed.kubectl.apply([probe.service(NAMESPACE, name) for name in names])
    for name in names:
        bed.kubectl.run("rollout", "status", f"--namespace={NAMESPACE}", f"deployment/{name}", "--timeout=60s")
    return bed


def reaches(bed: Testbed, source: str, target: str) -> bool:
    command = ("exec", f"--namespace={NAMESPACE}", f"deployment/{source}", "--", "/probe", "get", f"http://{target}/")
    try:
        return bed.kubectl.run(*command) != ""
    except TestbedError as error:
        if "Client.Timeout" not in str(error):
            raise
        return False


def test_only_the_gateway_reaches_the_engine_and_the_engine_reaches_nobody(pods: Testbed) -> None:
    assert reaches(pods, "stranger", "engine")
    assert reaches(pods, "engine", "stranger")
    gateway = {"podSelector": {"matchLabels": {"app": "gateway"}}}
    engine = {"matchLabels": {"app": "engine"}}
    rules = [{"from": [gateway], "ports": [{"port": 8080}]}]
    pods.kubectl.apply(
        [cluster_policy("engine", podSelector=engine, policyTypes=["Ingress", "Egress"], ingress=rules, egress=[])]
    )
    assert leftovers.wait_until(lambda: "ingress-" in pods.run("nft", "list", "table", "ip", "holdfast-policies"))

    assert reaches(pods, "gateway", "engine")
    assert not reaches(pods, "stranger", "engine")
    address = pods.kubectl.get("service", "stranger", f"--namespace={NAMESPACE}")["spec"]["clusterIP"]
    assert not reaches(pods, "engine", address)

    # A new pod of the engine is shut off as the old one was, and its readiness probe still passes.
    pods.kubectl.run("rollout", "restart", f"--namespace={NAMESPACE}", "deployment/engine")
    pods.kubectl.run("rollout", "status", f"--namespace={NAMESPACE}", "deployment/engine", "--timeout=60s")
    assert not reaches(pods, "stranger", "engine")
    assert reaches(pods, "gateway", "engine")

    pods.kubectl.run("delete", "networkpolicy", "engine", f"--namespace={NAMESPACE}")
    assert leftovers.wait_until(lambda: "ingress-" not in pods.run("nft", "list", "table", "ip", "holdfast-policies"))
    assert reaches(pods, "stranger", "engine")


def test_an_engine_that_may_not_leave_cannot_even_resolve_a_name(pods: Testbed) -> None:
    gateway = {"matchLabels": {"app": "gateway"}}
    pods.kubectl.apply([cluster_policy("gateway", podSelector=gateway, policyTypes=["Egress"], egress=[])])
    assert leftovers.wait_until(lambda: "egress-" in pods.run("nft", "list", "table", "ip", "holdfast-policies"))
    with pytest.raises(TestbedError, match=r"i/o timeout|deadline exceeded"):
        pods.kubectl.run("exec", f"--namespace={NAMESPACE}", "deployment/gateway", "--", "/probe", "resolve", "engine")
    pods.kubectl.run("delete", "networkpolicy", "gateway", f"--namespace={NAMESPACE}")
