"""``holdfast verify`` on a real node: from the decision to the bytes, and what it says when one of them is another."""

from pathlib import Path

import pytest

from e2e.node import flip, volume
from e2e.operator_pod import Operator
from e2e.story import NAME, back_to_first
from stage.team import Team
from stage.wait import until
from testbed import Testbed


def bytes_of(bed: Testbed, team: Team) -> Path:
    """The model's file in the only pod, on the node's disk."""
    (pod,) = team.ready_pods(NAME)
    return next(volume(bed, pod, "weights").glob("sha256-*/tiny.gguf"))


@pytest.fixture
def team(serving_team: Team, commits: tuple[str, str], engine: str) -> Team:
    if not serving_team.ready_pods(NAME):  # a test before left its evidence
        engines = ("--selector", "holdfast.dev/component=engine", "--namespace", serving_team.namespace)
        serving_team.admin.run("delete", "pods", *engines)
        serving_team.wait_ready(NAME, 1)
    back_to_first(serving_team, commits[0], engine)
    return serving_team


def test_a_stopped_operator_is_said(team: Team, operator: Operator) -> None:
    with operator.stopped():
        found = team.say("verify", NAME, "--timeout", "5")
        assert found.code == 4, found.output
        assert "the operator did not hand the question on" in found.stderr
        assert team.say("verify", NAME, "--no-bytes").code == 0


def test_it_passes_from_the_decision_to_the_bytes_and_names_the_byte_that_changed(bed: Testbed, team: Team) -> None:
    before = team.admin.get("deployment", f"{NAME}-1", "--namespace", team.namespace)
    found = team.must("verify", NAME)
    lines = found.stdout.splitlines()
    assert [line.split()[0] for line in lines[:1]] == ["identity"]
    for check in ("objects", "pods", "engine", "bytes"):
        assert any(line.startswith(check) for line in lines), found.output
    assert "verified 1 files" in next(line for line in lines if line.startswith("bytes"))
    assert lines[-1] == f"verified: what runs of {NAME} is what was approved"
    assert "holdfast.dev/verify" not in team.get(NAME)["metadata"].get("annotations", {})

    flip(bytes_of(bed, team), offset=-1)
    wrong = team.say("verify", NAME)
    assert wrong.code == 1, wrong.output
    assert "bytes: Pod" in wrong.stderr
    assert "tiny.gguf" in wrong.stderr
    until(lambda: team.ready_pods(NAME) == [], what="the end of the pod's readiness")
    told = until(
        lambda: c if (c := team.condition(NAME, "Pinned")).get("reason") == "WeightsMismatch" else None,
        what="the condition Pinned with the reason WeightsMismatch",
    )
    assert "tiny.gguf" in told["message"]
    after = team.admin.get("deployment", f"{NAME}-1", "--namespace", team.namespace)
    assert after["metadata"]["generation"] == before["metadata"]["generation"], "a template was changed"
    assert len(team.pods(NAME)) == 1, "the pod is the evidence"
