"""holdfast status, diff and history: what people and programs read."""

import json

import pytest
import yaml

import builders
from holdfast.api.deployment import ModelDeploymentStatus, Request, RequestState, RevisionRole
from holdfast.api.reasons import Phase
from unit.cli import states
from unit.cli.api_stand_in import ApiStandIn
from unit.cli.conftest import Cli, deployed, revised


def test_the_table_tells_who_has_to_act(cli: Cli, api: ApiStandIn) -> None:
    old, new = states.tried(api)
    deployed(api, ModelDeploymentStatus(phase=Phase.STABLE), name="other")
    result = cli("status")
    header, first, second = result.out.splitlines()
    assert header.split() == ["NAME", "PHASE", "READY", "SERVING", "CANDIDATE", "WEIGHT", "WAITS", "FOR"]
    assert first.split("   ")[0] == "other"
    assert [cell.strip() for cell in second.split("   ") if cell.strip()] == [
        "support-chat",
        "AwaitingPromotion",
        "-",
        f"1 {old[:15]}",
        f"2 {new[:15]}",
        "50 %",
        "owner: promotion",
    ]


def test_an_empty_namespace_is_said_and_no_error(cli: Cli) -> None:
    result = cli("status")
    assert (result.code, result.out) == (0, "")
    assert result.err == "no ModelDeployment in the namespace 'team-a'\n"


def test_a_long_list_is_read_page_by_page(cli: Cli, api: ApiStandIn) -> None:
    for number in range(501):
        api.put("modeldeployments", f"chat-{number:03}x", spec=builders.spec().wire(), status={})
    result = cli("status", "-o", "json")
    assert len(json.loads(result.out)) == 501
    assert api.requests.count("GET modeldeployments") == 2


def test_one_deployment_is_shown_with_everything_that_is_needed_to_decide(cli: Cli, api: ApiStandIn) -> None:
    old, new = states.tried(api)
    lines = [" ".join(line.split()) for line in cli("status", states.NAME).out.splitlines()]
    assert lines == [
        "support-chat in team-a",
        "phase AwaitingPromotion: revision 2 held every step; it waits for its owner",
        f"serving revision 1 ({old[:15]}), approved by alice@example.com",
        f"candidate revision 2 ({new[:15]}), started 2026-11-21T10:00:00Z (2 h ago)",
        "ready 2026-11-21T10:10:00Z (1 h 50 min ago)",
        "weight 50 %",
        "step 3 of 3, entered 2026-11-21T10:59:00Z (1 h 1 min ago)",
        "request 2, Approved, revision 2",
        f"digest {new}",
        f"base {old}",
        "what you can do now",
        "holdfast approve support-chat -n team-a",
        "holdfast abort support-chat -n team-a",
        "holdfast fallback support-chat -n team-a",
    ]


def test_the_way_out_is_shown_wherever_there_is_one(cli: Cli, api: ApiStandIn) -> None:
    states.stable(api)
    assert "    holdfast fallback support-chat -n team-a\n" in cli("status", states.NAME).out
    states.fallen_back(api)
    assert "holdfast fallback" not in cli("status", states.NAME).out
    states.proposed_first(api)
    assert "holdfast fallback" not in cli("status", states.NAME).out
    external = {"external": [{"name": "general-api", "url": "https://api.example.com/v1"}]}
    deployed(api, ModelDeploymentStatus(phase=Phase.STABLE), fallback=external)
    assert "    holdfast fallback support-chat -n team-a --to external/general-api\n" in cli("status", states.NAME).out


def test_what_moved_upstream_can_be_proposed(cli: Cli, api: ApiStandIn) -> None:
    states.moved_upstream(api)
    out = cli("status", states.NAME).out
    assert "True    UpstreamMoved: branch main is at ffffffffffff" in out
    assert "holdfast propose support-chat -n team-a" in out


def test_in_a_fallback_what_serves_is_not_what_is_stable(cli: Cli, api: ApiStandIn) -> None:
    states.fallen_back(api)
    out = cli("status", states.NAME).out
    assert "serving  fallback to external general-api, by bob since 2026-11-21T11:59:00Z, seen by every gateway pod" in out
    assert "stable   revision 1 (v1:" in out
    assert "fallback: external general-api" in cli("status").out


def test_a_spec_that_the_operator_has_not_seen_is_said(cli: Cli, api: ApiStandIn) -> None:
    states.stable(api)
    item = api.get("modeldeployments", states.NAME)
    item["metadata"]["generation"] = 2
    api.put("modeldeployments", states.NAME, metadata=item["metadata"], spec=item["spec"], status=item["status"])
    assert "the operator has not seen the latest spec yet" in cli("status", states.NAME).out


def test_status_as_data_is_what_the_api_server_has(cli: Cli, api: ApiStandIn) -> None:
    states.tried(api)
    stored = api.get("modeldeployments", states.NAME)["status"]
    as_json = json.loads(cli("status", states.NAME, "-o", "json").out)
    as_yaml = yaml.safe_load(cli("status", states.NAME, "-o", "yaml").out)
    assert as_json == as_yaml == {"name": states.NAME, "namespace": "team-a", "generation": 1, "status": stored}


def test_watch_prints_a_line_for_each_change_that_can_be_told(cli: Cli, api: ApiStandIn) -> None:
    """The status of the real operator changes more often than its words do."""
    states.tried(api)
    status = api.get("modeldeployments", states.NAME)["status"]
    later = iter(
        [
            status,  # nothing new
            status | {"phase": "Promoting", "message": "all traffic goes to revision 2"},
            None,
        ]
    )

    def step() -> None:
        following = next(later)
        if following is None:
            api.delete("modeldeployments", states.NAME)
        else:
            api.set_status("modeldeployments", states.NAME, following)

    api.on_watch = step
    api.watches_end_at_once = True
    result = cli("status", states.NAME, "--watch")
    lines = [line for line in result.out.splitlines() if line.startswith("12:00:00Z")]
    assert lines == [
        "12:00:00Z  AwaitingPromotion  candidate 2 at 50 %  revision 2 held every step; it waits for its owner",
        "12:00:00Z  Promoting  candidate 2 at 50 %  all traffic goes to revision 2",
    ]
    assert result.code == 3
    assert result.err.endswith("error: the ModelDeployment support-chat was deleted\n")


def test_watch_as_json_prints_one_document_a_line(cli: Cli, api: ApiStandIn) -> None:
    states.tried(api)
    api.on_watch = lambda: api.delete("modeldeployments", states.NAME)
    api.watches_end_at_once = True
    (line,) = cli("status", states.NAME, "--watch", "-o", "json").out.splitlines()
    assert json.loads(line)["status"]["phase"] == "AwaitingPromotion"


def test_watch_as_yaml_prints_a_document_for_each_change(cli: Cli, api: ApiStandIn) -> None:
    states.stable(api)
    api.on_watch = lambda: api.delete("modeldeployments", states.NAME)
    api.watches_end_at_once = True
    printed = cli("status", states.NAME, "--watch", "-o", "yaml").out
    assert printed.startswith("---\nname: support-chat\n")
    (document,) = yaml.safe_load_all(printed)
    assert document["status"]["stable"]["revision"] == 2


def test_watch_survives_an_expired_version_and_a_lost_connection(cli: Cli, api: ApiStandIn) -> None:
    states.tried(api)
    troubles = iter([lambda: setattr(api, "expired_below", 10_000), lambda: setattr(api, "drop_connection", True), None])

    def trouble() -> None:
        api.expired_below = 0
        following = next(troubles)
        if following is None:
            api.delete("modeldeployments", states.NAME)
            api.watches_end_at_once = True
        else:
            following()

    api.on_watch = trouble
    result = cli("status", states.NAME, "--watch")
    assert result.code == 3, result.err
    assert "; trying again\n" in result.err
    assert api.requests.count("GET modeldeployments watch") == 3


def test_diff_shows_fields_and_files_with_their_hashes(cli: Cli, api: ApiStandIn) -> None:
    old, new = states.proposed_second(api, generation={"temperature": 0.2}, chatTemplate={"text": "one\ntwo"})
    result = cli("diff", states.NAME)
    assert result.code == 0
    assert result.out.splitlines() == [
        "support-chat in team-a: request 2",
        f"serves now   revision 1 {old}",
        f"would serve  revision 2 {new}",
        "",
        "Fields",
        "  ~ chatTemplate.from: Source → Inline",
        "  ~ generation.temperature: 1.0 → 0.2",
        "  ~ source.huggingFace.commit:",
        f"      old {'a' * 40}",
        f"      new {'b' * 40}",
        "  ~ source.manifestDigest:",
        *(
            f"      {side} {api.get('modelrevisions', f'support-chat-{n}')['spec']['model']['source']['manifestDigest']}"
            for side, n in (("old", 1), ("new", 2))
        ),
        "  ~ chatTemplate.text:",
        "      @@ -1 +1,2 @@",
        "      -(no text: the engine reads it in the files, or makes the prompt itself)",
        "      +one",
        "      +two",
        "",
        "Files: 1 changed, 0 the same",
        "  ~ tiny.gguf",
        f"      old sha256:{'a' * 64} 1 kB",
        f"      new sha256:{'b' * 64} 1 kB",
    ]


def test_diff_of_the_first_revision_shows_all_of_it(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_first(api)
    out = cli("diff", states.NAME).out
    assert "serves now   nothing: this is the first" in out
    assert f"  + engine.image: {builders.ENGINE_IMAGE}" in out
    assert "Files: 1 added, 0 the same\n  + tiny.gguf" in out


def test_diff_as_data(cli: Cli, api: ApiStandIn) -> None:
    old, new = states.proposed_second(api)
    found = json.loads(cli("diff", states.NAME, "-o", "json").out)
    assert found["request"] == 2
    assert (found["old"], found["new"]) == ({"revision": 1, "digest": old}, {"revision": 2, "digest": new})
    assert {"field": "source.huggingFace.commit", "old": "a" * 40, "new": "b" * 40} in found["fields"]
    assert found["files"] == [
        {
            "path": "tiny.gguf",
            "change": "changed",
            "old": {"path": "tiny.gguf", "size": 1000, "sha256": "a" * 64},
            "new": {"path": "tiny.gguf", "size": 1000, "sha256": "b" * 64},
        }
    ]


def test_diff_says_when_nothing_is_proposed(cli: Cli, api: ApiStandIn) -> None:
    states.stable(api)
    assert cli("diff", states.NAME).out == "nothing is proposed: revision 2 serves\n"
    assert cli("diff", states.NAME, "-o", "json").out == "null\n"


def test_what_a_hostile_file_does_to_a_terminal_is_shown_instead_of_done(cli: Cli, api: ApiStandIn) -> None:
    hostile = "harmless\x1b[2K\x1b[1Ahidden \u202eesrever\u200b [red]no markup[/red] :smile:"
    states.proposed_second(api, chatTemplate={"text": hostile})
    out = cli("diff", states.NAME).out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert r"+harmless\x1b[2K\x1b[1Ahidden \u202eesrever\u200b [red]no markup[/red] :smile:" in out


def test_history_tells_who_decided_what_when_and_why(cli: Cli, api: ApiStandIn) -> None:
    states.tried(api)
    out = cli("history", states.NAME).out
    assert "2026-11-21T10:00:00Z   Approve Start   2         2          alice@example.com   eval report 118" in out


def test_history_outlives_the_deployment(cli: Cli, api: ApiStandIn) -> None:
    states.tried(api)
    api.delete("modeldeployments", states.NAME)
    result = cli("history", states.NAME, "-o", "yaml")
    found = yaml.safe_load(result.out)
    assert [revision["number"] for revision in found["revisions"]] == [1, 2]
    assert found["revisions"][1]["decisions"][0]["by"] == "alice@example.com"


@pytest.mark.parametrize("command", ["history", "diff"])
@pytest.mark.parametrize(
    ("message", "why"), [("the Hub is asked", "the Hub is asked"), (None, "the operator has not looked at it")]
)
def test_a_deployment_without_a_revision_is_told_with_the_reason(
    cli: Cli, api: ApiStandIn, command: str, message: str | None, why: str
) -> None:
    deployed(api, ModelDeploymentStatus(phase=Phase.PENDING, message=message))
    result = cli(command, states.NAME)
    assert (result.code, result.err) == (3, f"error: support-chat has no revision yet: {why}\n")


def test_a_rejected_proposal_says_how_to_go_on(cli: Cli, api: ApiStandIn) -> None:
    old, new = revised(api, 1, "a"), revised(api, 2, "b")
    request = Request(
        number=2, digest=new, base=old, revision=2, state=RequestState.REJECTED, message="alice rejected revision 2"
    )
    deployed(api, ModelDeploymentStatus(phase=Phase.STABLE, stable=RevisionRole(revision=1, digest=old), request=request))
    out = cli("status", states.NAME).out
    assert "request   2, Rejected, revision 2: alice rejected revision 2" in out
    assert "    holdfast resume support-chat -n team-a" in out


def test_diff_of_the_first_revision_shows_its_template(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_first(api, chatTemplate={"text": "one\ntwo"})
    assert "  ~ chatTemplate.text:\n      @@ -0,0 +1,2 @@\n      +one\n      +two\n" in cli("diff", states.NAME).out
