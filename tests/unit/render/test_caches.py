"""How bytes get into pods with each type of cache: who writes, who may only read, and who may leave the pod."""

from typing import Any

import pytest

from holdfast.api.model import Model
from holdfast.api.names import LABEL_FETCHING
from holdfast.domain.artifacts import artifacts, artifacts_digest
from holdfast.render.deployment import engine_objects, problems, shared_objects
from unit.render.cases import CLAIM, MANY_PARTS, MINIMAL, MIXED, declared, owner, resolved, revision

Objects = dict[str, Any]
CACHES: dict[str, Objects] = {
    "EmptyDir": {},
    "PersistentVolumeClaim": {"cache": CLAIM},
    "Image": {"cache": {"type": "Image"}},
    "Volume": {"cache": {"type": "Volume"}},
}
with_every_cache = pytest.mark.parametrize("serving", CACHES.values(), ids=CACHES)


def objects(case: tuple[Model, tuple[str, ...]], **serving: Any) -> dict[str, Objects]:
    """The objects of the revision by kind; of each kind there is one at most."""
    model, paths = case
    found = engine_objects(owner(model, **serving), revision(model, paths), 1)
    by_kind = {each["kind"]: each for each in found}
    assert len(by_kind) == len(found)
    return by_kind


def pod(found: dict[str, Objects], kind: str = "Deployment") -> Objects:
    spec: Objects = found[kind]["spec"]["template"]["spec"]
    return spec


def mounts(container: Objects, volume: str) -> list[Objects]:
    return [mount for mount in container["volumeMounts"] if mount["name"] == volume]


def volume(spec: Objects, name: str) -> Objects:
    (found,) = [each for each in spec["volumes"] if each["name"] == name]
    rest: Objects = {key: value for key, value in found.items() if key != "name"}
    return rest


@with_every_cache
def test_every_part_of_a_model_is_verified_before_the_engine_and_read_only_in_it(serving: Objects) -> None:
    model, paths = MIXED
    spec = pod(objects(MIXED, **serving))
    parts = artifacts(resolved(model, paths))
    sees = {mount["mountPath"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    targets = ["/holdfast/model", "/holdfast/tokenizer", "/holdfast/adapters/legal"]
    assert all(sees[target]["readOnly"] for target in targets)
    args = [args for container in spec["initContainers"] for args in container["args"]]
    only = {arg.removeprefix("--only=") for arg in args if arg.startswith("--only=")}
    verifiers = [each for each in spec["initContainers"] if each["name"] != "identity"]
    whole = any(not any(arg.startswith("--only=") for arg in container["args"]) for container in verifiers)
    assert only | ({part.name for part in parts} if whole else set()) == {part.name for part in parts}


@with_every_cache
def test_the_key_of_seals_is_never_in_the_engine(serving: Objects) -> None:
    spec = pod(objects(MANY_PARTS, **serving))
    assert mounts(spec["containers"][0], "seal") == []


def test_each_pod_fetches_for_itself_without_a_cache() -> None:
    found = objects(MINIMAL["vllm"], mirror="https://mirror.example", registryCredentials={"name": "pull"})
    assert "Job" not in found
    weights, _identity = pod(found)["initContainers"]
    model, paths = MINIMAL["vllm"]
    assert weights["args"] == [
        "fetch",
        "--artifacts=/holdfast/revision/artifacts.json",
        f"--artifacts-digest={artifacts_digest(resolved(model, paths))}",
        "--verify=OnNode",
        "--directory=/holdfast/weights",
        "--seal-key-file=/holdfast/seal/key",
        "--registry-credentials=/holdfast/registry/config.json",
        "--mirror=https://mirror.example",
    ]
    assert volume(pod(found), "weights") == {"emptyDir": {}}


def test_a_job_fills_the_claim_and_nobody_else_writes_to_it() -> None:
    found = objects(MINIMAL["vllm"], cache=CLAIM, hubToken={"name": "hub", "key": "token"})
    (fetcher,) = pod(found, "Job")["containers"]
    assert fetcher["args"][0] == "fetch"
    assert "--token-file=/holdfast/token/token" in fetcher["args"]
    assert mounts(fetcher, "weights") == [{"name": "weights", "mountPath": "/holdfast/weights"}]
    weights, _identity = pod(found)["initContainers"]
    assert weights["args"][0] == "verify"
    assert {"--wait=7200", "--seals=/holdfast/seals"} <= set(weights["args"])
    assert mounts(weights, "weights") == [
        {"name": "weights", "mountPath": "/holdfast/weights", "readOnly": True},
        {"name": "weights", "mountPath": "/holdfast/seals", "subPath": "seals"},
    ]
    assert all(mount["readOnly"] for mount in mounts(pod(found)["containers"][0], "weights"))
    assert "token" not in {each["name"] for each in pod(found)["volumes"]}


def test_a_job_is_tried_for_as_long_as_it_takes() -> None:
    spec = objects(MINIMAL["vllm"], cache=CLAIM)["Job"]["spec"]
    assert (spec["backoffLimit"], spec["template"]["spec"]["restartPolicy"]) == (2**31 - 1, "OnFailure")
    assert not {"activeDeadlineSeconds", "ttlSecondsAfterFinished"} & spec.keys()


def test_a_job_runs_where_its_pods_may_run() -> None:
    serving = {"accelerator": {"resource": "nvidia.com/gpu", "count": 1, "product": "NVIDIA-L4"}, "cache": CLAIM}
    found = objects(MINIMAL["vllm"], **serving)
    for field in ("nodeSelector", "tolerations"):
        assert pod(found, "Job")[field] == pod(found)[field]
    assert "nvidia.com/gpu" not in str(pod(found, "Job")["containers"][0]["resources"])


@pytest.mark.parametrize(("mode", "one_node"), [(None, True), ("ReadWriteOnce", True), ("ReadWriteMany", False)])
def test_a_claim_for_one_node_keeps_all_its_pods_there(mode: str | None, one_node: bool) -> None:
    found = objects(MINIMAL["vllm"], cache=CLAIM | ({"accessMode": mode} if mode else {}))
    for spec in (pod(found), pod(found, "Job")):
        assert ("podAffinity" in spec.get("affinity", {})) is one_node
    if one_node:
        (term,) = pod(found)["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        selected = term["labelSelector"]["matchLabels"].items()
        assert selected <= found["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
        assert not selected <= found["Job"]["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("level", ["Always", "OnNode", "OnFetch"])
def test_how_often_bytes_are_hashed_is_told_to_every_container_that_verifies(level: str) -> None:
    spec = pod(objects(MIXED, cache=CLAIM | {"verify": level}))
    assert [f"--verify={level}" in container["args"] for container in spec["initContainers"][:-1]] == [True, True]


def test_what_is_an_image_is_pulled_by_the_node_and_verified_where_it_is_mounted() -> None:
    found = objects(MIXED, cache={"type": "Image"})
    spec = pod(found)
    reference = f"registry.example/models/chat@sha256:{'0' * 64}"
    assert volume(spec, "image-model") == {"image": {"reference": reference, "pullPolicy": "IfNotPresent"}}
    by_name = {container["name"]: container for container in spec["initContainers"]}
    assert list(by_name) == ["weights", "weights-model", "weights-tokenizer", "identity"]
    assert by_name["weights-model"]["args"][-2:] == ["--only=model", "--folder=/holdfast/images/model/models"]
    mount = {"mountPath": "/holdfast/model", "readOnly": True, "name": "image-model", "subPath": "models"}
    assert mounts(spec["containers"][0], "image-model") == [mount]


def test_an_image_is_verified_from_its_root_so_that_one_without_the_folder_is_told() -> None:
    """No container starts that mounts a folder which is not there, and none says so."""
    spec = pod(objects(MIXED, cache={"type": "Image"}))
    verifier = next(each for each in spec["initContainers"] if each["name"] == "weights-model")
    assert mounts(verifier, "image-model") == [{"mountPath": "/holdfast/images/model", "readOnly": True, "name": "image-model"}]


def test_what_is_no_image_is_fetched_with_image_volumes() -> None:
    found = objects(MIXED, cache={"type": "Image"})
    by_name = {container["name"]: container for container in pod(found)["initContainers"]}
    assert "--only=adapter-legal" in by_name["weights"]["args"]


def test_what_is_on_a_volume_is_never_copied_and_never_writable() -> None:
    spec = pod(objects(MIXED))
    assert volume(spec, "claim-tokenizer") == {"persistentVolumeClaim": {"claimName": "texts", "readOnly": True}}
    (mount,) = mounts(spec["containers"][0], "claim-tokenizer")
    assert (mount["mountPath"], mount["subPath"], mount["readOnly"]) == ("/holdfast/tokenizer", "chat/tokenizer", True)
    (verifier,) = [each for each in spec["initContainers"] if each["name"] == "weights-tokenizer"]
    assert verifier["args"][0] == "verify"
    assert verifier["args"][-2:] == ["--only=tokenizer", "--folder=/holdfast/tokenizer"]


def test_a_model_on_volumes_alone_needs_no_cache_no_key_and_no_way_out() -> None:
    case = (declared("VLLM", source={"volume": {"claimName": "models", "manifestDigest": f"sha256:{'1' * 64}"}}), ())
    found = objects(case, cache={"type": "Volume"})
    assert set(found) == {"ConfigMap", "Service", "Deployment"}
    assert {each["name"] for each in pod(found)["volumes"]} == {
        *("revision", "temporary", "claim-model", "shared-memory", "pod", "identity")
    }


def test_foreign_code_is_found_under_the_name_that_asks_for_it() -> None:
    found = objects(MANY_PARTS)
    engine = pod(found)["containers"][0]
    commit, folder = "c" * 40, "/holdfast/code/models--lab--code"
    sees = {mount["mountPath"]: mount for mount in engine["volumeMounts"]}
    assert sees[f"{folder}/snapshots/{commit}"]["readOnly"]
    reference = sees[f"{folder}/refs/main"]
    assert found["ConfigMap"]["data"][reference["subPath"]] == commit
    assert {"name": "HF_HUB_CACHE", "value": "/holdfast/code"} in engine["env"]


def test_private_registries_are_opened_for_images_as_well() -> None:
    found = objects(MINIMAL["vllm"], cache=CLAIM, registryCredentials={"name": "pull"})
    assert pod(found)["imagePullSecrets"] == pod(found, "Job")["imagePullSecrets"] == [{"name": "pull"}]


def policy_of(case: tuple[Model, tuple[str, ...]], **serving: Any) -> Objects:
    spec: Objects = objects(case, **serving)["NetworkPolicy"]["spec"]
    return spec


def ports(policy: Objects) -> set[int]:
    """The ports that are open outwards, name servers aside."""
    return {entry["port"] for rule in policy["egress"] for entry in rule["ports"]} - {53, 5353}


def test_an_engine_reaches_nothing() -> None:
    (policy,) = [each for each in shared_objects(owner(MINIMAL["vllm"][0])) if each["kind"] == "NetworkPolicy"]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy["spec"]


def test_a_pod_that_fetches_for_itself_is_let_out_by_a_label_that_no_selector_needs() -> None:
    found = objects(MINIMAL["vllm"])
    deployment = found["Deployment"]["spec"]
    marks, selected = deployment["template"]["metadata"]["labels"], deployment["selector"]["matchLabels"]
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == marks == selected | {LABEL_FETCHING: "true"}
    assert found["Service"]["spec"]["selector"] == selected


@pytest.mark.parametrize("name", ["PersistentVolumeClaim", "Volume"])
def test_a_pod_that_fetches_nothing_is_never_let_out(name: str) -> None:
    volume = {"volume": {"claimName": "models", "manifestDigest": f"sha256:{'1' * 64}"}}
    case = (declared("VLLM", source=volume), ()) if name == "Volume" else MINIMAL["vllm"]
    found = objects(case, **CACHES[name])
    assert LABEL_FETCHING not in found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    sidecar = pod(found)["initContainers"][-1]
    assert "startupProbe" not in sidecar
    assert not [arg for arg in sidecar["args"] if arg.startswith("--fetching")]


def test_the_engine_starts_when_its_sidecar_says_that_the_way_out_is_closed() -> None:
    spec = pod(objects(MINIMAL["vllm"]))
    sidecar = spec["initContainers"][-1]
    assert sidecar["startupProbe"]["httpGet"]["path"] == "/started"
    patience = next(int(arg.rpartition("=")[2]) for arg in sidecar["args"] if arg.startswith("--fetching-patience="))
    probe = sidecar["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] > 2 * patience, "the kubelet is more patient than the sidecar"
    (item,) = [each for each in volume(spec, "pod")["downwardAPI"]["items"] if each["path"] == "fetching"]
    assert item["fieldRef"]["fieldPath"] == f"metadata.labels['{LABEL_FETCHING}']"


def test_only_the_pods_of_the_job_reach_the_hub_with_a_claim() -> None:
    policy = policy_of(MINIMAL["vllm"], cache=CLAIM)
    assert policy["podSelector"]["matchLabels"]["holdfast.dev/component"] == "weights"
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    assert ports(policy) == {443}


def test_pods_that_fetch_for_themselves_reach_the_hub() -> None:
    policy = policy_of(MINIMAL["vllm"])
    assert policy["podSelector"]["matchLabels"]["holdfast.dev/component"] == "engine"
    assert policy["policyTypes"] == ["Egress"]
    assert ports(policy) == {443}


def test_a_mirror_at_another_port_opens_the_others() -> None:
    policy = policy_of(MINIMAL["vllm"], mirror="http://hub.models.svc:8080")
    assert {"port": 1, "endPort": 65535, "protocol": "TCP"} in policy["egress"][-1]["ports"]


def test_lists_that_do_not_fit_into_a_config_map_are_a_problem_with_a_way_out() -> None:
    paths = tuple(f"{number:05}-{'x' * 200}.safetensors" for number in range(4000))
    (problem,) = problems(resolved(declared("VLLM"), ("config.json", *paths)))
    assert problem.startswith("spec.model: its lists of 4001 files take ")
    assert "include" in problem
