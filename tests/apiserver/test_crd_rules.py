"""Every rule of the three kinds accepts what it should and refuses what it should, on the real API server."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.crd_cases import Case, Changes, one
from apiserver.crd_source_cases import SOURCE_CASES
from apiserver.manifests import (
    ABSENT,
    COMMIT,
    DIGEST,
    IMAGE,
    OTHER_DIGEST,
    SHA256,
    approval,
    changed,
    decision,
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

HUB = "spec.model.source.huggingFace"
ENGINE = "spec.model.engine"
SERVING = "spec.serving"
FALLBACK = {"decision": "Fallback", "target": {"name": "chat"}, "approver": {"username": "alice"}}


def toleration(**fields: object) -> Changes:
    return {f"{SERVING}.scheduling.tolerations": [fields]}


def steps(*weights: int) -> Changes:
    return {"spec.rollout.steps": [{"weight": weight, "holdSeconds": 0} for weight in weights]}


def external(**fields: object) -> Changes:
    return {"spec.fallback.external": [{"name": "other", "url": "https://api.example.com/v1", **fields}]}


def variables(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "value": "1"} for name in names]


QUANTITY = "not a quantity; write such as 4, 500m or 32Gi"
FORM = "write registry/name@sha256:… without a tag: holdfast pin REPO --image NAME:TAG prints it"

DEPLOYMENT_CASES = (
    one(
        "ModelDeployment",
        "a name has at most 40 characters, because names of children are made from it",
        {"metadata.name": "a" * 40},
        {"metadata.name": "a" * 41},
    ),
    one(
        "ModelDeployment",
        "a name is also the name of a Service; write lower-case letters, digits and dashes, beginning with a letter",
        {"metadata.name": "llama3-chat"},
        {"metadata.name": "llama3.chat"},
    ),
    one(
        "ModelDeployment",
        "a name that ends in -<number> would be the name of a revision; end it otherwise, such as llama-3b",
        {"metadata.name": "chat-7b"},
        {"metadata.name": "chat-8"},
    ),
    one(
        "ModelDeployment",
        "names that begin with holdfast- belong to Holdfast's own objects; begin with another word",
        {"metadata.name": "holdfast"},
        {"metadata.name": "holdfast-chat"},
    ),
    *SOURCE_CASES,
    Case(
        kind="ModelDeployment",
        message=f"an image is pinned by its digest; {FORM}",
        accepts=(
            {f"{ENGINE}.image": IMAGE},
            {f"{ENGINE}.image": f"127.0.0.1:5000/engine@{SHA256}"},
            {f"{ENGINE}.image": f"localhost/engine@{SHA256}"},
        ),
        refuses=(
            ({f"{ENGINE}.image": ABSENT}, f"image is missing; {FORM}"),
            (
                {f"{ENGINE}.image": "docker.io/vllm/vllm-openai:latest"},
                f'"docker.io/vllm/vllm-openai:latest" has no digest; {FORM}',
            ),
            ({f"{ENGINE}.image": "docker.io/vllm/vllm-openai"}, "has no digest"),
            ({f"{ENGINE}.image": f"docker.io/vllm/vllm-openai:v0.32.0@{SHA256}"}, f"has a tag beside its digest; {FORM}"),
            ({f"{ENGINE}.image": "docker.io/vllm/vllm-openai@sha256:12"}, "has no sha256 digest of 64 hex digits"),
            ({f"{ENGINE}.image": f"vllm/vllm-openai@{SHA256}"}, "names no registry"),
            ({f"{ENGINE}.image": f"docker.io/vLLM@{SHA256}"}, "is no image reference"),
        ),
    ),
    Case(
        kind="ModelDeployment",
        message="not an argument; write --name or --name=value, with dashes and on one line",
        accepts=(
            {f"{ENGINE}.args": ["--enforce-eager"]},
            {f"{ENGINE}.args": ["--max-num-seqs=4"]},
            {f"{ENGINE}.args": ['--compilation-config={"level": 0}']},
        ),
        refuses=tuple(
            ({f"{ENGINE}.args": [argument]}, "not an argument")
            for argument in ("-O3", "--trust_remote_code", "--max-num-seqs 4", "main", "---", "--Revision=x", "--zz=b\n--c")
        ),
    ),
    *(
        one(
            "ModelDeployment",
            f"an argument of {engine.value} would choose or loosen the pinned model, or is Holdfast's to set",
            {f"{ENGINE}.type": engine.value, f"{ENGINE}.args": ["--something-harmless=1"]},
            {f"{ENGINE}.type": engine.value, f"{ENGINE}.args": ["--something-harmless=1", "--host=0.0.0.0"]},
            "--host: Holdfast sets it",
        )
        for engine in REFUSED
    ),
    *(
        one(
            "ModelDeployment",
            f"a variable of {engine.value} would choose or loosen the pinned model, or is Holdfast's to set",
            {f"{ENGINE}.type": engine.value, f"{ENGINE}.env": variables("OMP_NUM_THREADS")},
            {f"{ENGINE}.type": engine.value, f"{ENGINE}.env": variables("LD_PRELOAD", "OMP_NUM_THREADS")},
            "LD_PRELOAD: it would load code that nobody hashed",
        )
        for engine in engine_environment.REFUSED
    ),
    one(
        "ModelDeployment",
        "only LlamaCpp loads a single file; leave modelFile out and choose files with source.huggingFace.include",
        {f"{ENGINE}.type": "LlamaCpp", f"{ENGINE}.options.modelFile": "tiny.gguf"},
        {f"{ENGINE}.type": "VLLM", f"{ENGINE}.options.modelFile": "tiny.gguf"},
    ),
    Case(
        kind="ModelDeployment",
        message="a file is named by its path in the repository, without an empty part, . or ..",
        accepts=({f"{ENGINE}.type": "LlamaCpp", f"{ENGINE}.options.modelFile": "q4/tiny.gguf"},),
        refuses=tuple(
            ({f"{ENGINE}.type": "LlamaCpp", f"{ENGINE}.options.modelFile": file}, "a file is named by its path")
            for file in ("/models/tiny.gguf", "../tiny.gguf", "q4//tiny.gguf")
        ),
    ),
    one(
        "ModelDeployment",
        "not a method; write the engine's own name in lower case, such as awq",
        {f"{ENGINE}.options.quantization": "gptq_marlin"},
        {f"{ENGINE}.options.quantization": "AWQ 4 bit"},
    ),
    one(
        "ModelDeployment",
        "not a type; write the engine's own name in lower case, such as fp8_e4m3",
        {f"{ENGINE}.options.kvCacheDataType": "fp8_e4m3"},
        {f"{ENGINE}.options.kvCacheDataType": "FP8"},
    ),
    one(
        "ModelDeployment",
        "not a model name; write letters, digits and . _ / -, such as support-chat",
        {"spec.model.servedName": "team/support-chat"},
        {"spec.model.servedName": "support chat"},
    ),
    *(
        Case(
            kind="ModelDeployment",
            message=QUANTITY,
            accepts=({f"{SERVING}.resources.{half}": {"cpu": "500m", "memory": "32Gi"}},),
            refuses=(({f"{SERVING}.resources.{half}": {"cpu": "500 m"}}, QUANTITY),),
        )
        for half in ("requests", "limits")
    ),
    one(
        "ModelDeployment",
        "not a size; write such as 60Gi",
        {f"{SERVING}.cache": {"type": "PersistentVolumeClaim", "size": "60Gi"}},
        {f"{SERVING}.cache": {"type": "PersistentVolumeClaim", "size": "60 GB"}},
    ),
    one(
        "ModelDeployment",
        "a PersistentVolumeClaim needs a size; write room for the files of two revisions, such as 60Gi",
        {f"{SERVING}.cache": {"type": "EmptyDir"}},
        {f"{SERVING}.cache": {"type": "PersistentVolumeClaim"}},
    ),
    one(
        "ModelDeployment",
        "cache type Image is for a model whose source is of kind oci; write another type, such as PersistentVolumeClaim",
        {f"{SERVING}.cache": {"type": "Image"}, "spec.model.source": {"oci": {"reference": IMAGE}}},
        {f"{SERVING}.cache": {"type": "Image"}},
    ),
    one(
        "ModelDeployment",
        "cache type Volume is for a model whose source is of kind volume; write another type, such as PersistentVolumeClaim",
        {
            f"{SERVING}.cache": {"type": "Volume"},
            "spec.model.source": {"volume": {"claimName": "models", "manifestDigest": SHA256}},
        },
        {f"{SERVING}.cache": {"type": "Volume"}},
    ),
    one(
        "ModelDeployment",
        "not a base URL; write such as https://hub.example.com, with no user or query",
        {f"{SERVING}.mirror": "https://hub.example.com/models"},
        {f"{SERVING}.mirror": "https://alice@hub.example.com"},
    ),
    Case(
        kind="ModelDeployment",
        message="storageClassName and accessMode are for type PersistentVolumeClaim only",
        accepts=(
            {
                f"{SERVING}.cache": {
                    "type": "PersistentVolumeClaim",
                    "size": "60Gi",
                    "storageClassName": "fast",
                    "accessMode": "ReadWriteMany",
                }
            },
        ),
        refuses=(
            ({f"{SERVING}.cache": {"type": "EmptyDir", "storageClassName": "fast"}}, "are for type PersistentVolumeClaim only"),
            (
                {f"{SERVING}.cache": {"type": "EmptyDir", "accessMode": "ReadWriteMany"}},
                "are for type PersistentVolumeClaim only",
            ),
        ),
    ),
    one(
        "ModelDeployment",
        "a toleration without key needs operator Exists",
        toleration(operator="Exists"),
        toleration(effect="NoSchedule"),
    ),
    one(
        "ModelDeployment",
        "a toleration with operator Exists has no value",
        toleration(key="gpu", value="h100"),
        toleration(key="gpu", operator="Exists", value="h100"),
    ),
    one(
        "ModelDeployment",
        "tolerationSeconds needs effect NoExecute",
        toleration(key="gpu", effect="NoExecute", tolerationSeconds=60),
        toleration(key="gpu", effect="NoSchedule", tolerationSeconds=60),
    ),
    Case(
        kind="ModelDeployment",
        message="weights rise from step to step; write such as 5, 25, 50",
        accepts=(steps(5, 25, 50), steps(1), steps(*range(1, 21))),
        refuses=(
            (steps(25, 5), "weights rise from step to step"),
            (steps(5, 5), "weights rise from step to step"),
        ),
    ),
    one(
        "ModelDeployment",
        "not a header; write it in lower case, such as x-user-id",
        {"spec.rollout.stickiness.header": "x-session"},
        {"spec.rollout.stickiness.header": "X-Session"},
    ),
    one(
        "ModelDeployment",
        "not a name; write lower-case letters, digits and dashes, such as general-api",
        external(name="general-api"),
        external(name="General API"),
    ),
    Case(
        kind="ModelDeployment",
        message="not a base URL; write such as https://api.example.com/v1, with no user or query",
        accepts=(external(url="https://api.example.com:8443/v1"), external(url="http://10.0.0.1")),
        refuses=tuple(
            (external(url=url), "not a base URL")
            for url in ("https://user:secret@api.example.com", "https://api.example.com/?key=1", "api.example.com", "file:///etc")
        ),
    ),
    one(
        "ModelDeployment",
        "not a model name; write the name that the endpoint expects",
        external(model="general:latest"),
        external(model="general latest"),
    ),
)

APPROVAL_CASES = (
    Case(
        kind="ModelApproval",
        message="a settled ModelApproval stays as it is; create a new one",
        before={"status": {"state": "Accepted"}},
        accepts=({"status": {"state": "Accepted"}},),
        refuses=(
            ({"status": {"state": "Pending"}}, "a settled ModelApproval stays as it is"),
            ({"status": {"state": "Refused", "reason": "Expired"}}, "a settled ModelApproval stays as it is"),
            ({"status": {"state": "Accepted", "message": "other"}}, "a settled ModelApproval stays as it is"),
            ({"status": ABSENT}, "a settled ModelApproval stays as it is"),
            ({"status": {}}, "a settled ModelApproval stays as it is"),
        ),
    ),
    Case(
        kind="ModelApproval",
        message="a ModelApproval is never changed; create a new one: holdfast approve, reject, abort, fallback or resume",
        before={"spec.reason": "eval report 118"},
        accepts=({"spec.reason": "eval report 118"},),
        refuses=(
            ({"spec.reason": "another"}, "a ModelApproval is never changed"),
            ({"spec.gate": "Promote"}, "a ModelApproval is never changed"),
            ({"spec.reason": ABSENT}, "a ModelApproval is never changed"),
            ({"spec.target.digest": OTHER_DIGEST}, "a ModelApproval is never changed"),
        ),
    ),
    Case(
        kind="ModelApproval",
        message="an Approve names its gate, Start or Promote; other decisions have no gate",
        accepts=({"spec.gate": "Promote"}, {"spec.decision": "Reject", "spec.gate": ABSENT}),
        refuses=(
            ({"spec.gate": ABSENT}, "an Approve names its gate"),
            ({"spec.decision": "Reject"}, "other decisions have no gate"),
        ),
    ),
    one(
        "ModelApproval",
        "only a Fallback has fallbackTo",
        {"spec": {**FALLBACK, "fallbackTo": {"type": "LastKnownGood"}}},
        {"spec.fallbackTo": {"type": "LastKnownGood"}},
    ),
    Case(
        kind="ModelApproval",
        message="a decision names the digest and the number of the request it answers: holdfast status prints both",
        accepts=({"spec": FALLBACK}, {"spec.target": {"name": "chat", "digest": DIGEST, "request": 3}}),
        refuses=tuple(
            (
                {"spec.decision": name, "spec.gate": "Start" if name == "Approve" else ABSENT, field: ABSENT},
                "a decision names the digest",
            )
            for name, field in itertools.product(
                ("Approve", "Reject", "Abort", "Resume"), ("spec.target.digest", "spec.target.request")
            )
        ),
    ),
    Case(
        kind="ModelApproval",
        message="type Revision names a revision, and no other type does",
        accepts=({"spec": {**FALLBACK, "fallbackTo": {"type": "Revision", "revision": 3}}},),
        refuses=(
            ({"spec": {**FALLBACK, "fallbackTo": {"type": "Revision"}}}, "type Revision names a revision"),
            ({"spec": {**FALLBACK, "fallbackTo": {"type": "LastKnownGood", "revision": 3}}}, "no other type does"),
        ),
    ),
    Case(
        kind="ModelApproval",
        message="type External names an entry of spec.fallback.external, and no other type does",
        accepts=({"spec": {**FALLBACK, "fallbackTo": {"type": "External", "external": "other"}}},),
        refuses=(
            ({"spec": {**FALLBACK, "fallbackTo": {"type": "External"}}}, "type External names an entry"),
            ({"spec": {**FALLBACK, "fallbackTo": {"type": "LastKnownGood", "external": "other"}}}, "no other type does"),
        ),
    ),
    one(
        "ModelApproval",
        "not the digest of a request; write v1: and 64 hex digits: holdfast status prints it",
        {"spec.target.digest": OTHER_DIGEST},
        {"spec.target.digest": "v2:abc"},
    ),
    one(
        "ModelApproval",
        "not the digest of a revision; write v1: and 64 hex digits: holdfast status prints it",
        {"spec.target.base": OTHER_DIGEST},
        {"spec.target.base": COMMIT},
    ),
)

FIRST, SECOND = decision("one"), decision("two", decision="Abort", gate=None)
SECOND.pop("gate")

REVISION_CASES = (
    Case(
        kind="ModelRevision",
        message="a ModelRevision is named after its deployment and its number",
        accepts=({"metadata.name": "chat-12", "spec.number": 12},),
        refuses=(
            ({"metadata.name": "chat-2"}, "is named after its deployment"),
            ({"metadata.name": "other-1"}, "is named after its deployment"),
            ({"metadata.name": "chat-01"}, "is named after its deployment"),
            ({"metadata.name": "chat"}, "is named after its deployment"),
        ),
    ),
    Case(
        kind="ModelRevision",
        message="decisions are only ever added, at the end",
        before={"status": {"decisions": [FIRST, SECOND]}},
        accepts=({"status": {"decisions": [FIRST, SECOND, decision("three")]}},),
        refuses=(
            ({"status": {"decisions": [FIRST]}}, "decisions are only ever added"),
            ({"status": {"decisions": [SECOND, FIRST]}}, "decisions are only ever added"),
            ({"status": {"decisions": [decision("one", by="mallory"), SECOND]}}, "decisions are only ever added"),
            ({"status": {"decisions": [decision("three"), FIRST, SECOND]}}, "decisions are only ever added"),
            ({"status": {}}, "decisions are only ever added"),
            ({"status": ABSENT}, "decisions are only ever added"),
        ),
    ),
    Case(
        kind="ModelRevision",
        message="promotedAt is set once",
        before={"status": {"promotedAt": "2026-11-21T06:00:00Z"}},
        accepts=({"status": {"promotedAt": "2026-11-21T06:00:00Z", "decisions": [FIRST]}},),
        refuses=(
            ({"status": {"promotedAt": "2026-11-21T06:00:01Z"}}, "promotedAt is set once"),
            ({"status": {}}, "promotedAt is set once"),
            ({"status": ABSENT}, "promotedAt is set once"),
        ),
    ),
    Case(
        kind="ModelRevision",
        message="a ModelRevision is never changed; a change of spec.model makes a new one",
        before={"spec.number": 1},
        accepts=({"metadata.annotations": {"example.com/note": "read"}},),
        refuses=(
            ({"spec.digest": OTHER_DIGEST}, "a ModelRevision is never changed"),
            ({"spec.model.engine.args": ["--enforce-eager"]}, "a ModelRevision is never changed"),
            ({"spec.model.source.files": [{"path": "a", "size": 1, "sha256": "6" * 64}]}, "a ModelRevision is never changed"),
        ),
    ),
)

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
