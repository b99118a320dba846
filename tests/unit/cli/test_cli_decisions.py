"""holdfast reject, abort and resume: one question, one decision, the operator's answer."""

import pytest

from holdfast.api.deployment import ModelDeploymentStatus
from holdfast.api.reasons import Phase
from unit.cli import states
from unit.cli.api_stand_in import ApiStandIn
from unit.cli.conftest import Cli, deployed


@pytest.mark.parametrize(("command", "decision"), [("reject", "Reject"), ("abort", "Abort"), ("resume", "Resume")])
def test_the_decision_is_about_the_request_that_was_read(cli: Cli, api: ApiStandIn, command: str, decision: str) -> None:
    old, new = states.proposed_second(api)
    states.accepts(api)
    result = cli(command, states.NAME, "--yes", "--reason", "because")
    assert result.code == 0, result.err
    assert result.out == f"accepted: support-chat-2-{decision.lower()}-00000\n"
    assert states.made(api) == {
        "decision": decision,
        "target": {"name": states.NAME, "digest": new, "base": old, "request": 2},
        "approver": {"username": "alice@example.com"},
        "reason": "because",
    }


@pytest.mark.parametrize(
    ("command", "question"),
    [
        ("reject", "Reject request 2, revision 2? Serving stays: revision 1 (v1:"),
        ("abort", "Abort revision 2 (it has 50 % of the users)? Everybody gets: revision 1 (v1:"),
        ("resume", "Ask again for revision 2? It needs a new approval."),
    ],
)
def test_the_question_tells_what_will_happen(cli: Cli, api: ApiStandIn, command: str, question: str) -> None:
    states.tried(api)
    states.accepts(api)
    result = cli(command, states.NAME, typed="y\n")
    assert result.code == 0, result.err
    assert question in result.err


@pytest.mark.parametrize("command", ["reject", "abort", "resume", "fallback"])
@pytest.mark.parametrize("typed", ["n\n", "\n", "maybe\n"])
def test_anything_but_yes_decides_nothing(cli: Cli, api: ApiStandIn, command: str, typed: str) -> None:
    states.tried(api)
    result = cli(command, states.NAME, typed=typed)
    assert result.code == 1
    assert result.err.endswith("error: not confirmed; nothing was done\n")
    assert api.approvals() == []


@pytest.mark.parametrize("command", ["reject", "abort", "resume", "fallback"])
def test_without_a_terminal_yes_has_to_be_said(cli: Cli, api: ApiStandIn, command: str) -> None:
    states.tried(api)
    result = cli(command, states.NAME)
    assert result.code == 2
    assert result.err.endswith("error: there is no terminal to ask on: give --yes\n")
    assert api.approvals() == []


@pytest.mark.parametrize("command", ["reject", "abort", "resume", "approve"])
def test_without_a_request_there_is_nothing_to_decide(cli: Cli, api: ApiStandIn, command: str) -> None:
    deployed(api, ModelDeploymentStatus(phase=Phase.PENDING))
    result = cli(command, states.NAME, "--yes")
    assert result.code == 1
    assert result.err.endswith("error: support-chat has no request to decide on: the phase is Pending\n")


@pytest.mark.parametrize("command", ["reject", "abort", "resume", "approve", "fallback", "status", "diff", "history"])
def test_a_deployment_that_does_not_exist_is_not_found(cli: Cli, api: ApiStandIn, command: str) -> None:
    result = cli(command, "other", *(["--yes"] if command in ("reject", "abort", "resume", "approve", "fallback") else []))
    assert result.code == 3
    assert result.err == "error: there is no ModelDeployment 'other' in the namespace 'team-a'\n"


def test_a_refusal_says_why_and_fails(cli: Cli, api: ApiStandIn) -> None:
    states.stable(api)
    states.refuses(api, "NothingToDecide", "nothing is being tried (phase Stable); it is promoted already: fall back instead")
    result = cli("abort", states.NAME, "--yes")
    assert result.code == 1
    assert result.err.endswith(
        "error: refused (NothingToDecide): nothing is being tried (phase Stable); it is promoted already: fall back instead\n"
    )


def test_resume_tells_where_the_traffic_returns_to(cli: Cli, api: ApiStandIn) -> None:
    states.fallen_back(api)
    states.accepts(api)
    result = cli("resume", states.NAME, typed="y\n")
    assert result.code == 0, result.err
    assert "End the fallback to external general-api, by bob since 2026-11-21T11:59:00Z" in result.err
    assert "Traffic returns to: revision 1 (v1:" in result.err


def test_resume_of_a_deployment_that_never_had_a_request_names_what_serves(cli: Cli, api: ApiStandIn) -> None:
    """Its object was re-created and taken up from history; the kind demands a number, the operator compares none."""
    digest = states.fallen_back(api)
    states.accepts(api)
    assert cli("resume", states.NAME, "--yes").code == 0
    assert states.made(api)["target"] == {"name": states.NAME, "digest": digest, "request": 1}
