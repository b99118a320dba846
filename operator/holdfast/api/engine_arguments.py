"""Which of ``spec.model.engine.args`` are refused: those that would choose other bytes than the pinned, or are Holdfast's to set.

The CRD refuses them at admission and the renderers refuse them again. Flags that merely tune an engine are free: they are part
of the pin, so a change of them needs the owner as well. Sources: the argument parsers of vLLM 0.32, SGLang 0.5, Text Generation
Inference 3 and llama.cpp's ``common/arg.cpp``.
"""

import re
from typing import Final

from holdfast.api.model import EngineType

ARGUMENT_PATTERN: Final = r"^--[a-z0-9][a-z0-9.-]*(=.*)?$"
"""One long flag, with dashes (not underscores) and with its value behind ``=``, on one line."""

_SOURCE: Final = "spec.model.source decides which bytes are loaded"
_CODE: Final = "it would load code or weights that nobody hashed"
_RUNTIME: Final = "it would let a running engine be changed without its owner"
_LOCAL: Final = "it would open files of the pod to requests"
_HOLDFAST: Final = "Holdfast sets it"
_SERVED_NAME: Final = "write spec.model.servedName"
_TEMPLATE: Final = "write spec.model.chatTemplate"
_GENERATION: Final = "write spec.model.generation"
_TOKEN: Final = "write spec.serving.hubToken"  # noqa: S105 - names a field, holds no secret
_OPTIONS: Final = "write spec.model.engine.options."

REFUSED: Final[dict[EngineType, dict[str, str]]] = {
    EngineType.VLLM: {
        "--model": _SOURCE,
        "--model-tag": _SOURCE,
        "--tokenizer": _SOURCE,
        "--revision": _SOURCE,
        "--tokenizer-revision": _SOURCE,
        "--code-revision": _SOURCE,
        "--hf-config-path": _SOURCE,
        "--hf-overrides": _SOURCE,
        "--load-format": _SOURCE,
        "--model-loader-extra-config": _SOURCE,
        "--download-dir": _SOURCE,
        "--config": _SOURCE,
        "--speculative-config": _SOURCE,
        "--spec-*": _SOURCE,
        "--hf-token": _TOKEN,
        "--trust-remote-code": _CODE,
        "--enable-lora": _CODE,
        "--lora-*": _CODE,
        "--default-mm-loras": _CODE,
        "--logits-processors": _CODE,
        "--logits-processor-pattern": _CODE,
        "--middleware": _CODE,
        "--model-class-overrides": _CODE,
        "--worker-cls": _CODE,
        "--worker-extension-cls": _CODE,
        "--scheduler-cls": _CODE,
        "--tool-server": _CODE,
        "--tool-parser-plugin": _CODE,
        "--reasoning-parser-plugin": _CODE,
        "--io-processor-plugin": _CODE,
        "--kv-transfer-config": _CODE,
        "--ec-transfer-config": _CODE,
        "--weight-transfer-config": _RUNTIME,
        "--enable-sleep-mode": _RUNTIME,
        "--trust-request-*": _RUNTIME,
        "--enable-scale-out": _RUNTIME,
        "--allowed-local-media-path": _LOCAL,
        "--served-model-name": _SERVED_NAME,
        "--chat-template": _TEMPLATE,
        "--generation-config": _GENERATION,
        "--override-generation-config": _GENERATION,
        "--dtype": _OPTIONS + "dataType",
        "--quantization": _OPTIONS + "quantization",
        "--max-model-len": _OPTIONS + "contextLength",
        "--seed": _OPTIONS + "seed",
        "--tensor-parallel-size": _OPTIONS + "tensorParallelism",
        "--host": _HOLDFAST,
        "--port": _HOLDFAST,
        "--uds": _HOLDFAST,
        "--root-path": _HOLDFAST,
        "--api-key": _HOLDFAST,
        "--ssl-*": _HOLDFAST,
        "--fingerprint-*": _HOLDFAST,
        "--shutdown-timeout": _HOLDFAST,
        "--headless": _HOLDFAST,
        "--grpc*": _HOLDFAST,
    },
    EngineType.SGLANG: {
        "--model": _SOURCE,
        "--model-path": _SOURCE,
        "--tokenizer-path": _SOURCE,
        "--revision": _SOURCE,
        "--load-format": _SOURCE,
        "--model-loader-extra-config": _SOURCE,
        "--json-model-override-args": _SOURCE,
        "--download-dir": _SOURCE,
        "--config": _SOURCE,
        "--speculative-draft-*": _SOURCE,
        "--speculative-token-map": _SOURCE,
        "--decrypted-*": _SOURCE,
        "--kt-weight-path": _SOURCE,
        "--model-config-parser": _SOURCE,
        "--modelexpress-config": _SOURCE,
        "--modelopt-*": _SOURCE,
        "--quantization-param-path": _SOURCE,
        "--startup-weight-load-mode": _SOURCE,
        "--weight-cache-*": _SOURCE,
        "--trust-remote-code": _CODE,
        "--enable-lora": _CODE,
        "--lora-*": _CODE,
        "--custom-weight-loader": _CODE,
        "--forward-hooks": _CODE,
        "--uno-lora-path": _CODE,
        "--remote-instance-*": _CODE,
        "--tool-server": _CODE,
        "--enable-custom-logit-processor": _RUNTIME,
        "--checkpoint-engine-*": _RUNTIME,
        "--enable-memory-saver": _RUNTIME,
        "--delete-ckpt-after-loading": _RUNTIME,
        "--trust-request-chat-template": _RUNTIME,
        "--file-storage-path": _LOCAL,
        "--served-model-name": _SERVED_NAME,
        "--chat-template": _TEMPLATE,
        "--completion-template": _TEMPLATE,
        "--hf-chat-template-name": _TEMPLATE,
        "--preferred-sampling-params": _GENERATION,
        "--sampling-defaults": _GENERATION,
        "--dtype": _OPTIONS + "dataType",
        "--quantization": _OPTIONS + "quantization",
        "--context-length": _OPTIONS + "contextLength",
        "--random-seed": _OPTIONS + "seed",
        "--tensor-parallel-size": _OPTIONS + "tensorParallelism",
        "--tp-size": _OPTIONS + "tensorParallelism",
        "--host": _HOLDFAST,
        "--port": _HOLDFAST,
        "--api-key": _HOLDFAST,
        "--admin-api-key": _HOLDFAST,
        "--enable-metrics": _HOLDFAST,
        "--fastapi-root-path": _HOLDFAST,
        "--grpc-*": _HOLDFAST,
        "--weight-version": _HOLDFAST,
        "--ssl-*": _HOLDFAST,
    },
    EngineType.TGI: {
        "--model-id": _SOURCE,
        "--revision": _SOURCE,
        "--huggingface-hub-cache": _SOURCE,
        "--weights-cache-override": _SOURCE,
        "--trust-remote-code": _CODE,
        "--lora-*": _CODE,
        "--ngrok*": _RUNTIME,
        "--served-model-name": _SERVED_NAME,
        "--tokenizer-config-path": _TEMPLATE,
        "--dtype": _OPTIONS + "dataType",
        "--quantize": _OPTIONS + "quantization",
        "--max-total-tokens": _OPTIONS + "contextLength",
        "--max-input-tokens": _OPTIONS + "contextLength",
        "--max-input-length": _OPTIONS + "contextLength",
        "--num-shard": _OPTIONS + "tensorParallelism",
        "--sharded": _OPTIONS + "tensorParallelism",
        "--hostname": _HOLDFAST,
        "--port": _HOLDFAST,
        "--prometheus-port": _HOLDFAST,
        "--graceful-termination-timeout": _HOLDFAST,
        "--usage-stats": _HOLDFAST,
        "--api-key": _HOLDFAST,
        "--env": _HOLDFAST,
    },
    EngineType.LLAMA_CPP: {
        "--model": _OPTIONS + "modelFile",
        "--model-url": _SOURCE,
        "--model-draft": _SOURCE,
        "--model-vocoder": _SOURCE,
        "--models-*": _SOURCE,
        "--hf-*": _SOURCE,
        "--docker-repo": _SOURCE,
        "--spec-draft-*": _SOURCE,
        "--mmproj*": _SOURCE,
        "--override-kv": _SOURCE,
        "--fim-*": _SOURCE,
        "--embd-*": _SOURCE,
        "--gpt-oss-*": _SOURCE,
        "--vision-*": _SOURCE,
        "--lora*": _CODE,
        "--control-vector*": _CODE,
        "--rpc": _CODE,
        "--props": _RUNTIME,
        "--tools": _RUNTIME,
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
        "--ctx-size": _OPTIONS + "contextLength",
        "--seed": _OPTIONS + "seed",
        "--host": _HOLDFAST,
        "--port": _HOLDFAST,
        "--api-prefix": _HOLDFAST,
        "--fit*": _HOLDFAST,
        "--jinja": _HOLDFAST,
        "--metrics": _HOLDFAST,
        "--offline": _HOLDFAST,
        "--webui*": _HOLDFAST,
        "--api-key*": _HOLDFAST,
        "--ssl-*": _HOLDFAST,
    },
}
"""Refused flags and what to do instead. A trailing ``*`` stands for any ending."""


def refusal(engine: EngineType, argument: str) -> str | None:
    """Return why an engine's argument is refused and what to write instead, or None when it is free.

    argparse and clap accept any unambiguous beginning of a flag's name (``--revis=main``) and a ``--no-`` form, so these count
    as the flag itself; vLLM also takes ``--flag.key=value``.
    """
    if not re.fullmatch(ARGUMENT_PATTERN, argument):
        return "write it as --name or --name=value, with dashes and on one line"
    name = argument.split("=", 1)[0].split(".", 1)[0].replace("--no-", "--", 1)
    for flag, instead in REFUSED[engine].items():
        if flag.removesuffix("*").startswith(name) or (flag.endswith("*") and name.startswith(flag.removesuffix("*"))):
            return instead
    return None
