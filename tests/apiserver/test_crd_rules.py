"""Every rule of the three kinds accepts what it should and refuses what it should, on the real API server."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.crd_cases import Case, Changes
from apiserver.crd_decision_cases import APPROVAL_CASES, REVISION_CASES
from apiserver.crd_deployment_cases import DEPLOYMENT_CASES, ENGINE, HUB, SERVING, steps, variables
from apiserver.manifests import (
    ABSENT,
    COMMIT,
    approval,
    changed,
    deployment,
    path_of,
    revision,
)
from apiserver.rest import Answer, Rest
from holdfast.api import engine_environment
from holdfast.api.crd_schema import walk
from holdfast.api.engine_arguments import FREE, REFUSED, refusal

CRDS = Path(__file__).parents[2] / "crds"
OBJECTS = {"ModelDeployment": deployment(), "ModelApproval": approval(), "ModelRevision": revision()}


CASES = DEPLOYMENT_CASES + APPROVAL_CASES + REVISION_CASES


def committed_rules() -> Iterator[tuple[str, str]]:
    for file in CRDS.glob("*.yaml"):
        definition = yaml.safe_load(file.read_text())
        for _, node in walk(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]):
            for rule in node.get("x-kubernetes-validations", []):
                yield definition["spec"]["names"]["kind"], rule["message"]


def test_every_rule_has_a_case() -> None:
    """No rule without an accepting and a refusing case, and no case without a rule."""
    assert sorted(committed_rules()) == sorted((case.kind, case.message) for case in CASES)
    assert all(case.accepts and case.refuses for case in CASES)


def send(admin: Rest, case: Case, changes: Changes, counter: Iterator[int]) -> Answer:
    """Create the changed object, or store the object as it was before and change it."""
    manifest = OBJECTS[case.kind]
    if not case.before:
        return admin.post(path_of(changed(manifest, changes), collection=True), changed(manifest, changes), dryRun="All")
    number = next(counter)
    named = {"metadata.name": f"chat-{number}"} | ({"spec.number": number} if case.kind == "ModelRevision" else {})
    before = changed(manifest, {**case.before, **named})
    stored = admin.post(path_of(before, collection=True), before).must()
    subresource = "status" if "status" in before else ""
    if subresource:
        stored = admin.put(path_of(before, subresource="status"), {**stored, "status": before["status"]}).must()
    return admin.put(path_of(before, subresource=subresource), changed(stored, changes), dryRun="All")


@pytest.fixture(scope="module")
def counter() -> Iterator[int]:
    return itertools.count(100)


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(
    ("case", "changes"),
    [pytest.param(case, changes, id=f"{case.message[:60]}-{n}") for case in CASES for n, changes in enumerate(case.accepts)],
)
def test_accepts(admin: Rest, counter: Iterator[int], case: Case, changes: Changes) -> None:
    send(admin, case, changes, counter).must()


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(
    ("case", "changes", "says"),
    [
        pytest.param(case, changes, says, id=f"{case.message[:60]}-{n}")
        for case in CASES
        for n, (changes, says) in enumerate(case.refuses)
    ],
)
def test_refuses_and_says_what_to_write(admin: Rest, counter: Iterator[int], case: Case, changes: Changes, says: str) -> None:
    answer = send(admin, case, changes, counter)
    assert answer.status == 422
    causes = [cause["message"] for cause in answer.body["details"]["causes"]]
    assert len(causes) == 1, causes
    assert says in causes[0]


@pytest.mark.usefixtures("crds")
def test_refuses_exactly_the_arguments_that_the_renderers_refuse(admin: Rest) -> None:
    """The table of refused arguments and the rules made from it agree, also on beginnings of names and on ``--no-``."""
    for engine, flags in REFUSED.items():
        for flag in flags:
            whole = flag.removesuffix("*") + ("x" if flag.endswith("*") else "")
            for argument in (whole, whole + "=1", whole[:-1], "--no-" + whole[2:], whole + ".key=1"):
                manifest = changed(deployment(), {f"{ENGINE}.type": engine.value, f"{ENGINE}.args": [argument]})
                answer = admin.post(path_of(manifest, collection=True), manifest, dryRun="All")
                why = refusal(engine, argument)
                assert answer.ok == (why is None), (engine, argument, answer.message)
                assert why is None or why in answer.message, (engine, argument, answer.message)


@pytest.mark.usefixtures("crds")
def test_lets_whole_names_pass_that_a_refused_flag_begins_with(admin: Rest) -> None:
    for engine, flags in FREE.items():
        for flag in flags:
            manifest = changed(deployment(), {f"{ENGINE}.type": engine.value, f"{ENGINE}.args": [f"{flag}=x"]})
            answer = admin.post(path_of(manifest, collection=True), manifest, dryRun="All")
            assert answer.ok, (engine, flag, answer.message)


@pytest.mark.usefixtures("crds")
def test_refuses_exactly_the_variables_that_the_renderers_refuse(admin: Rest) -> None:
    for engine, refused in engine_environment.REFUSED.items():
        names = {pattern.replace("*", "X") for pattern in refused} | {"X" + pattern.replace("*", "") for pattern in refused}
        for name in sorted(names | {"OMP_NUM_THREADS", "VLLM_BATCH_INVARIANT", "CUDA_LAUNCH_BLOCKING"}):
            manifest = changed(deployment(), {f"{ENGINE}.type": engine.value, f"{ENGINE}.env": variables(name)})
            answer = admin.post(path_of(manifest, collection=True), manifest, dryRun="All")
            why = engine_environment.refusal(engine, name)
            assert answer.ok == (why is None), (engine, name, answer.message)
            assert why is None or f"{name}: {why}" in answer.message, (engine, name, answer.message)


SCHEMA_REFUSALS: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("a kind without a model", "ModelDeployment", {"spec.model": ABSENT}, "spec.model: Required value"),
    ("an object without a spec", "ModelDeployment", {"spec": ABSENT}, "spec: Required value"),
    ("no repository", "ModelDeployment", {f"{HUB}.repository": ABSENT}, f"{HUB}.repository: Required value"),
    ("an unknown engine", "ModelDeployment", {f"{ENGINE}.type": "Ollama"}, 'supported values: "VLLM", "TGI", "SGLang", "LlamaCpp"'),
    ("an external endpoint named twice", "ModelDeployment", {"spec.fallback.external": [
        {"name": "other", "url": "https://a.example"}, {"name": "other", "url": "https://b.example"}]}, "Duplicate value"),
    ("five external endpoints", "ModelDeployment", {"spec.fallback.external": [
        {"name": f"e{letter}", "url": "https://a.example"} for letter in "abcde"]}, "must have at most 4 items"),
    ("twenty-one steps", "ModelDeployment", dict(steps(*range(1, 22))), "must have at most 20 items"),
    ("a step of the whole traffic", "ModelDeployment", dict(steps(100)), "should be less than or equal to 99"),
    ("sixty-five arguments", "ModelDeployment", {f"{ENGINE}.args": [f"--a{n}" for n in range(65)]}, "must have at most 64 items"),
    ("a replica count as text", "ModelDeployment", {f"{SERVING}.replicas": "two"}, 'must be of type integer: "string"'),
    ("no person", "ModelApproval", {"spec.approver": ABSENT}, "spec.approver: Required value"),
    ("an unknown decision", "ModelApproval", {"spec.decision": "Maybe"}, '"Approve", "Reject", "Abort", "Fallback", "Resume"'),
    ("a revision without files", "ModelRevision", {"spec.model.source.files": []}, "should have at least 1 items"),
    ("a branch in a revision", "ModelRevision", {"spec.model.source.huggingFace.commit": "main"}, "spec.model.source.huggingFace.commit"),
)  # fmt: skip


@pytest.mark.usefixtures("crds")
@pytest.mark.parametrize(("kind", "changes", "says"), [pytest.param(*rest, id=name) for name, *rest in SCHEMA_REFUSALS])
def test_schema_refuses(admin: Rest, kind: str, changes: dict[str, Any], says: str) -> None:
    manifest = changed(OBJECTS[kind], changes)
    answer = admin.post(path_of(manifest, collection=True), manifest, dryRun="All")
    assert answer.status == 422
    assert says in answer.message


@pytest.mark.usefixtures("crds")
def test_refuses_an_unknown_field_from_a_strict_client(admin: Rest) -> None:
    """A strict client such as kubectl asks for it by itself; a client that does not gets a warning and the field is dropped."""
    manifest = changed(deployment(), {f"{HUB}.comit": COMMIT})
    path = path_of(manifest, collection=True)
    refused = admin.post(path, manifest, dryRun="All", fieldValidation="Strict")
    assert refused.status == 400
    assert f'unknown field "{HUB}.comit"' in refused.message
    warned = admin.post(path, manifest, dryRun="All", fieldValidation="Warn")
    assert f'unknown field "{HUB}.comit' in warned.headers["Warning"].replace("\\", "")
