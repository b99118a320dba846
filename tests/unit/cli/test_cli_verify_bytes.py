"""holdfast verify asks every pod what its engine reports and what its bytes are, and takes no old answer for a new one."""

import json
from typing import Any

import pytest

from holdfast.api.names import ANNOTATION_VERIFY
from unit.cli.api_stand_in import ApiStandIn
from unit.cli.conftest import Cli
from unit.cli.running import NAME, POD, answering, change, served

WORD = "20261121T120000Z-00000000"


@pytest.fixture(autouse=True)
def word(cli: Cli) -> None:
    """What nobody can guess is always the same here."""
    cli.unique = lambda count: "00" * count


def test_every_pod_says_what_its_engine_reports_and_what_its_bytes_are(cli: Cli, api: ApiStandIn) -> None:
    served(api, replicas=2)
    answering(api)
    result = cli("verify", NAME)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[-5:] == [
        f"engine    Pod {POD}: the engine is what was approved (version 0.32.0)",
        f"bytes     Pod {POD}: model: verified 1 files, 1000 bytes by sha256",
        f"engine    Pod {POD}1: the engine is what was approved (version 0.32.0)",
        f"bytes     Pod {POD}1: model: verified 1 files, 1000 bytes by sha256",
        f"verified: what runs of {NAME} is what was approved",
    ]
    assert result.err == f"waiting for the pods of {NAME} to hash their bytes\n"


def test_the_question_is_taken_back(cli: Cli, api: ApiStandIn) -> None:
    served(api)
    answering(api)
    assert cli("verify", NAME).code == 0
    assert api.get("modeldeployments", NAME)["metadata"]["annotations"][ANNOTATION_VERIFY] is None


def test_without_bytes_nothing_is_changed_and_nobody_asked(cli: Cli, api: ApiStandIn) -> None:
    served(api)
    result = cli("verify", NAME, "--no-bytes")
    assert result.code == 0
    assert {request.split()[0] for request in api.requests} == {"GET"}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            {"outcome": "mismatch", "message": "model: a.gguf: expected x, found y", "ready": False},
            "bytes: Pod {}: model: a.gguf: expected x",
        ),
        ({"outcome": "unavailable", "message": "no such file"}, "bytes: Pod {}: they could not be read: no such file"),
        ({"ready": False, "engine": "servedName: expected a, the engine reports b"}, "engine: Pod {}: servedName: expected a"),
        ({"outcome": "nonsense"}, "bytes: Pod {}: they could not be read"),
    ],
)
def test_what_is_not_as_approved_fails(cli: Cli, api: ApiStandIn, said: dict[str, Any], told: str) -> None:
    served(api)
    answering(api, **said)
    result = cli("verify", NAME)
    assert result.code == 1
    assert told.format(POD) in result.err
    assert api.get("modeldeployments", NAME)["metadata"]["annotations"][ANNOTATION_VERIFY] is None
    data = json.loads(cli("verify", NAME, "-o", "json").out)
    assert (data["verified"], data["difference"]["about"]) == (False, f"Pod {POD}")


def test_a_sidecar_that_ended_over_it_is_understood(cli: Cli, api: ApiStandIn) -> None:
    """Its log began anew when its container did."""
    served(api)
    answering(api)
    handed_on = api.on_annotate
    assert handed_on is not None

    def ended(deployment: dict[str, Any]) -> None:
        handed_on(deployment)
        api.logs[POD, "identity"] = "started\n"
        message = json.dumps({"reason": "WeightsMismatch", "message": "model: a.gguf: found y"})
        statuses = api.get("pods", POD)["status"]["initContainerStatuses"]
        place = next(index for index, each in enumerate(statuses) if each["name"] == "identity")
        change(api, "pods", POD, "status", "initContainerStatuses", place, "lastState", to={"terminated": {"message": message}})

    api.on_annotate = ended
    result = cli("verify", NAME)
    assert result.code == 1
    assert f"bytes: Pod {POD}: model: a.gguf: found y" in result.err


def test_an_operator_that_is_away_is_said(cli: Cli, api: ApiStandIn) -> None:
    served(api)
    answering(api, told=False)
    cli.monotonic = iter(range(0, 10_000, 20)).__next__
    result = cli("verify", NAME)
    assert result.code == 4
    assert f"the operator did not hand the question on to Pod {POD}" in result.err
    assert "is it running?" in result.err


def test_a_pod_that_never_answers_ends_it(cli: Cli, api: ApiStandIn) -> None:
    served(api)
    answering(api, verify="another word")
    cli.monotonic = iter(range(0, 10_000, 20)).__next__
    result = cli("verify", NAME, "--timeout", "100")
    assert result.code == 4
    assert f"Pod {POD} did not answer within 100 s" in result.err


def test_a_pod_that_goes_need_not_answer(cli: Cli, api: ApiStandIn) -> None:
    served(api, replicas=2)
    answering(api)
    handed_on = api.on_annotate
    assert handed_on is not None

    def one_goes(deployment: dict[str, Any]) -> None:
        if deployment["metadata"]["annotations"][ANNOTATION_VERIFY] is not None:
            api.delete("pods", f"{POD}1")
        handed_on(deployment)

    api.on_annotate = one_goes
    result = cli("verify", NAME)
    assert result.code == 0, result.err
    assert [line.split(":")[0] for line in result.out.splitlines() if line.startswith("bytes")] == [f"bytes     Pod {POD}"]


def test_whoever_may_not_ask_is_told_so(cli: Cli, api: ApiStandIn) -> None:
    served(api)
    api.refusals["PATCH modeldeployments"] = (
        403,
        b'{"kind": "Status", "message": "modeldeployments is forbidden: no", "code": 403}',
    )
    result = cli("verify", NAME)
    assert result.code == 5
    assert "not allowed: no" in result.err
