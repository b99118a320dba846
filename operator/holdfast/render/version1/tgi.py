"""Text Generation Inference 3.x (in maintenance mode upstream), through the public image's entrypoint.

The entrypoint passes its arguments on unquoted, so none may hold a space; all of ours are without. Flags as of 3.3,
``text-generation-launcher --help``.
"""

from typing import ClassVar, Final

from holdfast.api.model import EngineOptions, RemoteCode
from holdfast.api.names import ENGINE_PORT
from holdfast.api.revision import ResolvedModel, TemplateOrigin
from holdfast.domain.pin import NEUTRAL
from holdfast.render.version1 import identity
from holdfast.render.version1.container import (
    ADAPTERS,
    MODEL,
    OFFLINE,
    WRITABLE,
    EngineContainer,
    environment,
    transformers_problems,
    unfit_parts,
)

_UNREAD_TEMPLATE: Final = "chat_template.jinja"  # router/src/server.rs reads chat_template.json and tokenizer_config.json


class TGI:
    """Renders Text Generation Inference."""

    VERSIONS: ClassVar[str] = "3.3"

    def container(self, model: ResolvedModel, *, fingerprint: str, drain_seconds: int) -> EngineContainer:  # noqa: ARG002
        """Return how to run a model. It cannot show a fingerprint."""
        options = model.engine.options or EngineOptions()
        args = [
            f"--model-id={MODEL}",
            "--hostname=0.0.0.0",
            f"--port={ENGINE_PORT}",
            f"--num-shard={options.tensor_parallelism or 1}",
            f"--graceful-termination-timeout={drain_seconds}",
            "--usage-stats=off",
        ]
        if options.data_type not in {None, "auto"}:
            args.append(f"--dtype={options.data_type}")
        if options.quantization is not None:
            args.append(f"--quantize={options.quantization}")
        if options.kv_cache_data_type is not None:
            args.append(f"--kv-cache-dtype={options.kv_cache_data_type}")
        if options.context_length is not None:
            args += [f"--max-input-tokens={options.context_length - 1}", f"--max-total-tokens={options.context_length}"]
        if model.remote_code is RemoteCode.PINNED:
            args.append("--trust-remote-code")
        if model.adapters:
            named = ",".join(f"{adapter.name}={ADAPTERS}/{adapter.name}" for adapter in model.adapters)
            args.append(f"--lora-adapters={named}")
        return EngineContainer(
            args=(*args, *(model.engine.args or ())),
            env=environment(model, {**OFFLINE, **WRITABLE}),
            health_path="/health",
            shared_memory="8Gi",
            finishes_requests=True,
        )

    def identity(self, model: ResolvedModel, *, fingerprint: str) -> bytes:  # noqa: ARG002
        """Return what Text Generation Inference has to report. It has no name but the path, and answers to any."""
        options = model.engine.options or EngineOptions()
        facts = [identity.fact("source", "/info", "model_id", MODEL)]
        if options.context_length is not None:
            facts.append(identity.fact("engine.options.contextLength", "/info", "max_total_tokens", options.context_length))
        constants = [identity.constant("engine.image", "/info", "version")]
        return identity.document(facts, constants, identity.completions([model.served_name]))

    def problems(self, model: ResolvedModel) -> list[str]:
        """Return what Text Generation Inference cannot do."""
        options = model.engine.options or EngineOptions()
        found = transformers_problems(model) + unfit_parts(
            model,
            tokenizer="TGI takes the tokenizer from the source's files only; leave it out",
            draft_model="TGI has no draft model; leave it out",
        )
        if model.generation != NEUTRAL:
            found.append("spec.model.generation: TGI has no sampling defaults of its own; leave it out, clients send them")
        if model.chat_template.origin is TemplateOrigin.INLINE:
            found.append("spec.model.chatTemplate: TGI takes the template from the source's files only; leave it out")
        elif any(file.path == _UNREAD_TEMPLATE for file in model.source.files or ()):
            found.append(
                f"spec.model.source: TGI does not read {_UNREAD_TEMPLATE}; leave it out with include, or take another engine"
            )
        if options.pipeline_parallelism not in {None, 1}:
            found.append("spec.model.engine.options.pipelineParallelism: TGI has none; leave it out")
        if options.seed is not None:
            found.append("spec.model.engine.options.seed: TGI takes a seed with each request only; leave it out")
        if options.data_type == "float32":
            found.append("spec.model.engine.options.dataType: TGI knows auto, float16 and bfloat16")
        if options.data_type not in {None, "auto"} and options.quantization is not None:
            found.append("spec.model.engine.options: TGI takes dataType or quantization, not both")
        if options.context_length == 1:
            found.append("spec.model.engine.options.contextLength: TGI needs at least 2")
        found += [
            f"spec.model.engine.args: TGI's entrypoint hands {argument!r} to a shell; write it without spaces and any of *?["
            for argument in model.engine.args or ()
            if any(character.isspace() or character in "*?[" for character in argument)
        ]
        return found
