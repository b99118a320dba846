"""SGLang. Its public image has no server as entrypoint; hence a command.

Flags as of SGLang 0.5.23, ``python3 -m sglang.launch_server --help``. Its routes that replace weights are open to whoever reaches
the pod, unless there is a key for them. Nobody shall have one, so the command makes one at random that is never told; the
NetworkPolicy and the gateway's list of paths keep the routes shut as well.
"""

from typing import ClassVar, Final

from holdfast.api.model import EngineOptions, RemoteCode
from holdfast.api.names import ENGINE_PORT
from holdfast.api.revision import ResolvedModel
from holdfast.domain.pin import NEUTRAL
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

_LAUNCH: Final = """\
import os, secrets, sys
server = [sys.executable, "-m", "sglang.launch_server", *sys.argv[1:], f"--admin-api-key={secrets.token_hex(32)}"]
os.execv(sys.executable, server)
"""
_ENVIRONMENT: Final = {**OFFLINE, **WRITABLE, "SGLANG_CACHE_DIR": f"{TEMPORARY}/sglang"}


class SGLang:
    """Renders SGLang."""

    VERSIONS: ClassVar[str] = "0.5.23"

    def container(self, model: ResolvedModel, *, fingerprint: str, drain_seconds: int) -> EngineContainer:  # noqa: ARG002
        """Return how to run a model. On SIGTERM it finishes its requests, however long they take."""
        options = model.engine.options or EngineOptions()
        args = [
            f"--model-path={MODEL}",
            f"--tokenizer-path={TOKENIZER if model.tokenizer else MODEL}",
            f"--served-model-name={model.served_name}",
            "--host=0.0.0.0",
            f"--port={ENGINE_PORT}",
            "--load-format=safetensors",
            f"--dtype={options.data_type or 'auto'}",
            f"--kv-cache-dtype={options.kv_cache_data_type or 'auto'}",
            f"--random-seed={options.seed or 0}",
            f"--tensor-parallel-size={options.tensor_parallelism or 1}",
            f"--pipeline-parallel-size={options.pipeline_parallelism or 1}",
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
        if model.remote_code is RemoteCode.PINNED:
            args.append("--trust-remote-code")
        if model.draft_model is not None:
            args += [
                "--speculative-algorithm=STANDALONE",
                f"--speculative-draft-model-path={DRAFT}",
                f"--speculative-num-steps={model.draft_model.tokens}",
                "--speculative-eagle-topk=1",  # a chain of tokens, not a tree of them
                f"--speculative-num-draft-tokens={model.draft_model.tokens + 1}",  # the model's own token comes with them
            ]
        if model.adapters:
            args += [
                "--enable-lora",
                "--lora-paths",
                *(f"{adapter.name}={ADAPTERS}/{adapter.name}" for adapter in model.adapters),
            ]
        return EngineContainer(
            command=("python3", "-c", _LAUNCH),
            args=(*args, *(model.engine.args or ())),
            env=environment(model, _ENVIRONMENT),
            health_path="/health",
            shared_memory="8Gi",
            finishes_requests=True,
        )

    def identity(self, model: ResolvedModel, *, fingerprint: str) -> bytes:
        """Return what SGLang has to report. Its weight version is ours, and changes when weights are replaced."""
        options = model.engine.options or EngineOptions()
        names = identity.served_names(model)
        facts = [
            identity.fact("servedName", "/v1/models", "data.*.id", names),
            identity.fact("source", "/model_info", "model_path", MODEL),
            identity.fact("tokenizer", "/model_info", "tokenizer_path", TOKENIZER if model.tokenizer else MODEL),
            identity.fact("digest", "/model_info", "weight_version", fingerprint),
        ]
        if options.context_length is not None:
            facts.append(
                identity.fact("engine.options.contextLength", "/v1/models", "data.0.max_model_len", options.context_length)
            )
        constants = [identity.constant("engine.image", "/server_info", "version")]
        return identity.document(facts, constants, identity.completions(names))

    def problems(self, model: ResolvedModel) -> list[str]:
        """Return what SGLang cannot do."""
        found = transformers_problems(model)
        if model.generation != NEUTRAL:
            # --preferred-sampling-params does not reach the OpenAI routes, which send every value themselves.
            found.append("spec.model.generation: SGLang has no sampling defaults for its OpenAI API; leave it out")
        return found
