"""SGLang. Its public image has no server as entrypoint; hence a command.

Flags as of SGLang 0.5.23, ``python3 -m sglang.launch_server --help``. Its routes that replace weights are open to whoever reaches
the pod; the NetworkPolicy and the gateway's list of paths keep them shut.
"""

from holdfast.api.model import EngineOptions
from holdfast.api.names import ENGINE_PORT
from holdfast.api.revision import ResolvedModel
from holdfast.domain.pin import NEUTRAL
from holdfast.render.version1.container import (
    CHAT_TEMPLATE,
    MODEL,
    OFFLINE,
    WRITABLE,
    EngineContainer,
    missing_files,
    no_single_file,
)


class SGLang:
    """Renders SGLang."""

    def container(self, model: ResolvedModel, *, fingerprint: str, drain_seconds: int) -> EngineContainer:  # noqa: ARG002
        """Return how to run a model. On SIGTERM it finishes its requests, however long they take."""
        options = model.engine.options or EngineOptions()
        args = [
            f"--model-path={MODEL}",
            f"--tokenizer-path={MODEL}",
            f"--served-model-name={model.served_name}",
            "--host=0.0.0.0",
            f"--port={ENGINE_PORT}",
            "--load-format=safetensors",
            f"--dtype={options.data_type or 'auto'}",
            f"--random-seed={options.seed or 0}",
            f"--tensor-parallel-size={options.tensor_parallelism or 1}",
            "--sampling-defaults=openai",
            f"--weight-version={fingerprint}",
            "--enable-metrics",
        ]
        if options.context_length is not None:
            args.append(f"--context-length={options.context_length}")
        if options.quantization is not None:
            args.append(f"--quantization={options.quantization}")
        if model.chat_template.text is not None:
            args.append(f"--chat-template={CHAT_TEMPLATE}")
        return EngineContainer(
            command=("python3", "-m", "sglang.launch_server"),
            args=(*args, *(model.engine.args or ())),
            env={**OFFLINE, **WRITABLE},
            health_path="/health",
            shared_memory="8Gi",
            finishes_requests=True,
        )

    def problems(self, model: ResolvedModel) -> list[str]:
        """Return what SGLang cannot do."""
        found = missing_files(model) + no_single_file(model)
        if model.generation != NEUTRAL:
            # --preferred-sampling-params does not reach the OpenAI routes, which send every value themselves.
            found.append("spec.model.generation: SGLang has no sampling defaults for its OpenAI API; leave it out")
        return found
