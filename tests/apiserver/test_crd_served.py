"""What people and tools see of the three kinds: names, columns, selectors, scale and explanations."""

import itertools
from collections.abc import Iterator

import pytest

from apiserver.manifests import DIGEST, approval, changed, decision, deployment, path_of, revision
from apiserver.rest import Rest
from testbed import Testbed

pytestmark = pytest.mark.usefixtures("crds")

GROUP = "/apis/holdfast.dev/v1alpha1"
KINDS = ("modeldeployments", "modelrevisions", "modelapprovals")


@pytest.fixture
def namespace(admin: Rest, numbers: Iterator[int]) -> Iterator[str]:
    name = f"served-{next(numbers)}"
    admin.post("/api/v1/namespaces", {"metadata": {"name": name}}).must()
    yield name
    admin.delete(f"/api/v1/namespaces/{name}").must()


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return itertools.count()


def test_discovery_lists_short_names_category_and_subresources(admin: Rest) -> None:
    resources = {resource["name"]: resource for resource in admin.get(GROUP).must()["resources"]}
    assert {name: resources[name]["shortNames"] for name in KINDS} == {
        "modeldeployments": ["hmd"],
        "modelrevisions": ["hmr"],
        "modelapprovals": ["hma"],
    }
    assert {resources[name]["categories"][0] for name in KINDS} == {"holdfast"}
    assert {name for name in resources if "/" in name} == {f"{name}/status" for name in KINDS} | {"modeldeployments/scale"}


def test_columns_of_a_model_deployment(admin: Rest, namespace: str) -> None:
    manifest = deployment(namespace=namespace)
    stored = admin.post(path_of(manifest, collection=True), manifest).must()
    condition = {"lastTransitionTime": "2026-11-21T06:00:00Z", "message": "it is"}
    status = {
        "phase": "Soaking",
        "stable": {"revision": 7, "digest": DIGEST, "approvedBy": "alice"},
        "candidate": {
            "revision": 8,
            "digest": DIGEST,
            "startedAt": "2026-11-21T06:00:00Z",
            "weightIntent": 2500,
            "weightObserved": 2500,
        },
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Serving", **condition},
            {"type": "Approved", "status": "True", "reason": "Approved", **condition},
        ],
    }
    admin.put(path_of(manifest, subresource="status"), {**stored, "status": status}).must()
    table = admin.table(path_of(manifest)).must()
    row = dict(zip((column["name"] for column in table["columnDefinitions"]), table["rows"][0]["cells"], strict=True))
    shown = ("Name", "Phase", "Ready", "Stable", "Candidate", "Weight", "Approved")
    assert [row[name] for name in shown] == ["chat", "Soaking", "True", 7, 8, 2500, "Approved"]
    assert [column["name"] for column in table["columnDefinitions"] if column["priority"] == 0] == [*shown, "Age"]


def test_columns_of_a_revision_and_an_approval(admin: Rest, namespace: str) -> None:
    for manifest in (revision(namespace=namespace), approval(namespace=namespace)):
        admin.post(path_of(manifest, collection=True), manifest).must()
    table = admin.table(path_of(revision(namespace=namespace))).must()
    assert table["rows"][0]["cells"][:4] == ["chat-1", "chat", 1, "Qwen/Qwen2.5-7B-Instruct"]
    table = admin.table(path_of(approval(namespace=namespace))).must()
    assert table["rows"][0]["cells"][:5] == ["chat-start", "chat", "Approve", "Start", "alice"]


def test_approvals_are_selected_by_their_deployment(admin: Rest, namespace: str) -> None:
    for name in ("chat", "other"):
        manifest = approval(f"{name}-start", deployment=name, namespace=namespace)
        admin.post(path_of(manifest, collection=True), manifest).must()
    path = path_of(approval(namespace=namespace), collection=True)
    found = admin.get(path, fieldSelector="spec.target.name=other").must()["items"]
    assert [item["metadata"]["name"] for item in found] == ["other-start"]


def test_a_condition_is_told_apart_by_its_type(admin: Rest, namespace: str) -> None:
    manifest = deployment(namespace=namespace)
    stored = admin.post(path_of(manifest, collection=True), manifest).must()
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Serving",
        "lastTransitionTime": "2026-11-21T06:00:00Z",
        "message": "",
    }
    answer = admin.put(path_of(manifest, subresource="status"), {**stored, "status": {"conditions": [condition] * 2}})
    assert answer.status == 422
    assert "Duplicate value" in answer.message


def test_a_revision_takes_as_many_decisions_as_the_model_says(admin: Rest, namespace: str) -> None:
    """The rule that decisions are only added is within its cost, with the longest list and long texts."""
    manifest = revision(namespace=namespace)
    stored = admin.post(path_of(manifest, collection=True), manifest).must()
    decisions = [decision(f"uid-{number}", reason="x" * 1024, by="u" * 512) for number in range(256)]
    for count in (255, 256):
        status = {"decisions": decisions[:count]}
        stored = admin.put(path_of(manifest, subresource="status"), {**stored, "status": status}).must()


def test_a_revision_takes_as_many_files_as_the_model_says(admin: Rest, namespace: str) -> None:
    files = [{"path": f"{number:05}-{'x' * 40}", "size": number, "sha256": f"{number:064x}"} for number in range(10_000)]
    manifest = changed(revision(namespace=namespace), {"spec.model.source.files": files})
    admin.post(path_of(manifest, collection=True), manifest).must()


def test_a_model_deployment_takes_as_many_files_as_the_model_says(admin: Rest, namespace: str) -> None:
    """Every source with its longest list is within the cost of the rules; what an object may weigh comes first."""
    files = [{"path": f"{number:05}-{'x' * 40}", "size": number, "sha256": f"{number:064x}"} for number in range(500)]
    source = {"huggingFace": {"repository": "lab/model", "commit": "a" * 40, "files": files}}
    changes = {
        "spec.model.source": source,
        "spec.model.tokenizer": source,
        "spec.model.draftModel": {"source": source, "tokens": 3},
        "spec.model.adapters": [{"name": f"adapter-{letter}", "source": source} for letter in "abcdefgh"],
    }
    manifest = changed(deployment(namespace=namespace), changes)
    admin.post(path_of(manifest, collection=True), manifest).must()
    many = changed(manifest, {"spec.model.source": {"huggingFace": source["huggingFace"] | {"files": [*files, files[0]]}}})
    assert "must have at most 500 items" in admin.post(path_of(many, collection=True), many).message


@pytest.mark.parametrize("serving", [{"replicas": 1}, {"replicas": 1, "drainSeconds": 10}])
def test_scales_the_stable_revision(admin: Rest, namespace: str, serving: dict[str, int]) -> None:
    manifest = changed(deployment(namespace=namespace), {"spec.serving": serving})
    admin.post(path_of(manifest, collection=True), manifest).must()
    admin.patch(path_of(manifest, subresource="scale"), {"spec": {"replicas": 3}}).must()
    assert admin.get(path_of(manifest)).must()["spec"]["serving"] == {**serving, "replicas": 3}


def test_scale_is_bounded_like_the_field(admin: Rest, namespace: str) -> None:
    manifest = changed(deployment(namespace=namespace), {"spec.serving.replicas": 1})
    admin.post(path_of(manifest, collection=True), manifest).must()
    answer = admin.patch(path_of(manifest, subresource="scale"), {"spec": {"replicas": 1001}})
    assert answer.status == 422
    assert "spec.serving.replicas" in answer.message


def test_kubectl_explains_the_fields(bed: Testbed) -> None:
    explained = bed.kubectl.run("explain", "modeldeployments.spec.model.source.huggingFace.commit")
    assert "Full commit hash: 40 lower-case hex digits, never a branch or tag." in explained


def test_a_model_deployment_with_everything_at_its_longest_is_within_the_cost_of_its_rules(admin: Rest, namespace: str) -> None:
    labels = {f"{number:03}" + "x" * 60: "v" * 63 for number in range(32)}
    manifest = changed(
        deployment("a" * 40, namespace=namespace),
        {
            "spec.model.source.huggingFace.include": [f"{number:03}" + "y" * 253 for number in range(64)],
            "spec.model.engine.args": [f"--z{number:03}=" + "z" * 1017 for number in range(64)],
            "spec.model.engine.image": "registry.example/" + "a" * 400 + "@sha256:" + "1" * 64,
            "spec.model.chatTemplate": {"text": "t" * 65_536},
            "spec.serving": {
                "scheduling": {
                    "nodeSelector": labels,
                    "tolerations": [{"key": key, "value": "v", "effect": "NoSchedule"} for key in labels],
                },
                "resources": {"requests": {f"example.com/{n}": "1" * 32 for n in range(16)}},
            },
            "spec.rollout.steps": [{"weight": weight, "holdSeconds": 2_592_000} for weight in range(1, 21)],
            "spec.fallback.external": [
                {"name": f"{letter}" * 40, "url": "https://" + "h" * 400 + "/v1", "model": "m" * 128} for letter in "abcd"
            ],
        },
    )
    admin.post(path_of(manifest, collection=True), manifest).must()
