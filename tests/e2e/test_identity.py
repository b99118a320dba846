"""A pod that is not what was approved loses its traffic, is named with what is wrong, and is left as it is."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.node import flip, kill, volume
from e2e.story import NAME, ROLLOUT, no_failures, reach
from e2e.test_bytes import EXPECTED, hashes
from stage.team import Team, Wire
from stage.traffic import ask_once
from stage.wait import until
from testbed import Testbed, images
from testbed.hub import Demo, HubServer

CHANGER = "changes-engines"
_SET_FAULT = """
import json, sys, urllib.request
urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8999/fake/faults", sys.argv[1].encode(), method="POST"))
"""


@pytest.fixture
def changer(bed: Testbed, team: Team) -> Iterator[None]:
    """An admission policy that adds a variable to every engine in the team's namespace, as a careless platform does."""
    api = "admissionregistration.k8s.io/v1"
    expression = (
        'Object{spec: Object.spec{containers: [Object.spec.containers{name: "engine",'
        ' env: [Object.spec.containers.env{name: "INJECTED", value: "1"}]}]}}'
    )
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    space = {"matchLabels": {"kubernetes.io/metadata.name": team.namespace}}
    spec = {
        "matchConstraints": {"namespaceSelector": space, "resourceRules": [rule]},
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
    }
    metadata = {"name": CHANGER}
    bed.kubectl.apply([{"apiVersion": api, "kind": "MutatingAdmissionPolicy", "metadata": metadata, "spec": spec}])
    binding = {"apiVersion": api, "kind": "MutatingAdmissionPolicyBinding", "metadata": metadata, "spec": {"policyName": CHANGER}}
    bed.kubectl.apply([binding])
    yield
    for kind in ("mutatingadmissionpolicybinding", "mutatingadmissionpolicy"):
        bed.kubectl.run("delete", kind, CHANGER, "--ignore-not-found")


def names(pods: list[Wire]) -> set[str]:
    return {pod["metadata"]["name"] for pod in pods}


def not_pinned(team: Team, reason: str) -> Wire:
    def look() -> Wire | None:
        found = team.condition(NAME, "Pinned")
        return found if (found.get("status"), found.get("reason")) == ("False", reason) else None

    return until(look, what=f"Pinned with the reason {reason}")


def pinned(team: Team) -> None:
    until(lambda: team.condition(NAME, "Pinned").get("status") == "True", what="Pinned")


def events(team: Team, reason: str) -> list[Any]:
    found = team.admin.get("events.events.k8s.io", "--namespace", team.namespace)["items"]
    return [event for event in found if event["reason"] == reason]


def test_an_engine_that_says_that_it_is_another_gets_no_further_request(bed: Testbed, team: Team, demo: Demo) -> None:
    image = images.ensure(bed, "fake-engine")
    model = {
        "source": {"huggingFace": {"repository": "holdfast/tiny-chat", "commit": demo.chat[0]}},
        "engine": {"type": "VLLM", "image": image, "options": {"contextLength": 512}},
    }
    outcome = team.apply(team.manifest(NAME, model, rollout=ROLLOUT, serving={"replicas": 2}))
    assert outcome.code == 0, outcome.output
    team.wait_phase(NAME, "AwaitingApproval")
    team.must("approve", NAME, "--yes", "--reason", "first")
    team.wait_phase(NAME, "Stable")
    until(lambda: len(team.ready_pods(NAME)) == 2, what="two ready pods")
    with team.traffic(NAME) as traffic:
        changed = min(names(team.pods(NAME)))
        fault = json.dumps({"version": "9.9.9"})
        team.admin.run(
            *("exec", "--namespace", team.namespace, changed, "--container=engine", "--", "python3", "-c", _SET_FAULT, fault)
        )
        until(lambda: changed not in names(team.ready_pods(NAME)), what="the end of the pod's readiness")
        told = not_pinned(team, "EngineMismatch")
        assert changed in told["message"]
        assert "9.9.9" in told["message"]
        traffic.after_now(50)
    no_failures(traffic)
    assert changed in names(team.pods(NAME)), "the pod is the evidence"
    until(lambda: events(team, "EngineMismatch"), what="the Event, which follows the status")
    team.admin.run("delete", "pod", changed, "--namespace", team.namespace, "--wait=false")
    pinned(team)


def test_a_pod_that_an_admission_policy_changed_never_gets_a_request(
    team: Team, commits: tuple[str, str], engine: str, changer: None
) -> None:
    manifest = team.manifest(NAME, team.model(commit=commits[0], image=engine), rollout=ROLLOUT)
    assert team.apply(manifest).code == 0
    team.wait_phase(NAME, "AwaitingApproval")
    team.must("approve", NAME, "--yes", "--reason", "first")
    told = not_pinned(team, "PodDrifted")
    (pod,) = team.pods(NAME)
    assert pod["metadata"]["name"] in told["message"]
    assert "spec.containers[engine].env is not what was rendered" in told["message"]
    assert pod["metadata"]["annotations"]["holdfast.dev/quarantine"].startswith("PodDrifted: ")
    until(lambda: events(team, "PodDrifted"), what="the Event, which follows the status")


def test_an_approved_pod_is_left_alone_drafts_and_starts_again_with_the_right_bytes_only(
    bed: Testbed, team: Team, hub: HubServer, commits: tuple[str, str], engine: str
) -> None:
    model = team.model(commit=commits[0], image=engine)
    model["draftModel"] = {"source": model["source"], "tokens": 4}
    assert team.apply(team.manifest(NAME, model, rollout=ROLLOUT)).code == 0
    team.wait_phase(NAME, "AwaitingApproval")
    team.must("approve", NAME, "--yes", "--reason", "first")
    team.wait_phase(NAME, "Stable")
    pinned(team)
    with team.url(NAME) as url:
        code, _, body = ask_once(url, host=team.host(NAME), model=NAME)
    assert code == 200, body
    assert json.loads(body)["timings"]["draft_n"] > 0
    (pod,) = team.ready_pods(NAME)
    assert "holdfast.dev/quarantine" not in pod["metadata"].get("annotations", {})
    assert container(pod, "identity")["restartCount"] == 0
    assert "holdfast.dev/fetching" not in pod["metadata"]["labels"]
    assert reach(team, pod, "engine", hub.url) == "TimeoutError"
    # The node crashes, and a byte on its disk is another one when it is back. What was shut in has to be let out to fetch it anew.
    flip(next(volume(bed, pod, "weights").glob("sha256-*/tiny.gguf")), offset=1000)
    kill(pod)

    def back() -> Wire | None:
        found = [each for each in team.ready_pods(NAME) if each["metadata"]["uid"] == pod["metadata"]["uid"]]
        return found[0] if found and container(found[0], "weights")["state"] != container(pod, "weights")["state"] else None

    again = until(back, what="the same pod, ready again")
    said = container(again, "weights")["state"]["terminated"]["message"]
    assert "tiny.gguf" in said, said
    assert hashes(team) == {EXPECTED[0]}
    assert "holdfast.dev/fetching" not in again["metadata"]["labels"]
    assert reach(team, again, "engine", hub.url) == "TimeoutError"
    pinned(team)


def container(pod: Wire, name: str) -> Wire:
    """Return the status of a container that starts before the engine."""
    found: Wire = next(each for each in pod["status"]["initContainerStatuses"] if each["name"] == name)
    return found
