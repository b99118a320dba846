"""The operator is killed in every phase; the story ends as if it had not been."""

import pytest

from e2e.operator_pod import Operator
from e2e.story import HELD, NAME, QUICK, back_to_first, declare, fallen_back, gone, no_failures, only, resumed, start_second
from stage.team import Team, Wire
from stage.wait import until


def roles(team: Team) -> Wire:
    """Return what a story ends with, without times and names that differ between runs."""
    status = team.status(NAME)
    engines = team.admin.get("deployments", "--namespace", team.namespace, "--selector", "holdfast.dev/component=engine")
    return {
        "phase": status["phase"],
        "stable": status["stable"]["revision"],
        "lastKnownGood": status.get("lastKnownGood", {}).get("revision"),
        "request": (status["request"]["number"], status["request"]["state"]),
        "engines": sorted((e["metadata"]["name"], e["spec"]["replicas"]) for e in engines["items"]),
        "approvals": sorted(
            (a["spec"]["decision"], a["status"]["state"])
            for a in team.admin.get("modelapprovals.holdfast.dev", "--namespace", team.namespace)["items"]
        ),
    }


def test_killed_in_every_phase_of_a_promotion(team: Team, commits: tuple[str, str], engine: str, operator: Operator) -> None:
    brief = {"drainSeconds": 5}
    declare(team, commits[0], engine, serving=brief)
    operator.kill()
    team.wait_phase(NAME, "AwaitingApproval")
    operator.kill()
    team.must("approve", NAME, "--yes", "--no-wait", "--reason", "first")
    operator.kill()
    team.wait_phase(NAME, "Stable")
    with team.traffic(NAME) as traffic:
        declare(team, commits[1], engine, serving=brief)
        team.wait_request(NAME, above=1)
        team.must("approve", NAME, "--yes", "--no-wait", "--reason", "second")
        seen = []
        for phase in ("Preparing", "Shifting", "Soaking", "AwaitingPromotion"):
            status = team.wait_phase(NAME, *PHASES[PHASES.index(phase) :])
            operator.kill()
            seen.append(status["phase"])
        team.wait_phase(NAME, "AwaitingPromotion")
        assert "Soaking" in seen
        team.must("approve", NAME, "--yes", "--no-wait", "--reason", "better")
        team.wait_phase(NAME, "Promoting", "Draining", "Stable")
        operator.kill()
        team.wait_phase(NAME, "Draining", "Stable")
        operator.kill()
        team.wait_phase(NAME, "Stable")
        only(traffic, "2")
        team.must("fallback", NAME, "--yes", "--no-wait", "--reason", "complaints")
        operator.kill()
        fallen_back(team)
        only(traffic, "1")
        operator.kill()
        team.must("resume", NAME, "--yes", "--no-wait", "--reason", "over")
        operator.kill()
        resumed(team)
        only(traffic, "2")
    no_failures(traffic)
    assert roles(team) == {
        "phase": "Stable",
        "stable": 2,
        "lastKnownGood": 1,
        "request": (2, "Promoted"),
        "engines": [("support-chat-1", 1), ("support-chat-2", 1)],
        "approvals": [
            ("Approve", "Accepted"),
            ("Approve", "Accepted"),
            ("Approve", "Accepted"),
            ("Fallback", "Accepted"),
            ("Resume", "Accepted"),
        ],
    }


PHASES = ["Preparing", "Shifting", "Soaking", "AwaitingPromotion"]


class TestStandingModel:
    """What begins with a model that serves."""

    @pytest.fixture
    def team(self, serving_team: Team, commits: tuple[str, str], engine: str) -> Team:
        back_to_first(serving_team, commits[0], engine)
        return serving_team

    @pytest.mark.parametrize("phase", ["Preparing", "Soaking", "AwaitingPromotion"])
    def test_killed_while_aborting(
        self, team: Team, commits: tuple[str, str], engine: str, operator: Operator, phase: str
    ) -> None:
        rollout = QUICK if phase == "AwaitingPromotion" else HELD
        with team.traffic(NAME) as traffic:
            start_second(team, commits[1], engine, rollout=rollout)
            team.wait_phase(NAME, *PHASES[PHASES.index(phase) :])
            team.must("abort", NAME, "--yes", "--no-wait", "--reason", "no")
            operator.kill()
            team.wait_phase(NAME, "Aborting", "Aborted")
            operator.kill()
            team.wait_phase(NAME, "Aborted")
            only(traffic, "1")
        no_failures(traffic)
        gone(team, 2)

    def test_serving_and_replacement_go_on_while_the_operator_is_down(
        self, team: Team, commits: tuple[str, str], engine: str, operator: Operator
    ) -> None:
        """The replaced pod fetches by a way out that nobody closes; the operator does so when it is back."""
        declare(team, commits[0], engine, serving={"replicas": 2})
        team.wait_ready(NAME, 2)
        with team.traffic(NAME) as traffic:
            with operator.stopped():
                victim = team.ready_pods(NAME)[0]["metadata"]["name"]
                team.admin.run("delete", "pod", victim, "--namespace", team.namespace, "--wait=false")
                team.wait_ready(NAME, 2)
                assert let_out(team)
                traffic.after_now(200)
            until(lambda: not let_out(team), what="the end of the new pod's way out")
        no_failures(traffic)


def let_out(team: Team) -> list[Wire]:
    """Return the pods that may still reach the sources of their files."""
    return [pod for pod in team.pods(NAME) if "holdfast.dev/fetching" in pod["metadata"]["labels"]]
