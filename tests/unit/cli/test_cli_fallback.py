"""holdfast fallback: the way out, with as little in its way as possible."""

import pytest

from unit.cli import states
from unit.cli.api_stand_in import ApiStandIn, Object
from unit.cli.conftest import Cli


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (None, {"type": "LastKnownGood"}),
        ("last-known-good", {"type": "LastKnownGood"}),
        ("3", {"type": "Revision", "revision": 3}),
        ("external/general-api", {"type": "External", "external": "general-api"}),
    ],
)
def test_the_target_is_what_was_asked_for(cli: Cli, api: ApiStandIn, to: str | None, expected: Object) -> None:
    states.stable(api)
    states.accepts(api)
    result = cli("fallback", states.NAME, "--yes", *(["--to", to] if to else []))
    assert result.code == 0, result.err
    assert states.made(api)["fallbackTo"] == expected


@pytest.mark.parametrize(
    "to", ["0", "-1", "general-api", "external/", "LastKnownGood", "1.5", "٣", "1" * 10, "external/A", "external/" + "x" * 41]
)
def test_another_target_is_a_wrong_call(cli: Cli, api: ApiStandIn, to: str) -> None:
    states.stable(api)
    result = cli("fallback", states.NAME, "--yes", f"--to={to}")
    assert result.code == 2
    assert "is none of last-known-good, the number of a revision, external/NAME" in " ".join(result.err.split())
    assert api.approvals() == []


def test_it_depends_on_no_request(cli: Cli, api: ApiStandIn) -> None:
    """A decision that nothing can make outdated: it names the deployment only."""
    states.tried(api)
    states.accepts(api)
    assert cli("fallback", states.NAME, "--yes").code == 0
    assert states.made(api)["target"] == {"name": states.NAME}


@pytest.mark.parametrize(
    ("state", "to", "question"),
    [
        (states.stable, [], "to the last known good: revision 1 (v1:"),
        (states.tried, [], "to the last known good: revision 1 (v1:"),
        (states.stable, ["--to", "1"], "to revision 1?"),
        (states.stable, ["--to", "external/general-api"], "to external/general-api?"),
    ],
)
def test_the_question_names_the_target(cli: Cli, api: ApiStandIn, state: object, to: list[str], question: str) -> None:
    assert callable(state)
    state(api)
    states.accepts(api)
    result = cli("fallback", states.NAME, *to, typed="y\n")
    assert result.code == 0, result.err
    assert question in result.err


def test_a_status_that_cannot_be_read_keeps_nobody_from_falling_back(cli: Cli, api: ApiStandIn) -> None:
    states.stable(api)
    api.set_status("modeldeployments", states.NAME, {"phase": "Levitating", "stable": "what"})
    states.accepts(api)
    assert cli("fallback", states.NAME, "--yes").code == 0
    assert states.made(api)["decision"] == "Fallback"


def test_wait_tells_how_long_it_took_until_every_gateway_pod_had_it(cli: Cli, api: ApiStandIn) -> None:
    states.stable(api)
    api.on_create = lambda item: _fall_back(api, item, observed=True)
    result = cli("fallback", states.NAME, "--yes", "--wait")
    assert result.code == 0, result.err
    assert "every gateway pod sends all traffic to revision 1, " in result.out
    assert " s after the decision was made" in result.out


def test_wait_does_not_take_another_fallback_for_this_one(cli: Cli, api: ApiStandIn) -> None:
    states.stable(api)

    def settle(item: Object) -> None:
        _fall_back(api, {"metadata": {"name": "somebody-elses"}}, observed=True)
        api.set_status("modelapprovals", item["metadata"]["name"], {"state": "Accepted"})

    api.on_create = settle
    api.watches_end_at_once = True
    result = cli("fallback", states.NAME, "--yes", "--wait", "--timeout", "3")
    assert result.code == 4
    assert "the fallback is accepted, but not every gateway pod reported it within 3 s" in result.err


def test_wait_does_not_believe_what_not_every_pod_reported(cli: Cli, api: ApiStandIn) -> None:
    states.stable(api)
    api.on_create = lambda item: _fall_back(api, item, observed=False)
    api.watches_end_at_once = True
    assert cli("fallback", states.NAME, "--yes", "--wait", "--timeout", "3").code == 4


def test_wait_and_no_wait_exclude_each_other(cli: Cli, api: ApiStandIn) -> None:
    states.stable(api)
    result = cli("fallback", states.NAME, "--yes", "--wait", "--no-wait")
    assert result.code == 2
    assert api.approvals() == []


def _fall_back(api: ApiStandIn, approval: Object, *, observed: bool) -> None:
    """Play the operator: accept, and put the deployment into fallback."""
    name = approval["metadata"]["name"]
    status = api.get("modeldeployments", states.NAME)["status"]
    fallback = {
        "type": "LastKnownGood",
        "revision": 1,
        "since": "2026-11-21T12:00:00Z",
        "by": "alice@example.com",
        "reason": "",
        "approval": name,
        "observed": observed,
    }
    api.set_status("modeldeployments", states.NAME, status | {"phase": "Fallback", "fallback": fallback})
    if name.startswith("support-chat-fallback-"):
        api.set_status("modelapprovals", name, {"state": "Accepted"})
