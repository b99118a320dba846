"""The life of a change on a real node, with real engines, a real gateway, and users who ask all the time."""

import pytest

from e2e.story import HELD, NAME, back_to_first, declare, fallen_back, gone, no_failures, only, resumed, start_second
from stage.team import Team
from stage.traffic import ask_once


class TestTheWholeStory:
    def test_from_the_first_pin_to_promotion_fallback_and_back(self, team: Team, commits: tuple[str, str], engine: str) -> None:
        declare(team, commits[0], engine)
        team.wait_phase(NAME, "AwaitingApproval")
        assert team.pods(NAME) == []

        team.must("approve", NAME, "--yes", "--reason", "first")
        team.wait_phase(NAME, "Stable")
        with team.url(NAME) as url:
            status, headers, _ = ask_once(url, host=team.host(NAME), model=NAME)
        assert status == 200
        assert headers["x-holdfast-revision"] == "1"

        with team.traffic(NAME) as traffic:
            start_second(team, commits[1], engine)

            team.wait_phase(NAME, "Soaking", "AwaitingPromotion")
            team.wait_phase(NAME, "AwaitingPromotion")
            half = traffic.after_now(500, timeout=90)
            assert set(half.by_revision) == {"1", "2"}
            assert 0.40 < half.user_share("2") < 0.60, "the last step gives half of the users to the candidate"
            both = half.users_by_revision["1"] & half.users_by_revision["2"]
            assert not both, f"users who met both revisions at a steady share: {sorted(both)[:5]}"

            team.must("approve", NAME, "--yes", "--reason", "looks better")
            team.wait_phase(NAME, "Draining", "Stable")
            only(traffic, "2")

            team.must("fallback", NAME, "--yes", "--wait", "--reason", "complaints")
            only(traffic, "1")

            team.must("resume", NAME, "--yes", "--reason", "it was the prompt")
            resumed(team)
            only(traffic, "2")
        no_failures(traffic)


class TestGoingBack:
    @pytest.fixture
    def team(self, serving_team: Team, commits: tuple[str, str], engine: str) -> Team:
        back_to_first(serving_team, commits[0], engine)
        return serving_team

    def test_abort_in_mid_canary_returns_every_user(self, team: Team, commits: tuple[str, str], engine: str) -> None:
        with team.traffic(NAME) as traffic:
            start_second(team, commits[1], engine, rollout=HELD)
            team.wait_phase(NAME, "Soaking")
            team.must("abort", NAME, "--yes", "--reason", "no")
            team.wait_phase(NAME, "Aborted")
            only(traffic, "1")
            gone(team, 2)
        no_failures(traffic)

    def test_reverting_the_spec_returns_every_user(self, team: Team, commits: tuple[str, str], engine: str) -> None:
        with team.traffic(NAME) as traffic:
            start_second(team, commits[1], engine, rollout=HELD)
            team.wait_phase(NAME, "Soaking")
            declare(team, commits[0], engine)
            team.wait_phase(NAME, "Stable")
            only(traffic, "1")
        no_failures(traffic)

    def test_fallback_in_mid_canary_goes_to_the_stable_revision(self, team: Team, commits: tuple[str, str], engine: str) -> None:
        with team.traffic(NAME) as traffic:
            start_second(team, commits[1], engine, rollout=HELD)
            team.wait_phase(NAME, "Soaking")
            team.must("fallback", NAME, "--yes", "--reason", "complaints")
            fallen_back(team)
            only(traffic, "1")
        no_failures(traffic)

    def test_a_rejected_request_never_runs(self, team: Team, commits: tuple[str, str], engine: str) -> None:
        declare(team, commits[1], engine)
        team.wait_request(NAME, above=1)
        team.must("reject", NAME, "--yes", "--reason", "not now")
        team.wait_phase(NAME, "Stable")
        assert team.condition(NAME, "Approved")["reason"] == "Rejected"
        assert team.pods(NAME, 2) == []
