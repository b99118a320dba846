"""The operator itself changes nothing: a restart writes nothing, an upgrade rolls nothing."""

import subprocess

import pytest

from e2e.operator_pod import Operator
from e2e.story import NAME, QUICK, no_failures, only, start_second
from stage.installation import NAMESPACE
from stage.team import Team
from stage.wait import until
from testbed import Testbed

KINDS = (
    "modeldeployments.holdfast.dev,modelrevisions.holdfast.dev,modelapprovals.holdfast.dev,"
    "deployments,services,configmaps,networkpolicies,poddisruptionbudgets,persistentvolumeclaims"
)
OTHERS = ("kube-controller-manager", "kubelet")


def contents(team: Team) -> dict[str, object]:
    """Return everything in the namespace that the operator writes, without what Kubernetes' own controllers say about it."""
    found: dict[str, object] = {}
    for each in team.admin.get(KINDS, "--show-managed-fields", "--namespace", team.namespace)["items"]:
        metadata = each["metadata"]
        if each["apiVersion"].startswith("holdfast.dev/"):
            told: object = metadata["resourceVersion"]
        else:
            told = [entry for entry in metadata.get("managedFields", []) if entry.get("manager") not in OTHERS]
        found[f"{each['kind']}/{metadata['name']}"] = (metadata["uid"], told)
    events = team.admin.get("events.events.k8s.io", "--namespace", team.namespace)["items"]
    return found | {e["metadata"]["name"]: e["metadata"]["uid"] for e in events if "holdfast" in e["reportingController"]}


def templates(team: Team) -> dict[str, object]:
    """Return the pod templates and the pods of the engines and the gateway, but for those that are on their way out."""
    found = team.admin.get("deployments", "--namespace", team.namespace)
    pods = team.admin.get("pods", "--namespace", team.namespace)
    return {d["metadata"]["name"]: d["spec"]["template"] for d in found["items"]} | {
        p["metadata"]["name"]: p["metadata"]["uid"] for p in pods["items"] if "deletionTimestamp" not in p["metadata"]
    }


def another_digest(operator: Operator) -> str:
    """Push the operator's image once more with another label: the same code under another digest."""
    image = operator.installation.images.holdfast
    target = f"{image.partition('@')[0]}:again"
    command = [str(operator.bed.programs.crane), "mutate", "--insecure", image, "--label", "again=true", "--tag", target]
    subprocess.run(command, check=True, capture_output=True)
    digest = subprocess.run(
        [str(operator.bed.programs.crane), "digest", "--insecure", target], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert digest not in image
    return f"{image.partition('@')[0]}@{digest}"


@pytest.fixture(scope="module")
def at_rest(serving_team: Team, commits: tuple[str, str], engine: str) -> Team:
    """Two revisions where nothing is left to do."""
    team = serving_team
    start_second(team, commits[1], engine, rollout=QUICK, serving={"drainSeconds": 0})
    team.wait_phase(NAME, "AwaitingPromotion")
    team.must("approve", NAME, "--yes", "--reason", "better")
    team.wait_phase(NAME, "Stable")
    until(lambda: looked_upstream(team, commits[1]), what="the first look at what is published upstream")
    return team


@pytest.fixture
def alone(bed: Testbed, at_rest: Team) -> Team:
    """No other team is there, nor on its way out: whatever the operator does, it does for this one."""

    def others() -> list[str]:
        names = [each["metadata"]["name"] for each in bed.kubectl.get("namespaces")["items"]]
        return [name for name in names if name.startswith("team-") and name != at_rest.namespace]

    for name in others():
        # The namespace's controller looks again after half of the grace that its pods had at first, or when the namespace changes.
        bed.kubectl.run("delete", "pods", "--all", "--namespace", name, "--grace-period=1", "--timeout=60s")
        bed.kubectl.try_run("annotate", "namespace", name, "looked-at=again", "--overwrite")  # unless it went just now
    until(lambda: not others(), what="the end of the namespaces of other teams")
    return at_rest


def looked_upstream(team: Team, commit: str) -> bool:
    """Whether the status tells what is published where this commit is from."""
    sources = team.status(NAME).get("upstream", {}).get("sources", [])
    return any(source["commit"] == commit for source in sources)


def test_a_restart_with_everything_in_place_writes_nothing(alone: Team, operator: Operator) -> None:
    """A namespace that ends still has the operator tidy up in it, so there is none."""
    team = alone
    operator.wait_idle()
    before = contents(team)
    operator.kill()
    operator.wait_ready()
    assert operator.wait_idle() == {}
    assert contents(team) == before


def test_an_upgrade_changes_no_pod_template(at_rest: Team, operator: Operator) -> None:
    team = at_rest
    operator.wait_idle()
    before = templates(team)
    old = set(operator.pods())
    with team.traffic(NAME) as traffic:
        operator.installation.install(operator_image=another_digest(operator))
        try:
            until(lambda: not old & set(operator.pods()), what="another operator pod")
            operator.wait_ready()
            operator.wait_idle()
            assert templates(team) == before
            only(traffic, "2")
        finally:
            operator.installation.install()
            operator.wait_ready()
    no_failures(traffic)
    assert templates(team) == before


def test_the_operator_runs_restricted_and_answers_its_probe(operator: Operator) -> None:
    for name in operator.pods():
        pod = operator.bed.kubectl.get("pod", name, "--namespace", NAMESPACE)
        security = pod["spec"]["containers"][0]["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
