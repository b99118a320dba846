"""Everything that goes wrong on the way to the cluster becomes one sentence and an exit code; no traceback reaches a person."""

import itertools
import json
import re
import socket
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from holdfast.api.approval import ModelApprovalSpec
from holdfast.cli.options import REASON_MAX_LENGTH
from unit.cli import states
from unit.cli.api_stand_in import REVIEWS, ApiStandIn
from unit.cli.conftest import Cli, write_kubeconfig

POLICY = (
    'modelapprovals.holdfast.dev "support-chat-2-start-x" is forbidden: ValidatingAdmissionPolicy '
    "'holdfast-10-approvals' with binding 'holdfast-10-approvals' denied request: "
    "user mallory may not Approve on modeldeployments.holdfast.dev/support-chat"
)


def _status(code: int, message: str, reason: str = "", kind: str = "") -> tuple[int, bytes]:
    details = {"kind": kind, "group": "holdfast.dev"} if kind else {}
    return code, json.dumps({"kind": "Status", "message": message, "reason": reason, "details": details, "code": code}).encode()


@pytest.mark.parametrize(
    ("refusal", "code", "said"),
    [
        (
            _status(403, POLICY, "Forbidden", "modelapprovals"),
            5,
            "not allowed: user mallory may not Approve on modeldeployments.holdfast.dev/support-chat",
        ),
        (
            _status(
                403, 'modelapprovals.holdfast.dev is forbidden: User "eve" cannot create resource', "Forbidden", "modelapprovals"
            ),
            5,
            'not allowed: User "eve" cannot create resource',
        ),
        (
            _status(401, "Unauthorized", "Unauthorized"),
            5,
            "does not accept the credentials in kubeconfig: Unauthorized; log in again",
        ),
        (
            _status(422, 'ModelApproval "" is invalid: spec.gate: Invalid value: "x": an Approve names its gate', "Invalid"),
            1,
            'the API server refused the ModelApproval: spec.gate: Invalid value: "x": an Approve names its gate',
        ),
        (
            _status(404, 'namespaces "team-a" not found', "NotFound", "namespaces"),
            3,
            'not found: namespaces "team-a" not found',
        ),
        (_status(500, "etcdserver: request timed out"), 6, "could not answer (HTTP 500): etcdserver: request timed out"),
        (_status(429, "too many requests"), 6, "could not answer (HTTP 429): too many requests"),
        ((503, b"<html>upstream   down</html>"), 6, "could not answer (HTTP 503): <html>upstream down</html>"),
        ((200, b"<html>hello</html>"), 1, "answered with something that is not JSON; is it a Kubernetes API server?"),
        ((200, b"[]"), 1, "answered with something that is not an object; is it a Kubernetes API server?"),
    ],
)
def test_what_the_api_server_refuses_is_one_sentence(
    cli: Cli, api: ApiStandIn, refusal: tuple[int, bytes], code: int, said: str
) -> None:
    states.proposed_second(api)
    api.refusals["POST modelapprovals"] = refusal
    result = cli("approve", states.NAME, "--yes")
    assert result.code == code
    assert result.err.startswith("error: ")
    assert said in result.err
    assert len(result.err.splitlines()) == 1
    assert api.approvals() == []


def test_a_cluster_without_holdfast_is_told_apart_from_a_missing_object(cli: Cli, api: ApiStandIn) -> None:
    api.refusals["GET modeldeployments"] = (404, b"404 page not found\n")
    result = cli("status", "support-chat")
    assert result.code == 3
    assert "has no modeldeployments.holdfast.dev: Holdfast is not installed there" in result.err


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        *itertools.product(
            [("status",), ("status", "--watch"), ("history", "support-chat")],
            [b"{}", b'{"items": []}', b'{"kind": "List"}', b'{"kind": "List", "items": 7}', b"null", b'"hello"'],
        ),
        *itertools.product([("status", "support-chat")], [b"{}", b'{"items": []}', b"null"]),
    ],
)
def test_a_server_of_another_kind_is_told_from_a_bug(cli: Cli, api: ApiStandIn, command: tuple[str, ...], answer: bytes) -> None:
    api.refusals["GET modeldeployments"] = api.refusals["GET modelrevisions"] = (200, answer)
    result = cli(*command)
    assert result.code == 1
    assert "is it a Kubernetes API server?" in result.err


@pytest.mark.parametrize(
    "answer", [b'{"kind": "SelfSubjectReview"}', b'{"kind": "SelfSubjectReview", "status": {"userInfo": {}}}']
)
def test_a_server_that_knows_no_name_gets_no_decision(cli: Cli, api: ApiStandIn, answer: bytes) -> None:
    states.proposed_second(api)
    api.refusals[f"POST {REVIEWS}"] = (201, answer)
    result = cli("approve", states.NAME, "--yes")
    assert (result.code, api.approvals()) == (1, [])
    assert "did not say who you are" in result.err


def test_a_cluster_that_does_not_say_who_you_are_gets_no_decision(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_second(api)
    api.refusals[f"POST {REVIEWS}"] = _status(403, "selfsubjectreviews is forbidden: User may not", "Forbidden")
    result = cli("approve", states.NAME, "--yes")
    assert (result.code, api.approvals()) == (5, [])


def test_a_cluster_that_is_not_there(bare_cli: Cli, home: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        bare_cli.environ["KUBECONFIG"] = str(write_kubeconfig(home / "kubeconfig", url))
        result = bare_cli("status")
    assert result.code == 6
    assert result.err == f"error: cannot list modeldeployments at {url}: the connection was refused; is the cluster running?\n"


def test_a_name_that_does_not_resolve(bare_cli: Cli, home: Path) -> None:
    bare_cli.environ["KUBECONFIG"] = str(write_kubeconfig(home / "kubeconfig", "http://cluster.invalid:6443"))
    result = bare_cli("status")
    assert result.code == 6
    assert "at http://cluster.invalid:6443: its name cannot be resolved; is the context the right one?" in result.err


def test_a_port_that_speaks_no_tls(bare_cli: Cli, api: ApiStandIn, home: Path) -> None:
    bare_cli.environ["KUBECONFIG"] = str(write_kubeconfig(home / "kubeconfig", api.url.replace("http:", "https:")))
    result = bare_cli("status")
    assert result.code == 6
    assert result.err.startswith("error: cannot list modeldeployments at https://127.0.0.1:")
    assert len(result.err.splitlines()) == 1


def test_a_machine_without_kubeconfig(bare_cli: Cli, home: Path) -> None:
    result = bare_cli("status")
    assert result.code == 6
    assert result.err == f"error: no kubeconfig at {home}/.kube/config; set KUBECONFIG or give --kubeconfig, as for kubectl\n"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "",
        "[]",
        "[a]",
        "kind: Config\n",
        "just text",
        "a: b: c",
        "current-context: a\ncontexts: []\nclusters: []\nusers: []\n",
        "{current-context: a, contexts: [{name: a, context: {cluster: a}}], clusters: [{name: a, cluster: {server: 17}}]}",
        "{current-context: a, contexts: [{name: a, context: {cluster: a}}], clusters: [{name: a, cluster: {}}]}",
        "{current-context: a, contexts: [{name: a, context: {cluster: a}}], clusters: [{name: a, cluster: {server: 'ftp://a'}}]}",
        "{current-context: a, contexts: 7, clusters: 7}",
        "\x00",
    ],
)
def test_a_malformed_kubeconfig_is_named(bare_cli: Cli, home: Path, content: str) -> None:
    path = home / "broken"
    path.write_text(content)
    result = bare_cli("status", "--kubeconfig", str(path))
    assert result.code == 6
    assert result.err.startswith(f"error: kubeconfig {path} cannot be used: ")
    assert len(result.err.splitlines()) == 1
    assert not re.search("' object|indices|attribute|iterable", result.err), "the words of Python"


def test_a_context_of_an_unknown_user_asks_nothing_as_nobody(cli: Cli, api: ApiStandIn, home: Path) -> None:
    path = write_kubeconfig(home / "kubeconfig", api.url)
    path.write_text(path.read_text().replace("user: me", "user: eve"))
    result = cli("status")
    assert (result.code, api.requests) == (6, [])
    assert result.err == f"error: kubeconfig {path} cannot be used: the context names the user eve, who is not in it\n"


def test_a_kubeconfig_that_is_not_there_is_named(bare_cli: Cli) -> None:
    result = bare_cli("status", "--kubeconfig", "/nonexistent/config")
    assert (result.code, result.err) == (6, "error: kubeconfig /nonexistent/config does not exist\n")


def test_an_unknown_context_is_named(cli: Cli) -> None:
    result = cli("status", "--context", "elsewhere")
    assert result.code == 6
    assert "elsewhere" in result.err


def test_several_kubeconfigs_are_merged(cli: Cli, api: ApiStandIn, home: Path) -> None:
    states.stable(api)
    cli.environ["KUBECONFIG"] = f"{home}/absent:{cli.environ['KUBECONFIG']}"
    assert cli("status", states.NAME).code == 0


def test_the_namespace_of_the_option_wins(cli: Cli) -> None:
    assert cli("status", "-n", "team-b").err == "no ModelDeployment in the namespace 'team-b'\n"


def test_a_credential_plugin_that_fails_is_an_error_and_no_anonymous_request(cli: Cli, api: ApiStandIn, home: Path) -> None:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/bin/sh",
        "args": ["-c", "echo not logged in >&2; exit 1"],
    }
    cli.environ["KUBECONFIG"] = str(write_kubeconfig(home / "kubeconfig", api.url, exec=plugin))
    result = cli("status")
    assert result.code == 6
    assert "the credentials could not be obtained: exec: process returned 1. not logged in" in result.err
    assert api.requests == []


def test_a_kubeconfig_that_impersonates_decides_in_that_name_as_kubectl_does(cli: Cli, api: ApiStandIn, home: Path) -> None:
    cli.environ["KUBECONFIG"] = str(write_kubeconfig(home / "kubeconfig", api.url, token="t", **{"as": "bob"}))
    assert cli("status").code == 0
    assert all(headers["impersonate-user"] == "bob" for headers in api.headers)


def test_impersonated_groups_are_refused_before_anything_is_sent(cli: Cli, api: ApiStandIn, home: Path) -> None:
    user = {"token": "t", "as": "bob", "as-groups": ["admins"]}
    cli.environ["KUBECONFIG"] = str(write_kubeconfig(home / "kubeconfig", api.url, **user))
    assert cli("status").code == 6
    assert api.requests == []


def test_the_token_is_sent_and_never_shown(cli: Cli, api: ApiStandIn) -> None:
    api.refusals["GET modeldeployments"] = _status(401, "Unauthorized")
    result = cli("status", "--verbose")
    assert api.headers[0]["authorization"] == "Bearer not-a-secret"
    assert "not-a-secret" not in result.out + result.err


def test_verbose_shows_the_causes(bare_cli: Cli, home: Path) -> None:
    bare_cli.environ["KUBECONFIG"] = str(write_kubeconfig(home / "kubeconfig", "http://cluster.invalid:6443"))
    assert "because" not in bare_cli("status").err
    assert "  because NameResolutionError: " in bare_cli("status", "--verbose").err


def test_a_bug_is_reported_without_a_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.cli.cluster.Cluster.deployments", lambda _: [{"metadata": {}}])
    result = cli("status")
    assert result.code == 70
    assert result.err == "error: a bug in holdfast: KeyError: 'name'; run it again with --verbose and report both\n"
    assert "Traceback" in cli("status", "--verbose").err


def test_an_interrupt_while_waiting_says_that_the_decision_stays(cli: Cli, api: ApiStandIn) -> None:
    states.proposed_second(api)

    def interrupt() -> float:
        if api.approvals():
            raise KeyboardInterrupt
        return 0.0

    cli.monotonic = interrupt
    result = cli("approve", states.NAME, "--yes")
    assert result.code == 130
    look = "kubectl -n team-a get modelapprovals.holdfast.dev support-chat-2-start-00000"  # the history has accepted ones only
    assert f"support-chat-2-start-00000 is made; see what becomes of it: {look}\n" in result.err


@pytest.mark.parametrize(
    "arguments",
    [["frobnicate"], ["approve"], ["approve", "a", "b"], ["status", "-o", "xml"], ["approve", "a", "--gate", "Middle"]],
)
def test_a_wrong_call_is_told_apart(cli: Cli, arguments: list[str]) -> None:
    result = cli(*arguments)
    assert result.code == 2
    assert "Usage: holdfast" in result.err


@pytest.mark.parametrize("name", ["", " ", "modeldeployment/support-chat", "../x", "a,b=c", "Support-Chat", "-", "x" * 64 + "!"])
@pytest.mark.parametrize("command", ["status", "diff", "history", "approve", "fallback", "verify"])
def test_what_cannot_be_a_name_is_refused_before_anything_is_asked(cli: Cli, api: ApiStandIn, command: str, name: str) -> None:
    result = cli(command, "--", name)
    assert result.code == 2
    assert f"Invalid value for 'NAME': {name!r} is not a name" in result.err
    assert api.requests == []


@pytest.mark.parametrize("command", ["approve", "reject", "abort", "fallback", "resume"])
def test_a_reason_that_would_not_be_kept_is_refused_before_anything_is_asked(cli: Cli, api: ApiStandIn, command: str) -> None:
    result = cli(command, states.NAME, "--yes", "--reason", "x" * (REASON_MAX_LENGTH + 1))
    assert result.code == 2
    assert "it has 1025 characters, and 1024 are the most; link to what is longer" in result.err
    assert api.requests == []


def test_the_longest_reason_is_kept(cli: Cli, api: ApiStandIn) -> None:
    states.tried(api)
    states.accepts(api)
    assert cli("abort", states.NAME, "--yes", "--reason", "x" * REASON_MAX_LENGTH).code == 0
    assert states.made(api)["reason"] == "x" * REASON_MAX_LENGTH


def test_the_longest_reason_is_the_one_of_the_kind() -> None:
    with pytest.raises(ValidationError):
        _approval("x" * (REASON_MAX_LENGTH + 1))
    assert _approval("x" * REASON_MAX_LENGTH).reason


def _approval(reason: str) -> ModelApprovalSpec:
    who = {"username": "alice"}
    return ModelApprovalSpec.parse({"decision": "Fallback", "target": {"name": "chat"}, "approver": who, "reason": reason})


def test_the_stand_in_is_strict(api: ApiStandIn, cli: Cli, home: Path) -> None:
    config = yaml.safe_load((home / "kubeconfig").read_text())
    config["clusters"][0]["cluster"]["server"] = api.url + "/prefix"
    (home / "kubeconfig").write_text(yaml.safe_dump(config))
    assert cli("status").code == 3
    assert api.unexpected == ["GET /prefix/apis/holdfast.dev/v1alpha1/namespaces/team-a/modeldeployments?limit=500"]
    api.unexpected.clear()
