"""``holdfast verify`` on a real node: from the decision to the bytes, and what it says when one of them is another."""

from pathlib import Path

from e2e.operator_pod import Operator
from e2e.story import NAME, serve_first
from stage.team import Team
from stage.wait import until
from testbed import Testbed


def bytes_of(bed: Testbed, team: Team) -> Path:
    """The model's file in the only pod, on the node's disk."""
    (pod,) = team.ready_pods(NAME)
    volumes = bed.directory / "kubelet" / "pods" / pod["metadata"]["uid"] / "volumes" / "kubernetes.io~empty-dir"
    found: Path = next(volumes.glob("weights/sha256-*/tiny.gguf"))
    return found


def test_it_passes_from_the_decision_to_the_bytes_and_names_the_byte_that_changed(
    bed: Testbed, team: Team, commits: tuple[str, str], engine: str
) -> None:
    serve_first(team, commits[0], engine)
    before = team.admin.get("deployment", f"{NAME}-1", "--namespace", team.namespace)
    found = team.must("verify", NAME)
    lines = found.stdout.splitlines()
    assert [line.split()[0] for line in lines[:1]] == ["identity"]
    for check in ("objects", "pods", "engine", "bytes"):
        assert any(line.startswith(check) for line in lines), found.output
    assert "verified 1 files" in next(line for line in lines if line.startswith("bytes"))
    assert lines[-1] == f"verified: what runs of {NAME} is what was approved"
    assert "holdfast.dev/verify" not in team.get(NAME)["metadata"].get("annotations", {})

    path = bytes_of(bed, team)
    with path.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
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


def test_a_stopped_operator_is_said(team: Team, commits: tuple[str, str], engine: str, operator: Operator) -> None:
    serve_first(team, commits[0], engine)
    with operator.stopped():
        found = team.say("verify", NAME, "--timeout", "5")
        assert found.code == 4, found.output
        assert "the operator did not hand the question on" in found.stderr
        assert team.say("verify", NAME, "--no-bytes").code == 0
