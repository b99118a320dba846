"""Cases of the rules of a ModelDeployment."""

from apiserver.crd_cases import Case, Changes, one
from apiserver.crd_source_cases import SOURCE_CASES
from apiserver.manifests import (
    ABSENT,
    IMAGE,
    SHA256,
)
from holdfast.api import engine_environment
from holdfast.api.engine_arguments import REFUSED

HUB = "spec.model.source.huggingFace"
ENGINE = "spec.model.engine"
LISTED = {"files": [{"path": "model.safetensors", "size": 1, "sha256": "a" * 64}]}
SERVING = "spec.serving"


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
    Case(
        kind="ModelDeployment",
        message="a word in an argument of VLLM would choose or loosen the pinned model",
        accepts=(
            {f"{ENGINE}.args": ['--structured-outputs-config={"backend": "xgrammar"}']},
            {f"{ENGINE}.type": "SGLang", f"{ENGINE}.args": ["--log-requests-target=cache_dir"]},
        ),
        refuses=(
            (
                {f"{ENGINE}.args": ['--structured-outputs-config={"reasoning_parser_plugin": "/holdfast/model/x.py"}']},
                "reasoning_parser_plugin: it would load code or weights that nobody hashed",
            ),
            ({f"{ENGINE}.args": ['--compilation-config={"cache\\u005fdir": "/x"}']}, "write the character itself"),
        ),
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
        {f"{SERVING}.cache": {"type": "Image"}, "spec.model.source": {"oci": {"reference": IMAGE} | LISTED}},
        {f"{SERVING}.cache": {"type": "Image"}},
    ),
    Case(
        kind="ModelDeployment",
        message=(
            "cache type Image is for an image, whose list of files comes with the manifest (source.oci.files); nodes mount a"
            " ModelPack or ModelKit as an empty folder: write another type, such as PersistentVolumeClaim"
        ),
        accepts=(
            {f"{SERVING}.cache": {"type": "Image"}, "spec.model.source": {"oci": {"reference": IMAGE} | LISTED}},
            {f"{SERVING}.cache": {"type": "EmptyDir"}, "spec.model.source": {"oci": {"reference": IMAGE}}},
            {"spec.model.source": {"oci": {"reference": IMAGE}}},
        ),
        refuses=(
            (
                {f"{SERVING}.cache": {"type": "Image"}, "spec.model.source": {"oci": {"reference": IMAGE}}},
                "nodes mount a ModelPack or ModelKit as an empty folder",
            ),
        ),
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
        message="storageClassName, accessMode and unused are for type PersistentVolumeClaim only",
        accepts=(
            {
                f"{SERVING}.cache": {
                    "type": "PersistentVolumeClaim",
                    "size": "60Gi",
                    "storageClassName": "fast",
                    "accessMode": "ReadWriteMany",
                    "unused": "Delete",
                }
            },
        ),
        refuses=(
            ({f"{SERVING}.cache": {"type": "EmptyDir", "storageClassName": "fast"}}, "are for type PersistentVolumeClaim only"),
            (
                {f"{SERVING}.cache": {"type": "EmptyDir", "accessMode": "ReadWriteMany"}},
                "are for type PersistentVolumeClaim only",
            ),
            ({f"{SERVING}.cache": {"type": "EmptyDir", "unused": "Delete"}}, "are for type PersistentVolumeClaim only"),
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
