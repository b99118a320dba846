"""holdfast approve: shows what changes, asks for the digest, binds the decision to what was read."""

import json

import pytest

from unit.cli import states
from unit.cli.api_stand_in import ApiStandIn
from unit.cli.conftest import Cli


def test_the_decision_binds_digest_base_and_number_of_the_request(cli: Cli, api: ApiStandIn) -> None:
    old, new = states.proposed_second(api)
    states.accepts(api)
    result = cli("approve", states.NAME, "--yes", "--reason", "eval report 118")
    assert result.code == 0, result.err
    assert states.made(api) == {
        "decision": "Approve",
        "gate": "Start",
        "target": {"name": states.NAME, "digest": new, "base": old, "request": 2},
        "approver": {"username": "alice@example.com"},
        "reason": "eval report 118",
    }


def test_the_object_is_named_after_deployment_request_and_gate(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_second(api)
    states.accepts(api)
    cli("approve", states.NAME, "--yes")
    (item,) = api.approvals()
    assert item["metadata"]["name"].startswith("support-chat-2-start-")
    assert item["metadata"]["namespace"] == "team-a"


def test_the_first_revision_has_no_base(cli: Cli, api: ApiStandIn) -> None:
    digest = states.proposed_first(api)
    states.accepts(api)
    assert cli("approve", states.NAME, "--yes").code == 0
    assert states.made(api)["target"] == {"name": states.NAME, "digest": digest, "request": 1}


def test_a_tried_revision_is_promoted(cli: Cli, api: ApiStandIn) -> None:
    states.tried(api)
    states.accepts(api)
    assert cli("approve", states.NAME, "--yes").code == 0
    assert states.made(api)["gate"] == "Promote"


def test_a_named_gate_is_the_one_that_is_asked_for(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_second(api)
    states.refuses(api, "WrongGate", "request 2 waits at the gate Start")
    result = cli("approve", states.NAME, "--yes", "--gate", "Promote")
    assert states.made(api)["gate"] == "Promote"
    assert result.err.endswith("error: refused (WrongGate): request 2 waits at the gate Start\n")


def test_the_diff_is_shown_before_the_question(cli: Cli, api: ApiStandIn) -> None:
    old, new = states.proposed_second(api)
    states.accepts(api)
    result = cli("approve", states.NAME, typed=new[-6:] + "\n")
    assert result.code == 0, result.err
    assert "support-chat in team-a: request 2, gate Start" in result.out
    assert f"serves now   revision 1 {old}" in result.out
    assert f"would serve  revision 2 {new}" in result.out
    assert f"old sha256:{'a' * 64}" in result.out
    assert f"new sha256:{'b' * 64}" in result.out
    assert "Ready  True (Serving): 1 of 1 pods of revision 1 serve" in result.out
    assert f"To approve Start of\n  {new}\ntype the last 6 characters" in result.err


def test_what_was_seen_of_the_candidate_is_shown_before_its_promotion(cli: Cli, api: ApiStandIn) -> None:
    states.tried(api)
    states.accepts(api)
    result = cli("approve", states.NAME, "--yes")
    assert "ready    2026-11-21T10:10:00Z (1 h 50 min ago)" in result.out
    assert "traffic  50 % seen by every gateway pod" in result.out
    assert "decided  2026-11-21T10:00:00Z Approve Start by alice@example.com: eval report 118" in result.out


@pytest.mark.parametrize("typed", ["y\n", "\n", "yes\n", "000000x\n"])
def test_other_characters_decide_nothing(cli: Cli, api: ApiStandIn, typed: str) -> None:
    states.proposed_second(api)
    result = cli("approve", states.NAME, typed=typed)
    assert result.code == 1
    assert result.err.endswith("error: that is not how the digest ends; nothing was done\n")
    assert api.approvals() == []


def test_the_characters_of_the_serving_digest_do_not_approve_the_new_one(cli: Cli, api: ApiStandIn) -> None:
    old, _ = states.proposed_second(api)
    assert cli("approve", states.NAME, typed=old[-6:] + "\n").code == 1
    assert api.approvals() == []


def test_without_a_terminal_nobody_is_asked_and_nothing_is_decided(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_second(api)
    result = cli("approve", states.NAME)
    assert result.code == 2
    assert result.err.endswith("error: there is no terminal to ask on: read the diff, then give --yes\n")
    assert api.approvals() == []


def test_nothing_waits_for_an_approval(cli: Cli, api: ApiStandIn) -> None:
    states.stable(api)
    result = cli("approve", states.NAME, "--yes")
    assert result.code == 1
    assert "support-chat waits for no approval: the phase is Stable and request 2 is Promoted" in result.err
    assert api.approvals() == []


def test_a_revision_that_is_not_what_its_digest_says_is_never_approved(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_second(api)
    forged = api.get("modelrevisions", "support-chat-2")
    forged["spec"]["model"]["engine"]["args"] = ["--trust-remote-code"]
    api.put("modelrevisions", "support-chat-2", metadata=forged["metadata"], spec=forged["spec"])
    result = cli("approve", states.NAME, "--yes")
    assert result.code == 1
    assert "the ModelRevision support-chat-2 is not what its digest says" in result.err
    assert api.approvals() == []


def test_a_field_that_this_version_does_not_know_is_never_approved(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_second(api)
    newer = api.get("modelrevisions", "support-chat-2")
    newer["spec"]["model"]["steering"] = [{"name": "tone"}]
    api.put("modelrevisions", "support-chat-2", metadata=newer["metadata"], spec=newer["spec"])
    result = cli("approve", states.NAME, "--yes")
    assert result.code == 1
    assert "does not know (model.steering: no such field); update holdfast" in result.err
    assert api.approvals() == []


def test_a_revision_of_another_digest_is_never_approved(cli: Cli, api: ApiStandIn) -> None:
    old, _ = states.proposed_second(api)
    revision = api.get("modelrevisions", "support-chat-1")
    api.put("modelrevisions", "support-chat-2", spec=revision["spec"])
    result = cli("approve", states.NAME, "--yes")
    assert result.code == 1
    assert f"revision 2 of support-chat has the digest {old}, but the status says" in result.err
    assert api.approvals() == []


def test_an_unknown_field_in_status_does_not_stop_anybody(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_second(api)
    status = api.get("modeldeployments", states.NAME)["status"] | {"weather": {"head": "x"}}
    api.set_status("modeldeployments", states.NAME, status)
    states.accepts(api)
    assert cli("approve", states.NAME, "--yes").code == 0


def test_the_answer_is_printed_as_data(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_second(api)
    states.accepts(api)
    result = cli("approve", states.NAME, "--yes", "-o", "json")
    assert json.loads(result.out) == {"approval": "support-chat-2-start-00000", "state": "Accepted"}


def test_the_review_goes_to_stderr_when_stdout_is_for_data(cli: Cli, api: ApiStandIn) -> None:
    _, new = states.proposed_second(api)
    states.accepts(api)
    result = cli("approve", states.NAME, "-o", "json", typed=new[-6:] + "\n")
    assert json.loads(result.out)["state"] == "Accepted"
    assert "would serve" in result.err


def test_a_refusal_as_data_fails_too(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_second(api)
    states.refuses(api, "OtherRequest", "it is about request 2; the request is now 3")
    result = cli("approve", states.NAME, "--yes", "-o", "json")
    assert result.code == 1
    assert json.loads(result.out)["reason"] == "OtherRequest"


def test_no_wait_returns_at_once(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_second(api)
    result = cli("approve", states.NAME, "--yes", "--no-wait")
    assert result.code == 0
    assert "made: support-chat-2-start-00000; the operator has not answered yet" in result.out
    assert not any("modelapprovals watch" in request for request in api.requests)


def test_an_operator_that_does_not_answer_is_reported(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_second(api)
    api.watches_end_at_once = True
    result = cli("approve", states.NAME, "--yes", "--timeout", "5")
    assert result.code == 4
    assert "the operator did not answer support-chat-2-start-00000 within 5 s; the decision stays" in result.err
    assert cli.naps, "it asks without pause"


def test_a_decision_that_is_deleted_meanwhile_is_reported(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_second(api)
    api.on_create = lambda item: api.delete("modelapprovals", item["metadata"]["name"])
    result = cli("approve", states.NAME, "--yes")
    assert result.code == 1
    assert "was deleted before the operator answered" in result.err


def test_kubectl_users_read_their_own_command(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_second(api)
    states.accepts(api)
    result = cli("approve", states.NAME, "--yes", program="kubectl holdfast")
    assert "follow it: kubectl holdfast status support-chat -n team-a --watch" in result.out
