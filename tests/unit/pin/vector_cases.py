"""The models of the test vectors, in wire form: each says one thing about the identity that has to stay for ever."""

import copy
from typing import Any, Final

Wire = dict[str, Any]

ENGINE: Final = "registry.example/engine@sha256:" + "e" * 64
HEX: Final = "0123456789abcdef" * 4
DIGEST: Final = f"sha256:{HEX}"


def file(path: str = "config.json", size: int = 2, sha256: str = "1" * 64) -> Wire:
    return {"path": path, "size": size, "sha256": sha256}


def hub(repository: str = "lab/model", commit: str = "a" * 40, *files: Wire) -> Wire:
    return {
        "huggingFace": {"endpoint": "https://huggingface.co", "repository": repository, "commit": commit},
        "manifestDigest": DIGEST,
        "files": list(files) or [file(), file("model.safetensors", 9, "2" * 64)],
    }


OCI: Final[Wire] = {
    "oci": {"reference": "registry.example/models/chat@sha256:" + "3" * 64},
    "manifestDigest": DIGEST,
    "files": [file()],
}
VOLUME: Final[Wire] = {"volume": {"claimName": "models"}, "manifestDigest": DIGEST}
NEUTRAL: Final[Wire] = {
    "temperature": 1,
    "topP": 1,
    "topK": -1,
    "minP": 0,
    "repetitionPenalty": 1,
    "presencePenalty": 0,
    "frequencyPenalty": 0,
}
BASE: Final[Wire] = {
    "source": hub(),
    "remoteCode": "Forbidden",
    "engine": {"type": "VLLM", "image": ENGINE, "options": {"contextLength": 4096, "dataType": "bfloat16", "seed": 0}},
    "chatTemplate": {"from": "Source", "text": "{{ messages }}"},
    "generation": NEUTRAL,
    "servedName": "chat",
}
EVERYTHING: Final[Wire] = {
    **BASE,
    "tokenizer": hub("lab/words", "b" * 40),
    "remoteCode": "Pinned",
    "code": [hub("lab/code", "c" * 40, file("modeling.py"))],
    "adapters": [{"name": "legal", "source": hub("lab/legal", "d" * 40)}, {"name": "tone", "source": OCI}],
    "draftModel": {"source": {**VOLUME, "volume": {"claimName": "models", "path": "draft/1"}}, "tokens": 3},
    "engine": {
        "type": "VLLM",
        "image": ENGINE,
        "options": {
            "contextLength": 4096,
            "dataType": "bfloat16",
            "quantization": "awq",
            "seed": 1,
            "tensorParallelism": 2,
            "pipelineParallelism": 2,
            "kvCacheDataType": "fp8_e4m3",
            "modelFile": "model.gguf",
        },
        "args": ["--enforce-eager", "--max-num-seqs=4"],
        "env": [{"name": "A_ONE", "value": "1"}, {"name": "B_TWO", "value": ""}],
    },
    "checkpointQuantization": "awq",
    "chatTemplate": {"from": "Inline", "text": "{{ messages }}"},
}


def changed(path: str, value: object, base: Wire = BASE) -> Wire:
    """Return a copy with one field set, or taken away where the value is None; a path is written with dots."""
    wire = copy.deepcopy(base)
    *parents, last = path.split(".")
    node: Any = wire
    for parent in parents:
        node = node[int(parent)] if parent.isdigit() else node[parent]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return wire


def text(value: str) -> Wire:
    return changed("chatTemplate", {"from": "Inline", "text": value})


def sampling(**values: float) -> Wire:
    return changed("generation", NEUTRAL | values)


VECTORS: Final[dict[str, Wire]] = {
    "smallest": changed("engine.options", None),
    "base": BASE,
    "everything": EVERYTHING,
    "engine-sglang": changed("engine.type", "SGLang"),
    "engine-tgi": changed("engine.type", "TGI"),
    "engine-llama-cpp": {
        **BASE,
        "source": hub("lab/model", "a" * 40, file("tiny.gguf")),
        "engine": {"type": "LlamaCpp", "image": ENGINE, "options": {"modelFile": "tiny.gguf"}},
        "chatTemplate": {"from": "Source"},
    },
    "engine-image": changed("engine.image", "registry.example/engine@sha256:" + "f" * 64),
    "engine-image-port": changed("engine.image", "127.0.0.1:5000/a/b-c_d.e@sha256:" + "f" * 64),
    "engine-args": changed("engine.args", ["--enforce-eager", "--max-num-seqs=4"]),
    "engine-args-other-order": changed("engine.args", ["--max-num-seqs=4", "--enforce-eager"]),
    "engine-args-json": changed("engine.args", ['--compilation-config={"level": 0, "s": "\\"é\\n"}']),
    "engine-env": changed("engine.env", [{"name": "A", "value": "1"}]),
    "engine-env-empty-value": changed("engine.env", [{"name": "A", "value": ""}]),
    "options-seed-largest": changed("engine.options.seed", 4_294_967_295),
    "options-context-largest": changed("engine.options.contextLength", 16_777_216),
    "options-parallel": changed("engine.options.tensorParallelism", 64),
    "options-quantization": changed("engine.options.quantization", "compressed-tensors"),
    "checkpoint-quantization": changed("checkpointQuantization", "gptq"),
    "options-float32": changed("engine.options.dataType", "float32"),
    "source-oci": changed("source", OCI),
    "source-volume": changed("source", VOLUME),
    "source-volume-path": changed("source", {**VOLUME, "volume": {"claimName": "models", "path": "llama/3.1"}}),
    "source-volume-files": changed("source", {**VOLUME, "files": [file()]}),
    "source-other-endpoint": changed("source.huggingFace.endpoint", "http://hub.example:8080"),
    "source-other-commit": changed("source.huggingFace.commit", "0123456789" * 4),
    "source-other-repository": changed("source.huggingFace.repository", "Qwen/Qwen2.5-0.5B_x.y"),
    "files-one": changed("source.files", [file()]),
    "files-size-zero": changed("source.files", [file(size=0)]),
    "files-size-largest": changed("source.files", [file(size=2**53 - 1)]),
    "files-paths": changed(
        "source.files",
        [file(path) for path in (" a", 'a"b', "a b#?%41.json", "dir/é.json", "日本/模型.json", "😀.json", "\ue000")],
    ),
    "files-many": changed(
        "source.files", [file(f"model-{n:05}-of-00163.safetensors", n * 4_000_000_000, HEX) for n in range(163)]
    ),
    "tokenizer": changed("tokenizer", hub("lab/words")),
    "tokenizer-is-the-model": changed("tokenizer", hub()),
    "code": changed("code", [hub("lab/code", "c" * 40, file("modeling.py"))], changed("remoteCode", "Pinned")),
    "remote-code-pinned": changed("remoteCode", "Pinned"),
    "adapter": changed("adapters", [{"name": "tone", "source": hub("lab/tone")}]),
    "adapters": changed("adapters", [{"name": "legal", "source": hub("lab/tone")}, {"name": "tone", "source": hub("lab/tone")}]),
    "draft": changed("draftModel", {"source": hub("lab/draft"), "tokens": 5}),
    "template-engine": changed("chatTemplate", {"from": "Engine"}),
    "template-source-unread": changed("chatTemplate", {"from": "Source"}),
    "template-inline": text("{{ messages }}"),
    "template-unicode": text("é e\u0301 日本 😀 \u202e\u2028\u2029\ufeff \U0010ffff"),
    "template-controls": text("\b\t\n\f\r \x01\x1f\x7f \\ \" / {{ '</script>' }}"),
    "template-spaces": text("  \n\n  {{ messages }}  "),
    "sampling-greedy": sampling(temperature=0, topK=1),
    "sampling-fractions": sampling(temperature=0.7, topP=0.95, topK=40, minP=0.05, repetitionPenalty=1.05),
    "sampling-no-exact-fraction": sampling(temperature=0.30000000000000004, topP=1 / 3),
    "sampling-smallest": sampling(temperature=5e-324, topP=1e-7, minP=0.000001),
    "sampling-negative": sampling(presencePenalty=-2, frequencyPenalty=-0.5),
    "sampling-seventeen-digits": sampling(temperature=9.007199254740993, repetitionPenalty=1.0000000000000002),
    "served-name": changed("servedName", "team/support-chat_v1.2"),
}
