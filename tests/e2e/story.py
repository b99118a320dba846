"""Steps of the story that several end-to-end tests walk through."""

from stage.team import Team, Wire
from stage.traffic import Traffic
from stage.wait import until

NAME = "support-chat"
ROLLOUT = {"steps": [{"weight": 10, "holdSeconds": 2}, {"weight": 50, "holdSeconds": 2}]}
QUICK = {"steps": [{"weight": 50, "holdSeconds": 0}]}
"""For what needs a second revision and is not about how it came."""
HELD = {"steps": [{"weight": 50, "holdSeconds": 3600}]}
"""For what is done in the middle of a canary: it is still in the middle however slow the machine is."""


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


def back_to_first(team: Team, commit: str, image: str, **spec: object) -> None:
    """Bring a model back to where its first revision serves alone, whatever a test before did with it."""
    if team.phase(NAME) == "Fallback":
        team.must("resume", NAME, "--yes", "--reason", "another test")
    declare(team, commit, image, **spec)
    team.wait_phase(NAME, "Stable")
    team.wait_served_by(NAME, "Serving")
    gone(team, 2)


def start_second(team: Team, commit: str, image: str, **spec: object) -> None:
    """Propose another commit and approve its start."""
    declare(team, commit, image, **spec)
    team.wait_request(NAME, above=1)
    team.must("approve", NAME, "--yes", "--reason", "second")


def fallen_back(team: Team) -> None:
    """A fallback is in force at every gateway pod."""
    team.wait_phase(NAME, "Fallback")
    team.wait_served_by(NAME, "FallbackActive")


def resumed(team: Team) -> None:
    """A fallback is over at every gateway pod."""
    team.wait_phase(NAME, "Stable")
    team.wait_served_by(NAME, "Serving")


def only(traffic: Traffic, revision: str) -> None:
    """All answers to requests that begin from now on come from one revision."""
    assert set(traffic.after_now(100).by_revision) == {revision}


def gone(team: Team, revision: int) -> None:
    """The pods of a revision go, once no gateway pod can send them anything."""
    until(lambda: not team.pods(NAME, revision), what=f"the end of the pods of revision {revision}")


def no_failures(traffic: Traffic) -> None:
    """Not one request failed so far, and there were some."""
    counts = traffic.counts()
    assert counts.sent > 0
    assert counts.failed == 0, f"{counts.failed} of {counts.sent} failed: {counts.failures}"


_REACH = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()
except OSError as error:
    print(type(error).__name__)
else:
    print("reached")
"""


def reach(team: Team, pod: Wire, container: str, url: str) -> str:
    """Say what comes of a connection from a container to the Hub: `reached`, or the name of the error."""
    host, _, port = url.removeprefix("http://").partition(":")
    python = {"engine": "/opt/llamacpp/bin/python", "weights": "python3"}[container]
    inside = ("exec", "--namespace", team.namespace, pod["metadata"]["name"], f"--container={container}", "--")
    return team.admin.run(*inside, python, "-c", _REACH, host, port).strip()
