"""Steps of the story that several end-to-end tests walk through."""

from stage.team import Team
from stage.traffic import Traffic
from stage.wait import until

NAME = "support-chat"
ROLLOUT = {"steps": [{"weight": 10, "holdSeconds": 3}, {"weight": 50, "holdSeconds": 3}]}


def declare(team: Team, commit: str, image: str, **spec: object) -> None:
    """Declare the tiny model at a commit."""
    manifest = team.manifest(NAME, team.model(commit=commit, image=image), **({"rollout": ROLLOUT} | spec))
    outcome = team.apply(manifest)
    assert outcome.code == 0, outcome.output


def serve_first(team: Team, commit: str, image: str, **spec: object) -> None:
    """Bring the first revision to serve."""
    declare(team, commit, image, **spec)
    team.wait_phase(NAME, "AwaitingApproval")
    team.must("approve", NAME, "--yes", "--reason", "first")
    team.wait_phase(NAME, "Stable")


def start_second(team: Team, commit: str, image: str, **spec: object) -> None:
    """Propose another commit and approve its start."""
    declare(team, commit, image, **spec)
    team.wait_request(NAME, above=1)
    team.must("approve", NAME, "--yes", "--reason", "second")


def only(traffic: Traffic, revision: str) -> None:
    """All further answers come from one revision."""
    assert set(traffic.counts(traffic.wait(100)).by_revision) == {revision}


def gone(team: Team, revision: int) -> None:
    """The pods of a revision go, once no gateway pod can send them anything."""
    until(lambda: not team.pods(NAME, revision), what=f"the end of the pods of revision {revision}")


def no_failures(traffic: Traffic) -> None:
    """Not one request failed so far, and there were some."""
    counts = traffic.counts()
    assert counts.sent > 0
    assert counts.failed == 0, f"{counts.failed} of {counts.sent} failed: {counts.failures}"
