"""llama.cpp's ``llama-server``, through the public server image, whose entrypoint it is.

Its command line takes a flag's value as an argument of its own, never behind ``=``. Flags as of 2026,
tools/server/README.md. It answers whatever model name is asked for: the gateway's check of the name is the only one.
"""

from holdfast.api.model import EngineOptions
from holdfast.api.names import ENGINE_PORT
from holdfast.api.revision import ResolvedModel
from holdfast.render.version1.container import CHAT_TEMPLATE, MODEL, TEMPORARY, EngineContainer

_RANDOM_SEED = -1  # another one for each request


class LlamaCpp:
    """Renders llama.cpp."""

    def container(self, model: ResolvedModel, *, fingerprint: str, drain_seconds: int) -> EngineContainer:  # noqa: ARG002
        """Return how to run a model. It cannot show a fingerprint, and drops its streams on SIGTERM."""
        options = model.engine.options or EngineOptions()
        generation = model.generation
        args = [
            *("--model", f"{MODEL}/{_candidates(model)[0]}"),
            *("--alias", model.served_name),
            *("--host", "0.0.0.0"),  # noqa: S104 # the pod's own network; the NetworkPolicy decides who reaches it
            *("--port", str(ENGINE_PORT)),
            *("--ctx-size", str(options.context_length or 0)),  # 0 is the model's own length
            *("--seed", str(_RANDOM_SEED if options.seed is None else options.seed)),
            *("--temp", _number(generation.temperature)),
            *("--top-p", _number(generation.top_p)),
            *("--top-k", str(max(generation.top_k, 0))),  # 0 keeps all tokens, as -1 does elsewhere
            *("--min-p", _number(generation.min_p)),
            *("--fit", "off"),  # it would shorten the context to what fits the memory of this node
            "--jinja",
            "--offline",
            "--no-webui",
            "--metrics",
        ]
        if model.chat_template.text is not None:
            args += ["--chat-template-file", CHAT_TEMPLATE]
        for argument in model.engine.args or ():
            args += argument.split("=", 1)
        return EngineContainer(
            args=tuple(args),
            env={"HOME": TEMPORARY, "LLAMA_CACHE": f"{TEMPORARY}/llama.cpp", "TMPDIR": TEMPORARY},
            health_path="/health",
            finishes_requests=False,
        )

    def problems(self, model: ResolvedModel) -> list[str]:
        """Return what llama.cpp cannot do."""
        options = model.engine.options or EngineOptions()
        found: list[str] = []
        candidates = _candidates(model)
        if not candidates:
            missing = f"{options.model_file} is not among" if options.model_file else "there is no .gguf file among"
            found.append(f"spec.model.engine.options.modelFile: {missing} the source's files; check include and the repository")
        elif len(candidates) > 1:
            found.append(
                f"spec.model.engine.options.modelFile: the source has {len(candidates)} .gguf files; name the one to load"
                f" (of a split model the first), such as {candidates[0]}"
            )
        if options.data_type not in {None, "auto"}:
            found.append("spec.model.engine.options.dataType: the type is part of a .gguf file; leave it out")
        if options.quantization is not None:
            found.append("spec.model.engine.options.quantization: it is part of a .gguf file; leave it out")
        if options.tensor_parallelism not in {None, 1}:
            found.append("spec.model.engine.options.tensorParallelism: LlamaCpp has none; leave it out")
        return found


def _candidates(model: ResolvedModel) -> list[str]:
    """Return the files that may be the one to load."""
    named = model.engine.options.model_file if model.engine.options else None
    paths = [file.path for file in model.source.files or () if file.path.endswith(".gguf")]
    return [path for path in paths if path == named] if named else paths


def _number(value: float) -> str:
    """Return the shortest decimal text of a number, the same on every machine."""
    return str(int(value)) if value == int(value) else repr(value)
