"""The values that a model really runs with: what its owner declared, else what its own files say, else a documented value.

Nothing is left to an engine's default, which changes with the engine. Only what nobody could read stays open: a list of files that
came with the manifest has no contents, and a .gguf file carries its own settings. Those are pinned with the file.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from holdfast.api.found import Found
from holdfast.api.model import ChatTemplate, Engine, EngineOptions, EngineType, Generation
from holdfast.api.revision import ResolvedGeneration, ResolvedTemplate, TemplateOrigin
from holdfast.domain import texts
from holdfast.domain.texts import UnreadableError

NEUTRAL: Final = ResolvedGeneration(
    temperature=1.0,
    top_p=1.0,
    top_k=-1,
    min_p=0.0,
    repetition_penalty=1.0,
    presence_penalty=0.0,
    frequency_penalty=0.0,
)
"""Sampling defaults that leave the model's own probabilities as they are."""
_READS_GENERATION: Final = (EngineType.VLLM,)
"""Engines that are told sampling defaults and whose models say some. SGLang and TGI take them with each request only."""
_LENGTHS: Final = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
"""Names of the context length in configurations (vLLM 0.33, ``ModelConfig``)."""
_LONGEST_CONTEXT: Final = 16_777_216
_TYPES: Final = ("float32", "float16", "bfloat16")
_QUANTIZATION_MAX: Final = 63


def template(declared: ChatTemplate | None, engine: EngineType, found: Found) -> ResolvedTemplate:
    """Return how messages become a prompt.

    Args:
        declared: what the owner wrote.
        engine: llama.cpp reads the template in the .gguf file itself.
        found: the source that the tokenizer comes from.

    Raises:
        UnreadableError: a file is malformed.
    """
    if declared is not None and declared.text is not None:
        return ResolvedTemplate(origin=TemplateOrigin.INLINE, text=declared.text)
    if engine is EngineType.LLAMA_CPP or found.texts is None:
        return ResolvedTemplate(origin=TemplateOrigin.SOURCE)
    known = texts.templates(found)
    if known.effective is None and not known.others:
        return ResolvedTemplate(origin=TemplateOrigin.ENGINE)
    # Of several templates the engine takes the one that fits the request's tools; a single text would take that away.
    return ResolvedTemplate(origin=TemplateOrigin.SOURCE, text=known.effective if known.single else None)


def generation(declared: Generation | None, engine: EngineType, found: Found) -> ResolvedGeneration:
    """Return sampling defaults: declared, else the model's generation_config.json, else `NEUTRAL`.

    Raises:
        UnreadableError: the file is malformed, or has values that no engine takes.
    """
    values = NEUTRAL.wire()
    if engine in _READS_GENERATION:
        values |= _said(texts.document(found, texts.GENERATION) or {})
    values |= declared.wire() if declared is not None else {}
    if values["topK"] == 0:  # another way to say all
        values["topK"] = -1
    return ResolvedGeneration.parse(values)


def _said(config: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name, field in Generation.model_fields.items():
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UnreadableError(f"{name} of {texts.GENERATION} is not a number")
        said[str(field.alias)] = int(value) if name == "top_k" else value
    try:
        Generation.parse(said)
    except ValueError as error:
        raise UnreadableError(f"{texts.GENERATION} has a value that no engine takes; write spec.model.generation") from error
    return said


def engine(declared: Engine, found: Found, tokenizer: Found) -> Engine:
    """Return the engine with every option that it has.

    Raises:
        UnreadableError: a file is malformed, or does not say what an option needs.
    """
    options = declared.options or EngineOptions()
    match declared.type:
        case EngineType.LLAMA_CPP:
            options = options.model_copy(update={"model_file": options.model_file or _single_gguf(found)})
        case EngineType.TGI:
            # TGI takes a seed with each request only, and no type beside a quantization.
            type_said = options.data_type not in {None, "auto"}
            options = _from_files(options, found, tokenizer)
            quantized = options.quantization or checkpoint_quantization(declared.type, found)
            options = options.model_copy(update={"data_type": None}) if quantized and not type_said else options
            options = options.model_copy(update={"tensor_parallelism": options.tensor_parallelism or 1})
        case _:
            options = _from_files(options, found, tokenizer)
            options = options.model_copy(
                update={
                    "seed": options.seed or 0,
                    "tensor_parallelism": options.tensor_parallelism or 1,
                    "pipeline_parallelism": options.pipeline_parallelism or 1,
                }
            )
    return declared.model_copy(
        update={
            "options": options if options.wire() else None,
            "args": declared.args or None,
            "env": declared.env or None,
        }
    )


def _single_gguf(found: Found) -> str | None:
    paths = [file.path for file in found.source.files or () if file.path.endswith(".gguf")]
    return paths[0] if len(paths) == 1 else None


def _from_files(options: EngineOptions, found: Found, tokenizer: Found) -> EngineOptions:
    config = texts.document(found, texts.CONFIG)
    if config is None:  # nobody read it, or it is missing, which the engine's own check says
        return options
    said: dict[str, object] = {}
    if options.context_length is None:
        said["context_length"] = _context_length(config, texts.document(tokenizer, texts.TOKENIZER) or {})
    if options.data_type is None or options.data_type == "auto":
        said["data_type"] = _data_type(config)
    return options.model_copy(update=said)


def _context_length(config: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> int:
    lengths = [length for part in texts.nested(config) for name in _LENGTHS for length in _lengths(part.get(name))]
    if not lengths:
        raise UnreadableError(f"{texts.CONFIG} says no context length; write spec.model.engine.options.contextLength")
    return min([*lengths, *_lengths(tokenizer.get("model_max_length"))])


def _lengths(value: object) -> tuple[int, ...]:
    """Return a length; nothing for what is none, such as the 1e30 of a tokenizer whose length nobody set."""
    is_length = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LONGEST_CONTEXT
    return (int(value),) if isinstance(value, int) and is_length else ()


def _data_type(config: Mapping[str, Any]) -> str:
    for part in texts.nested(config):
        for name in ("dtype", "torch_dtype"):
            value = part.get(name)
            if isinstance(value, str):
                found = value.removeprefix("torch.")
                if found in _TYPES:
                    return found
                raise UnreadableError(f"{name} of {texts.CONFIG} is {value[:40]!a}; write spec.model.engine.options.dataType")
    raise UnreadableError(f"{texts.CONFIG} names no data type; write spec.model.engine.options.dataType")


def checkpoint_quantization(engine: EngineType, found: Found) -> str | None:
    """Return the quantization method that a model's config.json names; None for none, or when nobody read it.

    It is no option of the engine: every engine reads it in that file, which is pinned, and then takes the fastest kernels for it.
    SGLang and older vLLM take an explicit gptq or awq as an order not to use Marlin's; TGI and vLLM know some methods of
    checkpoints by another name than the file's, and refuse the file's own.

    Raises:
        UnreadableError: the file is malformed.
    """
    config = texts.document(found, texts.CONFIG) if engine is not EngineType.LLAMA_CPP else None
    for part in texts.nested(config or {}):
        for name in ("quantization_config", "compression_config"):
            value = part.get(name)
            if not isinstance(value, dict):
                continue
            method = value.get("quant_method")
            if isinstance(method, str) and method:
                return _method(method)
    return None


def _method(method: str) -> str:
    name = method.lower()
    try:
        EngineOptions.model_validate({"quantization": name})
    except ValueError as error:
        shown = ascii(method[:_QUANTIZATION_MAX])
        raise UnreadableError(f"quant_method of {texts.CONFIG} is {shown}, which is no name of a method") from error
    return name
