"""The control plane: users, admission, fake nodes, Prometheus."""

import json
import os
import signal
import urllib.request

import pytest

from testbed import Testbed, TestbedError
from testbed.kubectl import Kubectl
from testbed_tests import leftovers


def as_user(bed: Testbed, name: str, *groups: str) -> Kubectl:
    return Kubectl(bed.programs.kubectl, bed.user(name, groups=groups))


def test_a_user_is_who_the_certificate_says(control_plane: Testbed) -> None:
    review = json.loads(as_user(control_plane, "alice", "team-a", "team-b").run("auth", "whoami", "--output=json"))
    who = review["status"]["userInfo"]
    assert who["username"] == "alice"
    assert who["groups"] == ["team-a", "team-b", "system:authenticated"]


def test_a_user_may_do_nothing_until_something_is_granted(control_plane: Testbed) -> None:
    bob = as_user(control_plane, "bob", "readers")
    with pytest.raises(TestbedError, match='User "bob" cannot list resource "configmaps"'):
        bob.run("get", "configmaps")
    control_plane.kubectl.run("create", "rolebinding", "readers", "--clusterrole=view", "--group=readers")
    bob.run("get", "configmaps")


def test_a_kubeconfig_can_be_read_by_its_owner_only(control_plane: Testbed) -> None:
    for path in (control_plane.kubeconfig, control_plane.user("carol")):
        assert path.stat().st_mode & 0o077 == 0
    assert control_plane.directory.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kind", ["validatingadmissionpolicies", "mutatingadmissionpolicies"])
def test_admission_policies_are_served(control_plane: Testbed, kind: str) -> None:
    assert control_plane.kubectl.get(f"{kind}.v1.admissionregistration.k8s.io")["items"] == []


def test_controllers_act_in_their_own_names(control_plane: Testbed) -> None:
    accounts = control_plane.kubectl.get("serviceaccounts", "--namespace=kube-system")["items"]
    assert "replicaset-controller" in {account["metadata"]["name"] for account in accounts}


def test_pods_run_on_nodes_that_only_pretend(control_plane: Testbed) -> None:
    spec = {
        "nodeSelector": {"type": "kwok"},
        "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
        "containers": [{"name": "any", "image": "none"}],
    }
    labels = {"app": "fake"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "fake", "namespace": "default"},
        "spec": {"replicas": 9, "selector": {"matchLabels": labels}, "template": template},
    }
    control_plane.kubectl.apply([deployment])
    control_plane.kubectl.run("rollout", "status", "deployment/fake", "--timeout=60s")
    pods = control_plane.kubectl.get("pods", "--selector=app=fake")["items"]
    assert {pod["spec"]["nodeName"] for pod in pods} == {"kwok-0", "kwok-1", "kwok-2"}


def test_prometheus_scrapes_what_it_is_told(control_plane: Testbed) -> None:
    url = control_plane.prometheus(scrape=[{"job_name": "itself", "static_configs": [{"targets": ["localhost:1"]}]}])

    def target_seen() -> bool:
        with urllib.request.urlopen(f"{url}/api/v1/query?query=up", timeout=5) as answer:  # noqa: S310
            series = json.load(answer)["data"]["result"]
        return [entry["metric"]["job"] for entry in series] == ["itself"]

    assert leftovers.wait_until(target_seen)
    assert control_plane.prometheus() == url


def test_a_program_that_dies_is_started_again(control_plane: Testbed) -> None:
    def scheduler_restarts() -> int:
        return next(entry.restarts for entry in control_plane.status() if entry.name == "kube-scheduler")

    pid = next(entry.pid for entry in control_plane.status() if entry.name == "kube-scheduler")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert leftovers.wait_until(lambda: scheduler_restarts() == 1)


def test_a_program_can_be_stopped_and_resumed(control_plane: Testbed) -> None:
    control_plane.control.stop("kube-apiserver", number=signal.SIGKILL)
    assert not control_plane.kubectl.try_run("get", "--raw", "/readyz")
    control_plane.control.resume("kube-apiserver")
    assert leftovers.wait_until(lambda: control_plane.kubectl.try_run("get", "--raw", "/readyz"))
