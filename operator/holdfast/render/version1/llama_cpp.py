"""llama.cpp's ``llama-server``, through the public server image, whose entrypoint it is.

Its command line takes a flag's value as an argument of its own, never behind ``=``. Flags as of 2026,
tools/server/README.md. It answers whatever model name is asked for; the host name of the request chooses the model.
"""

from typing import ClassVar, Final

from holdfast.api.model import EngineOptions, RemoteCode
from holdfast.api.names import ENGINE_PORT
from holdfast.api.revision import ResolvedModel, ResolvedSource
from holdfast.render.version1 import identity
from holdfast.render.version1.container import (
    CHAT_TEMPLATE,
    DRAFT,
    MODEL,
    TEMPORARY,
    EngineContainer,
    environment,
    unfit_parts,
)

_RANDOM_SEED: Final = -1  # another one for each request
_SMALLEST: Final = 2.0**-126
_LONG_CONTEXT: Final = 262_144
"""How far back to look for tokens that were said before, as other engines look at the whole context, when nobody knows its length.

The documentation's -1 for the whole context ends builds of October 2026 at their start (common/arg.cpp).
"""


class LlamaCpp:
    """Renders llama.cpp."""

    VERSIONS: ClassVar[str] = "builds of 2026"

    def container(self, model: ResolvedModel, *, fingerprint: str, drain_seconds: int) -> EngineContainer:  # noqa: ARG002
        """Return how to run a model. It cannot show a fingerprint, and drops its streams on SIGTERM."""
        options = model.engine.options or EngineOptions()
        generation = model.generation
        args = [
            *("--model", f"{MODEL}/{_files(model)[0]}"),
            *("--alias", model.served_name),
            *("--host", "0.0.0.0"),  # noqa: S104 # the pod's own network; the NetworkPolicy decides who reaches it
            *("--port", str(ENGINE_PORT)),
            *("--ctx-size", str(options.context_length or 0)),  # 0 is the model's own length
            *("--seed", str(_RANDOM_SEED if options.seed is None else options.seed)),
            *("--temp", _number(generation.temperature)),
            *("--top-p", _number(generation.top_p)),
            *("--top-k", str(max(generation.top_k, 0))),  # 0 keeps all tokens, as -1 does elsewhere
            *("--min-p", _number(generation.min_p)),
            *("--repeat-penalty", _number(generation.repetition_penalty)),
            *("--presence-penalty", _number(generation.presence_penalty)),
            *("--frequency-penalty", _number(generation.frequency_penalty)),
            *("--repeat-last-n", str(options.context_length or _LONG_CONTEXT)),
            *("--fit", "off"),  # it would shorten the context to what fits the memory of this node
            "--jinja",
            "--offline",
            "--no-webui",
            "--metrics",
        ]
        if options.kv_cache_data_type is not None:
            args += ["--cache-type-k", options.kv_cache_data_type, "--cache-type-v", options.kv_cache_data_type]
        if model.chat_template.text is not None:
            args += ["--chat-template-file", CHAT_TEMPLATE]
        if model.draft_model is not None:
            args += ["--spec-type", "draft-simple", "--spec-draft-model", f"{DRAFT}/{_ggufs(model.draft_model.source)[0]}"]
            args += ["--spec-draft-n-max", str(model.draft_model.tokens)]
        for argument in model.engine.args or ():
            args += argument.split("=", 1)
        return EngineContainer(
            args=tuple(args),
            env=environment(model, {"HOME": TEMPORARY, "LLAMA_CACHE": f"{TEMPORARY}/llama.cpp", "TMPDIR": TEMPORARY}),
            health_path="/health",
            finishes_requests=False,
        )

    def identity(self, model: ResolvedModel, *, fingerprint: str) -> bytes:  # noqa: ARG002
        """Return what llama.cpp has to report. Its context length is rounded up, so it is only held to what it was first."""
        facts = [
            identity.fact("servedName", "/v1/models", "data.*.id", [model.served_name]),
            identity.fact("engine.options.modelFile", "/props", "model_path", f"{MODEL}/{_files(model)[0]}"),
        ]
        constants = [
            identity.constant("engine.image", "/props", "build_info"),
            identity.constant("engine.options.contextLength", "/props", "default_generation_settings.n_ctx"),
        ]
        return identity.document(facts, constants, identity.completions([model.served_name]))

    def problems(self, model: ResolvedModel) -> list[str]:
        """Return what llama.cpp cannot do."""
        options = model.engine.options or EngineOptions()
        found = unfit_parts(
            model,
            tokenizer="the tokenizer is part of a .gguf file; leave it out",
            adapters="LlamaCpp answers every model name with the same model; take another engine",
            code="LlamaCpp runs no Python code; leave it out",
        )
        files = _files(model)
        if not files:
            missing = f"{options.model_file} is not among" if options.model_file else "there is no .gguf file among"
            found.append(f"spec.model.engine.options.modelFile: {missing} the source's files; check include and the repository")
        elif len(files) > 1:
            found.append(
                f"spec.model.engine.options.modelFile: the source has {len(files)} .gguf files; name the one to load"
                f" (of a split model the first), such as {files[0]}"
            )
        if model.draft_model is not None and len(_ggufs(model.draft_model.source)) != 1:
            found.append("spec.model.draftModel.source: LlamaCpp takes the one .gguf file that it has; choose it with include")
        if model.remote_code is RemoteCode.PINNED:
            found.append("spec.model.remoteCode: LlamaCpp runs no Python code; leave it out")
        if options.data_type not in {None, "auto"}:
            found.append("spec.model.engine.options.dataType: the type is part of a .gguf file; leave it out")
        if options.quantization is not None:
            found.append("spec.model.engine.options.quantization: it is part of a .gguf file; leave it out")
        if options.tensor_parallelism not in {None, 1}:
            found.append("spec.model.engine.options.tensorParallelism: LlamaCpp has none; leave it out")
        if options.pipeline_parallelism not in {None, 1}:
            found.append("spec.model.engine.options.pipelineParallelism: LlamaCpp has none; leave it out")
        return found


def _files(model: ResolvedModel) -> list[str]:
    """Return the files that may be the one to load."""
    named = model.engine.options.model_file if model.engine.options else None
    if named and model.source.files is None:
        return [named]  # on a volume with its own list, which nobody has read yet
    return [path for path in _ggufs(model.source) if not named or path == named]


def _ggufs(source: ResolvedSource) -> list[str]:
    return [file.path for file in source.files or () if file.path.endswith(".gguf")]


def _number(value: float) -> str:
    """Return the shortest decimal text of a number, the same on every machine; 0 for what is none in llama.cpp's 32 bits."""
    if abs(value) < _SMALLEST or value == int(value):
        return str(int(value))
    return repr(value)
