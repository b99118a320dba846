"""holdfast verify: each link between what a person approved and what runs is looked at, and the first that is broken is named."""

import json
from typing import Any

import pytest
import yaml

from unit.cli.api_stand_in import ApiStandIn
from unit.cli.conftest import Cli
from unit.cli.running import ENGINE, NAME, POD, change, pinned, run, served

CONFIG = f"holdfast-revision-{ENGINE}"
POLICY = f"holdfast-engine-{NAME}"


def test_what_is_as_it_was_approved_is_said_link_by_link(cli: Cli, api: ApiStandIn) -> None:
    digest = served(api, replicas=2)
    result = cli("verify", NAME, "--no-bytes")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == (
        f"identity  ModelRevision {ENGINE}: {digest[:15]} is what it holds; "
        "alice@example.com approved its start on 2026-11-21T10:00:00Z with start-1"
    )
    assert f"objects   Deployment {ENGINE}: as Holdfast renders it" in lines
    assert f"objects   NetworkPolicy {POLICY}: as Holdfast renders it" in lines
    assert f"objects   ConfigMap {CONFIG}: as Holdfast renders it" in lines
    pods = [line for line in lines if line.startswith("pods")]
    assert pods == [
        f"pods      Pod {name}: runs sha256:{'e' * 12} as rendered; model: verified 1 files, 1000 bytes"
        for name in (POD, f"{POD}1")
    ]
    assert lines[-1] == f"verified: what runs of {NAME} is what was approved"


def test_the_same_as_data(cli: Cli, api: ApiStandIn) -> None:
    served(api)
    as_json = json.loads(cli("verify", NAME, "--no-bytes", "-o", "json").out)
    assert as_json == yaml.safe_load(cli("verify", NAME, "--no-bytes", "-o", "yaml").out)
    assert (as_json["verified"], as_json["difference"]) == (True, None)
    assert {each["check"] for each in as_json["checks"]} == {"identity", "objects", "pods"}


def test_a_claim_with_its_job_that_has_ended_is_as_rendered(cli: Cli, api: ApiStandIn) -> None:
    served(api, cache={"type": "PersistentVolumeClaim", "size": "1Gi"})
    change(api, "jobs", f"{ENGINE}-weights", "status", to={"conditions": [{"type": "Complete", "status": "True"}]})
    change(api, "jobs", f"{ENGINE}-weights", "spec", "suspend", to=True)
    result = cli("verify", NAME, "--no-bytes")
    assert result.code == 0, result.err
    assert f"objects   Job {ENGINE}-weights: it has ended, and runs nothing any more" in result.out.splitlines()


BROKEN: dict[str, tuple[tuple[Any, ...], Any, str]] = {
    "another model under the same digest": (
        ("modelrevisions", ENGINE, "spec", "model", "servedName"),
        "another",
        f"identity: ModelRevision {ENGINE}: it holds v1:",
    ),
    "another digest in the status": (
        ("modeldeployments", NAME, "status", "stable", "digest"),
        f"v1:{'0' * 64}",
        f"identity: ModelRevision {ENGINE}: its digest is v1:",
    ),
    "nobody approved it": (("modelrevisions", ENGINE, "status", "decisions"), [], "no record of anybody who approved its start"),
    "never promoted": (("modelrevisions", ENGINE, "status", "promotedAt"), None, "was never promoted"),
    "the approval is about something else": (
        ("modelapprovals", "start-1", "spec", "target", "digest"),
        f"v1:{'0' * 64}",
        f"ModelApproval start-1, recorded as its approval, is about v1:{'0' * 64}",
    ),
    "the approval was made by somebody else": (
        ("modelapprovals", "start-1", "spec", "approver", "username"),
        "mallory",
        "ModelApproval start-1 was made by mallory, and is recorded as alice@example.com's",
    ),
    "another argument": (
        ("deployments", ENGINE, "spec", "template", "spec", "containers", 0, "args", 0),
        "--evil",
        f"objects: Deployment {ENGINE}: spec.template.spec.containers.0.args.0: '--evil' instead of",
    ),
    "another list of files": (
        ("configmaps", CONFIG, "data", "artifacts.json"),
        "{}",
        f"objects: ConfigMap {CONFIG}: data.artifacts.json: '{{}}' instead of",
    ),
    "an open wall": (
        ("networkpolicies", POLICY, "spec", "policyTypes"),
        ["Ingress"],
        f"objects: NetworkPolicy {POLICY}: spec.policyTypes: 1 items instead of 2",
    ),
    "a public service": (
        ("services", ENGINE, "spec", "externalIPs"),
        ["192.0.2.1"],
        f"objects: Service {ENGINE}: spec.externalIPs: ['192.0.2.1'], which Holdfast did not set",
    ),
    "somebody else's service": (
        ("services", ENGINE, "metadata", "ownerReferences"),
        [],
        f"objects: Service {ENGINE}: it is not the operator's: nobody controls it",
    ),
    "a pod with another argument": (
        ("pods", POD, "spec", "containers", 0, "args", 0),
        "--evil",
        f"pods: Pod {POD}: spec.containers.0.args.0: '--evil' instead of",
    ),
    "a pod with another variable": (
        ("pods", POD, "spec", "containers", 0, "env"),
        [{"name": "EVIL", "value": "1"}],
        f"pods: Pod {POD}: spec.containers.0.env",
    ),
    "a pod with another volume": (
        ("pods", POD, "spec", "volumes", 0),
        {"name": "revision", "hostPath": {"path": "/"}},
        f"pods: Pod {POD}: spec.volumes.0",
    ),
    "a debugging container": (
        ("pods", POD, "spec", "ephemeralContainers"),
        [{"name": "debugger", "image": "x"}],
        f"pods: Pod {POD}: spec.ephemeralContainers",
    ),
    "an image that nobody knows": (
        ("pods", POD, "status", "containerStatuses", 0, "imageID"),
        "",
        f"pods: Pod {POD}: the engine runs from the image that nobody knows, and sha256:{'e' * 64} is pinned",
    ),
    "a pod that nobody controls": (
        ("pods", POD, "metadata", "ownerReferences"),
        [],
        f"pods: Pod {POD}: it is labelled as an engine, and nobody controls it",
    ),
    "a pod of somebody else's": (
        ("replicasets", f"{ENGINE}-5d8f", "metadata", "ownerReferences"),
        [{"kind": "Deployment", "name": "other", "uid": "other", "controller": True}],
        "which controls it, is of no engine of this deployment",
    ),
    "unverified weights": (
        ("pods", POD, "status", "initContainerStatuses", 0, "state"),
        {"running": {}},
        "its engine runs, and its container weights has not ended well",
    ),
    "weights that were found to differ": (
        ("pods", POD, "status", "initContainerStatuses", 0, "state", "terminated", "message"),
        '{"reason": "WeightsMismatch", "message": "model: a.gguf: expected x, found y"}',
        "its container weights said WeightsMismatch: model: a.gguf: expected x, found y",
    ),
    "a pod in quarantine": (
        ("pods", POD, "metadata", "annotations"),
        {"holdfast.dev/quarantine": "spec.containers.0.image"},
        f"pods: Pod {POD}: it is kept out of traffic: spec.containers.0.image",
    ),
    "nothing that runs": (
        ("pods", POD, "status"),
        {"phase": "Pending"},
        f"pods: Deployment {ENGINE}: no pod of it runs, and its revision serves",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_the_first_difference_is_named_and_fails(cli: Cli, api: ApiStandIn, broken: str) -> None:
    (resource, name, *path), value, told = BROKEN[broken]
    served(api)
    assert cli("verify", NAME, "--no-bytes").code == 0
    change(api, resource, name, *path, to=value)
    result = cli("verify", NAME, "--no-bytes")
    assert result.code == 1
    assert told in result.err
    assert "verified:" not in result.out
    data = cli("verify", NAME, "--no-bytes", "-o", "json")
    assert data.code == 1
    assert not json.loads(data.out)["verified"]
    assert json.loads(data.out)["difference"]["message"] in result.err


@pytest.mark.parametrize(
    ("resource", "name", "told"),
    [
        ("modelrevisions", ENGINE, "it is gone, and the deployment's status names it"),
        ("configmaps", CONFIG, f"ConfigMap {CONFIG}: it is missing"),
        ("networkpolicies", POLICY, f"NetworkPolicy {POLICY}: it is missing"),
        ("deployments", ENGINE, f"objects: Deployment {ENGINE}: it is missing, and its revision serves"),
        ("pods", POD, "no pod of it runs"),
    ],
)
def test_what_is_missing_is_a_difference(cli: Cli, api: ApiStandIn, resource: str, name: str, told: str) -> None:
    served(api)
    api.delete(resource, name)
    result = cli("verify", NAME, "--no-bytes")
    assert result.code == 1
    assert told in result.err


def test_another_image_behind_the_reference_is_a_difference(cli: Cli, api: ApiStandIn) -> None:
    served(api)
    recorded = {"imagePlatforms": [{"platform": "linux/amd64", "digest": pinned("amd64").rpartition("@")[2]}]}
    change(api, "modelrevisions", ENGINE, "spec", "recorded", to=recorded)
    change(api, "pods", POD, "status", "containerStatuses", 0, "imageID", to=pinned("other"))
    result = cli("verify", NAME, "--no-bytes")
    assert result.code == 1
    assert f"the engine runs from the image {pinned('other').rpartition('@')[2]}, and sha256:{'e' * 64} is pinned" in result.err


def test_a_recorded_image_of_a_platform_is_the_pinned_one(cli: Cli, api: ApiStandIn) -> None:
    served(api)
    platform = pinned("amd64").rpartition("@")[2]
    recorded = {"imagePlatforms": [{"platform": "linux/amd64", "digest": platform}]}
    change(api, "modelrevisions", ENGINE, "spec", "recorded", to=recorded)
    change(api, "pods", POD, "status", "containerStatuses", 0, "imageID", to=pinned("amd64"))
    assert cli("verify", NAME, "--no-bytes").code == 0


def test_an_approval_that_was_deleted_leaves_its_record(cli: Cli, api: ApiStandIn) -> None:
    served(api)
    api.delete("modelapprovals", "start-1")
    result = cli("verify", NAME, "--no-bytes")
    assert result.code == 0
    assert "approved its start on 2026-11-21T10:00:00Z\n" in result.out


def test_a_pod_that_starts_is_compared_and_not_awaited(cli: Cli, api: ApiStandIn) -> None:
    served(api)
    run(api, f"{POD}2")
    change(api, "pods", f"{POD}2", "status", to={"phase": "Pending"})
    result = cli("verify", NAME, "--no-bytes")
    assert result.code == 0, result.err
    assert f"pods      Pod {POD}2: it does not run yet; what it is about to run is what was rendered" in result.out


def test_without_anything_approved_there_is_nothing_to_verify(cli: Cli, api: ApiStandIn) -> None:
    api.put("modeldeployments", NAME, spec={"model": {}}, status={"phase": "AwaitingApproval", "message": "waits for its owner"})
    result = cli("verify", NAME, "--no-bytes")
    assert result.code == 3
    assert result.err == f"error: nothing of {NAME} is approved, so nothing runs: waits for its owner\n"
