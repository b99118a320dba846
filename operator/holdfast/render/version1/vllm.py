"""vLLM, through its public image, whose entrypoint is ``vllm serve``; hence arguments without a command.

Flags as of vLLM 0.32, ``vllm serve --help``; a test feeds every rendered set to that parser. Whatever shapes an answer is said
explicitly, also where it is today's default.
"""

import json
from typing import ClassVar, Final

from holdfast.api.model import EngineOptions, RemoteCode
from holdfast.api.names import ENGINE_PORT
from holdfast.api.revision import ResolvedGeneration, ResolvedModel
from holdfast.render.version1 import identity
from holdfast.render.version1.container import (
    ADAPTERS,
    CHAT_TEMPLATE,
    DRAFT,
    MODEL,
    OFFLINE,
    TEMPORARY,
    TOKENIZER,
    WRITABLE,
    EngineContainer,
    environment,
    transformers_problems,
)

_ENVIRONMENT: Final = {
    **OFFLINE,
    **WRITABLE,
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "0",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "0",
    "VLLM_CACHE_ROOT": f"{TEMPORARY}/vllm",
    "VLLM_CONFIG_ROOT": f"{TEMPORARY}/vllm-config",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_PLUGINS": "",  # empty loads none; unset would load all that the image has
    "VLLM_SERVER_DEV_MODE": "0",  # its endpoints replace weights at run time
}


class VLLM:
    """Renders vLLM."""

    VERSIONS: ClassVar[str] = "0.32 to 0.33"

    def container(self, model: ResolvedModel, *, fingerprint: str, drain_seconds: int) -> EngineContainer:
        """Return how to run a model."""
        options = model.engine.options or EngineOptions()
        args = [
            MODEL,
            f"--tokenizer={TOKENIZER if model.tokenizer else MODEL}",
            f"--served-model-name={model.served_name}",
            "--host=0.0.0.0",
            f"--port={ENGINE_PORT}",
            "--load-format=safetensors",
            f"--dtype={options.data_type or 'auto'}",
            f"--kv-cache-dtype={options.kv_cache_data_type or 'auto'}",
            f"--seed={options.seed or 0}",
            f"--tensor-parallel-size={options.tensor_parallelism or 1}",
            f"--pipeline-parallel-size={options.pipeline_parallelism or 1}",
            "--trust-remote-code" if model.remote_code is RemoteCode.PINNED else "--no-trust-remote-code",
            "--no-trust-request-chat-template",
            "--generation-config=vllm",
            f"--override-generation-config={_generation(model.generation)}",
            "--fingerprint-mode=custom",
            f"--fingerprint-value={fingerprint}",
            f"--shutdown-timeout={drain_seconds}",
        ]
        if options.context_length is not None:
            args.append(f"--max-model-len={options.context_length}")
        if options.quantization is not None:
            args.append(f"--quantization={options.quantization}")
        if model.chat_template.text is not None:
            args.append(f"--chat-template={CHAT_TEMPLATE}")
        if model.draft_model is not None:
            draft = {"model": DRAFT, "num_speculative_tokens": model.draft_model.tokens}
            args.append(f"--speculative-config={json.dumps(draft, separators=(',', ':'))}")
        if model.adapters:
            # A path that exists; a name that does not is taken for a repository of the Hub, at whatever commit.
            named = [f"{adapter.name}={ADAPTERS}/{adapter.name}" for adapter in model.adapters]
            args += ["--enable-lora", "--lora-modules", *named]
        return EngineContainer(
            args=(*args, *(model.engine.args or ())),
            env=environment(model, _ENVIRONMENT),
            health_path="/health",
            shared_memory="8Gi",  # more than 240 MiB are needed even on one CPU
            finishes_requests=True,
        )

    def identity(self, model: ResolvedModel, *, fingerprint: str) -> bytes:
        """Return what vLLM has to report."""
        options = model.engine.options or EngineOptions()
        names = identity.served_names(model)
        facts = [
            identity.fact("servedName", "/v1/models", "data.*.id", names),
            identity.fact("source", "/v1/models", "data.*.root", identity.folders(model)),
        ]
        if options.context_length is not None:
            facts.append(
                identity.fact("engine.options.contextLength", "/v1/models", "data.0.max_model_len", options.context_length)
            )
        constants = [identity.constant("engine.image", "/version", "version")]
        return identity.document(facts, constants, identity.completions(names, fingerprint=fingerprint))

    def problems(self, model: ResolvedModel) -> list[str]:
        """Return what vLLM cannot do."""
        return transformers_problems(model)


def _generation(generation: ResolvedGeneration) -> str:
    values = {
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "top_k": max(generation.top_k, 0),
        "min_p": generation.min_p,
        "repetition_penalty": generation.repetition_penalty,
        "presence_penalty": generation.presence_penalty,
        "frequency_penalty": generation.frequency_penalty,
    }
    return json.dumps(values, separators=(",", ":"))
