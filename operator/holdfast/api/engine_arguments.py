"""Which of ``spec.model.engine.args`` are refused: those that would choose other bytes than the pinned, or are Holdfast's to set.

The CRD refuses them at admission and the renderers refuse them again. Flags that merely tune an engine are free: they are part
of the pin, so a change of them needs the owner as well. Sources: the argument parsers of vLLM 0.32, SGLang 0.5.23
(``sglang/srt/arg_groups/fields``), Text Generation Inference 3.3 (``launcher/src/main.rs``) and llama.cpp of 2026
(``common/arg.cpp``).
"""

import re
from typing import Final

from holdfast.api.model import EngineType

ARGUMENT_PATTERN: Final = r"^--[a-z0-9][a-z0-9.-]*(=.*)?$"
"""One long flag, with dashes (not underscores) and with its value behind ``=``, on one line."""

_SOURCE: Final = "spec.model.source decides which bytes are loaded"
_TOKENIZER: Final = "write spec.model.tokenizer"
_CODE: Final = "it would load code or weights that nobody hashed"
_REMOTE_CODE: Final = "write spec.model.remoteCode"
_ADAPTERS: Final = "write spec.model.adapters"
_DRAFT: Final = "write spec.model.draftModel"
_RUNTIME: Final = "it would let a running engine be changed without its owner"
_LOCAL: Final = "it would open files of the pod to requests"
_OTHERS: Final = "it would let other programs take part in the answers; a pod of Holdfast is one engine"
_SENT: Final = "nothing is looked up or sent while the model serves"
_HOLDFAST: Final = "Holdfast sets it"
_SERVED_NAME: Final = "write spec.model.servedName"
_TEMPLATE: Final = "write spec.model.chatTemplate"
_GENERATION: Final = "write spec.model.generation"
_TOKEN: Final = "write spec.serving.hubToken"  # noqa: S105 - names a field, holds no secret
_OPTIONS: Final = "write spec.model.engine.options."

REFUSED: Final[dict[EngineType, dict[str, str]]] = {
    EngineType.VLLM: {
        "--model": _SOURCE,
        "--revision": _SOURCE,
        "--hf-config-path": _SOURCE,
        "--hf-overrides": _SOURCE,
        "--load-format": _SOURCE,
        "--model-loader-extra-config": _SOURCE,
        "--download-dir": _SOURCE,
        "--ignore-patterns": _SOURCE,
        "--config": _SOURCE,
        "--mm-encoder-fp8-scale-path": _SOURCE,
        "--tokenizer": _TOKENIZER,
        "--tokenizer-revision": _TOKENIZER,
        "--speculative-config": _DRAFT,
        "--spec-*": _DRAFT,
        "--hf-token": _TOKEN,
        "--trust-remote-code": _REMOTE_CODE,
        "--code-revision": _REMOTE_CODE,
        "--enable-lora": _ADAPTERS,
        "--lora-modules": _ADAPTERS,
        "--default-mm-loras": _ADAPTERS,
        "--logits-processors": _CODE,
        "--middleware": _CODE,
        "--model-class-overrides": _CODE,
        "--worker-cls": _CODE,
        "--worker-extension-cls": _CODE,
        "--scheduler-cls": _CODE,
        "--distributed-executor-backend": _CODE,
        "--tool-server": _CODE,
        "--tool-parser-plugin": _CODE,
        "--reasoning-parser-plugin": _CODE,
        "--io-processor-plugin": _CODE,
        "--ec-manager-config": _CODE,
        "--enable-prompt-embeds": _CODE,
        "--enable-mm-embeds": _CODE,
        "--logging-config": _CODE,
        "--log-config-file": _CODE,
        "--weight-transfer-config": _RUNTIME,
        "--enable-sleep-mode": _RUNTIME,
        "--sleep-*": _RUNTIME,
        "--trust-request-*": _RUNTIME,
        "--enable-scale-out": _RUNTIME,
        "--enable-elastic-ep": _RUNTIME,
        "--elastic-ep-*": _RUNTIME,
        "--enable-fault-tolerance": _RUNTIME,
        "--fault-tolerance-config": _RUNTIME,
        "--profiler-config": _RUNTIME,
        "--otlp-traces-endpoint": _SENT,
        "--kv-offloading-backend": _OTHERS,
        "--kv-transfer-config": _OTHERS,
        "--ec-transfer-config": _OTHERS,
        "--kv-events-config": _OTHERS,
        "--nnodes": _OTHERS,
        "--node-rank": _OTHERS,
        "--master-*": _OTHERS,
        "--data-parallel-address": _OTHERS,
        "--data-parallel-rpc-port": _OTHERS,
        "--data-parallel-rank": _OTHERS,
        "--data-parallel-start-rank": _OTHERS,
        "--data-parallel-backend": _OTHERS,
        "--data-parallel-hybrid-lb": _OTHERS,
        "--data-parallel-external-lb": _OTHERS,
        "--data-parallel-multi-port-external-lb": _OTHERS,
        "--data-parallel-supervisor-port": _OTHERS,
        "--allowed-local-media-path": _LOCAL,
        "--served-model-name": _SERVED_NAME,
        "--chat-template": _TEMPLATE,
        "--generation-config": _GENERATION,
        "--override-generation-config": _GENERATION,
        "--dtype": _OPTIONS + "dataType",
        "--quantization": _OPTIONS + "quantization",
        "--max-model-len": _OPTIONS + "contextLength",
        "--seed": _OPTIONS + "seed",
        "--kv-cache-dtype": _OPTIONS + "kvCacheDataType",
        "--tensor-parallel-size": _OPTIONS + "tensorParallelism",
        "--pipeline-parallel-size": _OPTIONS + "pipelineParallelism",
        "--host": _HOLDFAST,
        "--port": _HOLDFAST,
        "--uds": _HOLDFAST,
        "--root-path": _HOLDFAST,
        "--api-key": _HOLDFAST,
        "--ssl-*": _HOLDFAST,
        "--enable-ssl-refresh": _HOLDFAST,
        "--fingerprint-*": _HOLDFAST,
        "--shutdown-timeout": _HOLDFAST,
        "--headless": _HOLDFAST,
        "--grpc*": _HOLDFAST,
    },
    EngineType.SGLANG: {
        "--model": _SOURCE,
        "--model-path": _SOURCE,
        "--model-checksum": _SOURCE,
        "--revision": _SOURCE,
        "--load-format": _SOURCE,
        "--model-loader-extra-config": _SOURCE,
        "--json-model-override-args": _SOURCE,
        "--download-dir": _SOURCE,
        "--config": _SOURCE,
        "--decrypted-*": _SOURCE,
        "--kt-weight-path": _SOURCE,
        "--model-config-parser": _SOURCE,
        "--modelexpress-config": _SOURCE,
        "--modelopt-*": _SOURCE,
        "--quantize-and-serve": _SOURCE,
        "--quantization-param-path": _SOURCE,
        "--startup-weight-load-mode": _SOURCE,
        "--weight-cache-*": _SOURCE,
        "--init-expert-location": _SOURCE,
        "--ple-offload-dir": _SOURCE,
        "--rl-*": _SOURCE,
        "--tokenizer-path": _TOKENIZER,
        "--speculative-*": _DRAFT,
        "--trust-remote-code": _REMOTE_CODE,
        "--enable-lora": _ADAPTERS,
        "--lora-paths": _ADAPTERS,
        "--uno-lora-path": _ADAPTERS,
        "--custom-weight-loader": _CODE,
        "--forward-hooks": _CODE,
        "--stat-loggers": _CODE,
        "--custom-sigquit-handler": _CODE,
        "--sidecar*": _CODE,
        "--tool-server": _CODE,
        "--use-ray": _CODE,
        "--enable-custom-logit-processor": _RUNTIME,
        "--checkpoint-engine-*": _RUNTIME,
        "--enable-memory-saver": _RUNTIME,
        "--delete-ckpt-after-loading": _RUNTIME,
        "--trust-request-chat-template": _RUNTIME,
        "--trust-mm-content-hashes": _RUNTIME,
        "--enable-pd-role-switch": _RUNTIME,
        "--enable-elastic-expert-backup": _RUNTIME,
        "--elastic-ep-*": _RUNTIME,
        "--ep-join-*": _RUNTIME,
        "--remote-instance-*": _OTHERS,
        "--engine-info-bootstrap-port": _OTHERS,
        "--disaggregation-*": _OTHERS,
        "--decoupled-spec-*": _OTHERS,
        "--encoder-*": _OTHERS,
        "--dist-init-addr": _OTHERS,
        "--nccl-init-addr": _OTHERS,
        "--nccl-port": _OTHERS,
        "--gated-launch-port": _OTHERS,
        "--nnodes": _OTHERS,
        "--node-rank": _OTHERS,
        "--hicache-storage-*": _OTHERS,
        "--enable-unified-cache-external-linker": _OTHERS,
        "--unified-cache-external-*": _OTHERS,
        "--enable-lmcache": _OTHERS,
        "--lmcache-*": _OTHERS,
        "--enable-flexkv": _OTHERS,
        "--flexkv-*": _OTHERS,
        "--enable-mm-global-cache": _OTHERS,
        "--mm-global-cache-*": _OTHERS,
        "--mooncake-*": _OTHERS,
        "--kv-events-config": _OTHERS,
        "--load-publish-endpoint": _OTHERS,
        "--forward-pass-metrics-ipc-name": _OTHERS,
        "--otlp-traces-endpoint": _SENT,
        "--file-storage-path": _LOCAL,
        "--served-model-name": _SERVED_NAME,
        "--chat-template": _TEMPLATE,
        "--completion-template": _TEMPLATE,
        "--hf-chat-template-name": _TEMPLATE,
        "--preferred-sampling-params": _GENERATION,
        "--sampling-defaults": _GENERATION,
        "--dtype": _OPTIONS + "dataType",
        "--quantization": _OPTIONS + "quantization",
        "--kv-cache-dtype": _OPTIONS + "kvCacheDataType",
        "--context-length": _OPTIONS + "contextLength",
        "--random-seed": _OPTIONS + "seed",
        "--tensor-parallel-size": _OPTIONS + "tensorParallelism",
        "--tp-size": _OPTIONS + "tensorParallelism",
        "--pipeline-parallel-size": _OPTIONS + "pipelineParallelism",
        "--pp-size": _OPTIONS + "pipelineParallelism",
        "--host": _HOLDFAST,
        "--port": _HOLDFAST,
        "--api-key": _HOLDFAST,
        "--admin-api-key": _HOLDFAST,
        "--enable-metrics": _HOLDFAST,
        "--fastapi-root-path": _HOLDFAST,
        "--grpc-*": _HOLDFAST,
        "--smg-*": _HOLDFAST,
        "--weight-version": _HOLDFAST,
        "--ssl-*": _HOLDFAST,
        "--enable-ssl-refresh": _HOLDFAST,
    },
    EngineType.TGI: {
        "--model-id": _SOURCE,
        "--revision": _SOURCE,
        "--huggingface-hub-cache": _SOURCE,
        "--weights-cache-override": _SOURCE,
        "--trust-remote-code": _REMOTE_CODE,
        "--lora-*": _ADAPTERS,
        "--ngrok*": _RUNTIME,
        "--master-*": _OTHERS,
        "--otlp-endpoint": _SENT,
        "--served-model-name": _SERVED_NAME,
        "--tokenizer-config-path": _TEMPLATE,
        "--dtype": _OPTIONS + "dataType",
        "--quantize": _OPTIONS + "quantization",
        "--kv-cache-dtype": _OPTIONS + "kvCacheDataType",
        "--max-total-tokens": _OPTIONS + "contextLength",
        "--max-input-tokens": _OPTIONS + "contextLength",
        "--max-input-length": _OPTIONS + "contextLength",
        "--num-shard": _OPTIONS + "tensorParallelism",
        "--sharded": _OPTIONS + "tensorParallelism",
        "--hostname": _HOLDFAST,
        "--port": _HOLDFAST,
        "--prometheus-port": _HOLDFAST,
        "--shard-uds-path": _HOLDFAST,
        "--graceful-termination-timeout": _HOLDFAST,
        "--usage-stats": _HOLDFAST,
        "--api-key": _HOLDFAST,
        "--env": _HOLDFAST,
    },
    EngineType.LLAMA_CPP: {
        "--model": _OPTIONS + "modelFile",
        "--model-url": _SOURCE,
        "--models-*": _SOURCE,
        "--hf-*": _SOURCE,
        "--docker-repo": _SOURCE,
        "--mmproj*": _SOURCE,
        "--override-kv": _SOURCE,
        "--fim-*": _SOURCE,
        "--embd-*": _SOURCE,
        "--gpt-oss-*": _SOURCE,
        "--vision-*": _SOURCE,
        "--lookup-cache-*": _SOURCE,
        "--model-draft": _DRAFT,
        "--spec-*": _DRAFT,
        "--draft*": _DRAFT,
        "--lora*": _ADAPTERS,
        "--control-vector*": _CODE,
        "--video-ffmpeg-dir": _CODE,
        "--rpc": _OTHERS,
        "--props": _RUNTIME,
        "--tools*": _RUNTIME,
        "--agent": _RUNTIME,
        "--mcp-*": _RUNTIME,
        "--slot-save-path": _LOCAL,
        "--media-path": _LOCAL,
        "--path": _LOCAL,
        "--alias": _SERVED_NAME,
        "--chat-template": _TEMPLATE,
        "--chat-template-file": _TEMPLATE,
        "--temp": _GENERATION,
        "--temperature": _GENERATION,
        "--top-p": _GENERATION,
        "--top-k": _GENERATION,
        "--min-p": _GENERATION,
        "--repeat-penalty": _GENERATION,
        "--repeat-last-n": _GENERATION,
        "--presence-penalty": _GENERATION,
        "--frequency-penalty": _GENERATION,
        "--ctx-size": _OPTIONS + "contextLength",
        "--seed": _OPTIONS + "seed",
        "--cache-type-k": _OPTIONS + "kvCacheDataType",
        "--cache-type-v": _OPTIONS + "kvCacheDataType",
        "--host": _HOLDFAST,
        "--port": _HOLDFAST,
        "--reuse-port": _HOLDFAST,
        "--api-prefix": _HOLDFAST,
        "--fit*": _HOLDFAST,
        "--jinja": _HOLDFAST,
        "--metrics": _HOLDFAST,
        "--offline": _HOLDFAST,
        "--ui*": _HOLDFAST,
        "--webui*": _HOLDFAST,
        "--api-key*": _HOLDFAST,
        "--ssl-*": _HOLDFAST,
    },
}
"""Refused flags and what to do instead. A trailing ``*`` stands for any ending."""

FREE: Final[dict[EngineType, tuple[str, ...]]] = {
    EngineType.VLLM: ("--reasoning-parser",),
    EngineType.SGLANG: ("--ep",),
    EngineType.TGI: (),
    EngineType.LLAMA_CPP: ("--no-host",),
}
"""Whole names of flags that tune, though a refused flag begins with them."""


WORDS: Final[dict[EngineType, dict[str, str]]] = {
    EngineType.VLLM: {
        "reasoning_parser_plugin": _CODE,  # of --structured-outputs-config
        "cache_dir": _CODE,  # of --compilation-config: compiled code is loaded from there
        "inductor_": _CODE,  # of --compilation-config: passes by the name of a module, and programs that compile
        "\\u": "write the character itself, so that everybody can read it",  # JSON may write any letter so
    },
    EngineType.SGLANG: {},
    EngineType.TGI: {},
    EngineType.LLAMA_CPP: {},
}
"""Refused anywhere in an argument, because values that are JSON hold further settings, and what to do instead."""


def refusal(engine: EngineType, argument: str) -> str | None:
    """Return why an engine's argument is refused and what to write instead, or None when it is free.

    argparse and clap accept any unambiguous beginning of a flag's name (``--revis=main``) and a ``--no-`` form, so these count
    as the flag itself; vLLM also takes ``--flag.key=value``.
    """
    if not re.fullmatch(ARGUMENT_PATTERN, argument):
        return "write it as --name or --name=value, with dashes and on one line"
    if word := next((word for word in WORDS[engine] if word in argument), None):
        return WORDS[engine][word]
    whole = argument.split("=", 1)[0].split(".", 1)[0]
    if whole in FREE[engine]:
        return None
    name = whole.replace("--no-", "--", 1)
    for flag, instead in REFUSED[engine].items():
        if flag.removesuffix("*").startswith(name) or (flag.endswith("*") and name.startswith(flag.removesuffix("*"))):
            return instead
    return None
