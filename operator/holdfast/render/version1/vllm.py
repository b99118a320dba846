"""vLLM, through its public image, whose entrypoint is ``vllm serve``; hence arguments without a command.

Flags as of vLLM 0.32, ``vllm serve --help``. Whatever shapes an answer is said explicitly, also where it is today's default.
"""

import json

from holdfast.api.model import EngineOptions
from holdfast.api.names import ENGINE_PORT
from holdfast.api.revision import ResolvedGeneration, ResolvedModel
from holdfast.render.version1.container import (
    CHAT_TEMPLATE,
    MODEL,
    OFFLINE,
    TEMPORARY,
    WRITABLE,
    EngineContainer,
    missing_files,
    no_single_file,
)

_ENVIRONMENT = {
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

    def container(self, model: ResolvedModel, *, fingerprint: str, drain_seconds: int) -> EngineContainer:
        """Return how to run a model."""
        options = model.engine.options or EngineOptions()
        args = [
            MODEL,
            f"--tokenizer={MODEL}",
            f"--served-model-name={model.served_name}",
            "--host=0.0.0.0",
            f"--port={ENGINE_PORT}",
            "--load-format=safetensors",
            f"--dtype={options.data_type or 'auto'}",
            f"--seed={options.seed or 0}",
            f"--tensor-parallel-size={options.tensor_parallelism or 1}",
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
        return EngineContainer(
            args=(*args, *(model.engine.args or ())),
            env=_ENVIRONMENT,
            health_path="/health",
            shared_memory="8Gi",  # more than 240 MiB are needed even on one CPU
            finishes_requests=True,
        )

    def problems(self, model: ResolvedModel) -> list[str]:
        """Return what vLLM cannot do."""
        return missing_files(model) + no_single_file(model)


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
