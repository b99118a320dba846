"""The command line with real people, real guards and a real API server; the tests answer decisions in the operator's name."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import builders
from apiserver.rest import Rest
from apiserver.world import World, bind_role, eventually
from holdfast.api.model import Model

NAMESPACE = "cli"
NAME = builders.NAME
BIN = Path(sys.executable).parent
BASE = f"/apis/holdfast.dev/v1alpha1/namespaces/{NAMESPACE}"

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace with one proposed revision, and the people who come near it."""

    world: World
    digest: str

    def command(self, person: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
        kubeconfig = self.world.bed.user(person)
        program = [str(BIN / "holdfast"), *arguments, "-n", NAMESPACE]
        return program, {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": f"{BIN}:{os.environ['PATH']}"}

    def run(self, person: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command, environ = self.command(person, *arguments)
        return subprocess.run(
            command, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False
        )

    @contextlib.contextmanager
    def running(self, person: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command and leave it running for the block."""
        command, environ = self.command(person, *arguments)
        with subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def approvals(self) -> list[Manifest]:
        items: list[Manifest] = self.world.root.get(f"{BASE}/modelapprovals").must()["items"]
        return items

    def open_decision(self) -> Manifest | None:
        return next((item for item in self.approvals() if "status" not in item), None)

    def settle(self, status: Manifest) -> Manifest:
        """Answer the next decision as the operator, and return it."""
        found = eventually(self.open_decision, "a decision")
        path = f"{BASE}/modelapprovals/{found['metadata']['name']}/status"
        self.world.operator.put(path, {**found, "status": status}).must()
        return found

    def set_status(self, status: Manifest) -> None:
        _set_status(self.world.operator, status)


def _set_status(operator: Rest, status: Manifest) -> None:
    path = f"{BASE}/modeldeployments/{NAME}"
    operator.put(f"{path}/status", {**operator.get(path).must(), "status": status}).must()


@pytest.fixture(scope="module")
def place(world: World) -> Place:
    root, operator = world.root, world.operator
    root.post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}).must()
    for person, role in {"olga": "holdfast-owner", "otto": "holdfast-oncall", "vera": "view", "edda": "edit"}.items():
        bind_role(root, NAMESPACE, role, {"kind": "User", "name": person})
    bind_role(root, NAMESPACE, "holdfast-owner", {"kind": "User", "name": f"system:serviceaccount:{NAMESPACE}:robot"})
    declared = Model.parse(builders.model("a"))
    deployment = {
        "apiVersion": "holdfast.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": NAME},
        "spec": builders.spec("a").wire(),
    }
    root.post(f"{BASE}/modeldeployments", deployment).must()
    spec = builders.revision_spec(declared, 1)
    revision = {
        "apiVersion": "holdfast.dev/v1alpha1",
        "kind": "ModelRevision",
        "metadata": {"name": f"{NAME}-1", "labels": {"holdfast.dev/deployment": NAME}},
        "spec": spec.wire(),
    }
    operator.post(f"{BASE}/modelrevisions", revision).must()
    with contextlib.closing(Rest.of(world.bed.user("vera"))) as vera:
        eventually(lambda: vera.get(f"{BASE}/modeldeployments").ok or None, "roles in force")
    return Place(world, spec.digest)


@pytest.fixture(autouse=True)
def proposed(place: Place) -> Iterator[Place]:
    """The first revision waits for its start, and no decision was taken."""
    request = {"number": 1, "digest": place.digest, "revision": 1, "state": "Open"}
    place.set_status({"observedGeneration": 1, "phase": "AwaitingApproval", "message": "it waits", "request": request})
    yield place
    for item in place.approvals():
        place.world.root.delete(f"{BASE}/modelapprovals/{item['metadata']['name']}").must()


def test_an_owner_approves_in_her_own_name(place: Place) -> None:
    with place.running("olga", "approve", NAME, "--yes", "--reason", "eval report 118") as process:
        made = place.settle({"state": "Accepted"})
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert made["metadata"]["name"].startswith(f"{NAME}-1-start-")
    assert made["spec"] == {
        "decision": "Approve",
        "gate": "Start",
        "target": {"name": NAME, "digest": place.digest, "request": 1},
        "approver": {"username": "olga"},
        "reason": "eval report 118",
    }
    assert f"accepted: {made['metadata']['name']}\n" in out


def test_the_sample_role_for_one_model_is_all_that_its_owner_needs(place: Place) -> None:
    samples = Path(__file__).parents[2] / "manifests/samples/people.yaml"
    *_, role, binding = yaml.safe_load_all(samples.read_text())
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
    place.world.root.post(f"{rbac}/roles", role).must()
    place.world.root.post(f"{rbac}/rolebindings", binding).must()
    (person,) = (subject["name"] for subject in binding["subjects"])
    eventually(lambda: place.run(person, "diff", NAME).returncode == 0 or None, "the role in force")
    with place.running(person, "approve", NAME, "--yes") as process:
        place.settle({"state": "Accepted"})
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert place.run(person, "status", NAME).returncode == 0


def test_the_operators_refusal_reaches_the_owner(place: Place) -> None:
    with place.running("olga", "reject", NAME, "--yes") as process:
        place.settle({"state": "Refused", "reason": "OtherRequest", "message": "it is about request 1; the request is now 2"})
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.endswith("error: refused (OtherRequest): it is about request 1; the request is now 2\n")


@pytest.mark.parametrize(
    ("person", "command", "words"),
    [
        ("otto", "approve", "otto may not Approve support-chat: that needs the verb approve"),
        ("otto", "reject", "otto may not Reject support-chat: that needs the verb approve"),
        ("vera", "fallback", 'User "vera" cannot create resource "modelapprovals"'),
        ("edda", "approve", 'User "edda" cannot create resource "modelapprovals"'),
        (f"system:serviceaccount:{NAMESPACE}:robot", "approve", "a service account cannot decide, whatever its role"),
    ],
)
def test_who_may_not_decide_reads_why_in_one_sentence(place: Place, person: str, command: str, words: str) -> None:
    result = place.run(person, command, NAME, "--yes")
    assert result.returncode == 5
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: not allowed: ")
    assert words in last
    assert "ValidatingAdmissionPolicy" not in last
    assert place.approvals() == []


def test_on_call_falls_back(place: Place) -> None:
    with place.running("otto", "fallback", NAME, "--yes", "--to", "external/other") as process:
        made = place.settle({"state": "Accepted"})
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert made["spec"]["target"] == {"name": NAME}
    assert made["spec"]["fallbackTo"] == {"type": "External", "external": "other"}


def test_a_fallback_is_awaited_until_every_gateway_pod_has_it(place: Place) -> None:
    with place.running("otto", "fallback", NAME, "--yes", "--wait") as process:
        made = place.settle({"state": "Accepted"})
        fallback = {
            "type": "LastKnownGood",
            "revision": 1,
            "since": "2026-11-21T12:00:00Z",
            "by": "otto",
            "reason": "",
            "approval": made["metadata"]["name"],
        }
        place.set_status({"observedGeneration": 1, "phase": "Fallback", "fallback": {**fallback, "observed": False}})
        place.set_status({"observedGeneration": 1, "phase": "Fallback", "fallback": {**fallback, "observed": True}})
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "every gateway pod sends all traffic to revision 1, " in out


def test_resume_of_a_deployment_without_a_request_is_accepted_by_the_kind(place: Place) -> None:
    stable = {"revision": 1, "digest": place.digest}
    fallback = {
        "type": "External",
        "external": "other",
        "since": "2026-11-21T12:00:00Z",
        "by": "otto",
        "reason": "",
        "approval": "x",
        "observed": True,
    }
    place.set_status({"observedGeneration": 1, "phase": "Fallback", "stable": stable, "fallback": fallback})
    result = place.run("olga", "resume", NAME, "--yes", "--no-wait")
    assert result.returncode == 0, result.stderr


def test_an_operator_that_is_down_is_told_and_the_decision_stays(place: Place) -> None:
    result = place.run("olga", "approve", NAME, "--yes", "--timeout", "1")
    assert result.returncode == 4
    assert "the operator did not answer" in result.stderr
    assert len(place.approvals()) == 1


def test_watch_prints_each_change_and_ends_with_the_object(place: Place) -> None:
    with place.running("vera", "status", NAME, "--watch", "-o", "json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["status"]["phase"] == "AwaitingApproval"
        place.set_status({"observedGeneration": 1, "phase": "Preparing"})
        assert json.loads(process.stdout.readline())["status"]["phase"] == "Preparing"


def test_a_viewer_reads_everything(place: Place) -> None:
    for command in ("status", "diff", "history"):
        result = place.run("vera", command, NAME)
        assert result.returncode == 0, result.stderr
    assert json.loads(place.run("vera", "status", "-o", "json").stdout)[0]["name"] == NAME


def test_a_stranger_reads_why_not(place: Place) -> None:
    result = place.run("stranger", "status")
    assert result.returncode == 5
    assert result.stderr.startswith('error: not allowed: User "stranger" cannot list resource "modeldeployments"')


def test_a_deployment_that_does_not_exist_is_not_found(place: Place) -> None:
    result = place.run("olga", "approve", "other", "--yes")
    assert (result.returncode, result.stderr) == (
        3,
        f"error: there is no ModelDeployment 'other' in the namespace '{NAMESPACE}'\n",
    )


def test_a_server_without_the_kinds_answers_as_the_unit_tests_assume(world: World) -> None:
    answer = world.root.get("/apis/holdfast.example/v1alpha1/namespaces/default/modeldeployments")
    assert (answer.status, answer.message) == (404, "404 page not found\n")


def test_a_namespace_that_is_going_or_not_there_is_said(place: Place) -> None:
    environ = {**os.environ, "KUBECONFIG": str(place.world.bed.kubeconfig)}
    result = subprocess.run(
        [str(BIN / "holdfast"), "status", "-n", "nowhere"], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (0, "no ModelDeployment in the namespace 'nowhere'\n")


def test_a_token_that_the_server_does_not_know_is_said(place: Place, tmp_path: Path) -> None:
    config = yaml.safe_load(place.world.bed.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "made-up"}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    result = place.run("olga", "status", "--kubeconfig", str(path))
    assert result.returncode == 5
    assert "does not accept the credentials in kubeconfig: Unauthorized; log in again" in result.stderr


def test_a_certificate_of_another_authority_is_said(place: Place, tmp_path: Path) -> None:
    config = yaml.safe_load(place.world.bed.kubeconfig.read_text())
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    result = place.run("olga", "status", "--kubeconfig", str(path))
    assert result.returncode == 6
    assert "its certificate is not trusted" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_kubectl_finds_the_plugin(place: Place) -> None:
    environ = {**os.environ, "PATH": f"{BIN}:/usr/bin:/bin", "KUBECONFIG": str(place.world.bed.user("vera"))}
    kubectl = str(place.world.bed.programs.kubectl)
    result = subprocess.run(
        [kubectl, "holdfast", "status", "-n", NAMESPACE], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert NAME in result.stdout
