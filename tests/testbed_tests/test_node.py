"""The node runs real pods, and they see what pods of a real cluster see, and nothing else."""

import http.server
import threading
import urllib.request
from collections.abc import Iterator

import pytest

from testbed import Testbed, TestbedError
from testbed_tests import leftovers, probe

NAMESPACE = "node"


@pytest.fixture(scope="module")
def web(bed: Testbed, image: str) -> Testbed:
    bed.kubectl.apply([probe.namespace(NAMESPACE)])
    bed.kubectl.apply([probe.deployment(NAMESPACE, "web", image, replicas=2), probe.service(NAMESPACE, "web")])
    bed.kubectl.run("rollout", "status", "--namespace", NAMESPACE, "deployment/web", "--timeout=60s")
    return bed


def in_pod(bed: Testbed, *arguments: str) -> str:
    return bed.kubectl.run("exec", "--namespace", NAMESPACE, "deployment/web", "--", "/probe", *arguments)


def pod_names(bed: Testbed) -> set[str]:
    return {item["metadata"]["name"] for item in bed.kubectl.get("pods", "--namespace", NAMESPACE)["items"]}


def test_a_restricted_pod_of_an_image_by_digest_becomes_ready(web: Testbed, image: str) -> None:
    assert "@sha256:" in image
    pods = web.kubectl.get("pods", "--namespace", NAMESPACE)["items"]
    assert [pod["status"]["containerStatuses"][0]["ready"] for pod in pods] == [True, True]


def test_a_service_answers_pods_by_its_name(web: Testbed) -> None:
    # A Service spreads connections at random: some of them reach the pod that asks.
    answers = {in_pod(web, "get", f"http://web.{NAMESPACE}.svc.cluster.local/").strip() for _ in range(12)}
    assert answers == pod_names(web)


def test_a_service_answers_the_host_by_its_address(web: Testbed) -> None:
    address = web.kubectl.get("service", "web", "--namespace", NAMESPACE)["spec"]["clusterIP"]
    with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
        assert answer.read().decode().strip() in pod_names(web)


def test_a_pod_answers_the_host_by_its_address(web: Testbed) -> None:
    pod = web.kubectl.get("pods", "--namespace", NAMESPACE)["items"][0]
    with urllib.request.urlopen(f"http://{pod['status']['podIP']}:8080/", timeout=5) as answer:
        assert answer.read().decode().strip() == pod["metadata"]["name"]


def test_logs_come_from_the_container(web: Testbed) -> None:
    pod = web.kubectl.get("pods", "--namespace", NAMESPACE)["items"][0]
    with urllib.request.urlopen(f"http://{pod['status']['podIP']}:8080/said/for/the/log", timeout=5):
        pass
    arguments = ("logs", "--namespace", NAMESPACE, pod["metadata"]["name"])
    assert leftovers.wait_until(lambda: "GET /said/for/the/log" in web.kubectl.run(*arguments), within=5)


@pytest.fixture
def host_server(bed: Testbed) -> Iterator[str]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"from the host")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer((bed.host_address, 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{bed.host_address}:{server.server_port}/"
        server.shutdown()


def test_a_pod_reaches_a_program_of_the_host(web: Testbed, host_server: str) -> None:
    assert in_pod(web, "get", host_server) == "from the host"


def test_a_pod_reaches_nothing_beyond_the_machine(web: Testbed) -> None:
    # An address for documentation (RFC 5737), and a name that no cluster has.
    with pytest.raises(TestbedError, match="network is unreachable"):
        in_pod(web, "get", "http://203.0.113.1/")
    with pytest.raises(TestbedError, match="no such host"):
        in_pod(web, "resolve", "example.com")


def test_pod_security_is_enforced(web: Testbed, image: str) -> None:
    spec = probe.pod_spec(image, ["serve", ":8080"])
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root", "namespace": NAMESPACE}, "spec": spec}
    spec["securityContext"] = {}
    with pytest.raises(TestbedError, match="violates PodSecurity"):
        web.kubectl.create([pod])


def test_the_host_keeps_its_own_settings_and_rules(web: Testbed) -> None:
    # kube-proxy has its table in the bed's namespace, and none of it is on the host.
    inside = web.run("nft", "list", "tables")
    assert "kube-proxy" in inside
    assert "kube-proxy" not in leftovers.packet_filter()
    settings = "sysctl", "--values", "kernel.panic_on_oops", "vm.overcommit_memory"
    assert web.run(*settings).split() == ["1", "1"]
    assert web.run("findmnt", "--noheadings", "--output", "TARGET", "/run").strip() == "/run"


def test_everything_listens_on_the_loopback_or_the_node_address_only(web: Testbed) -> None:
    lines = web.run("ss", "--listening", "--tcp", "--udp", "--numeric", "--no-header").splitlines()
    addresses = {line.split()[4].rsplit(":", 1)[0].split("%")[0] for line in lines}
    assert web.node_address in addresses
    assert addresses <= {web.node_address, "127.0.0.1"}


def test_advertised_gpus_are_scheduled_like_real_ones(web: Testbed, image: str) -> None:
    web.advertise_gpus(2, product="NVIDIA-H100-80GB-HBM3")
    pods = []
    for number in range(3):
        spec = probe.pod_spec(image, ["serve", ":8080"])
        spec["nodeSelector"] = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
        containers = spec["containers"]
        assert isinstance(containers, list)
        containers[0]["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
        metadata = {"name": f"gpu-{number}", "namespace": NAMESPACE, "labels": {"app": "gpu"}}
        pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    web.kubectl.create(pods)
    phases = ("pods", "--namespace", NAMESPACE, "--selector=app=gpu")

    def settled() -> bool:
        return sorted(pod["status"]["phase"] for pod in web.kubectl.get(*phases)["items"]) == [
            "Pending",
            "Running",
            "Running",
        ]

    assert leftovers.wait_until(settled)
    waiting = next(pod for pod in web.kubectl.get(*phases)["items"] if pod["status"]["phase"] == "Pending")
    assert "Insufficient nvidia.com/gpu" in waiting["status"]["conditions"][0]["message"]
    web.kubectl.run("delete", *phases, "--grace-period=0", "--force")
