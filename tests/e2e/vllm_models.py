"""Any model that an owner can declare for vLLM and that its renderer finds no problem with."""

from typing import Any, Final

from hypothesis import strategies as some

from holdfast.api.model import Model
from unit.render.cases import TEMPLATE, declared

_TYPES: Final = ("auto", "float32", "float16", "bfloat16")
_CACHE_TYPES: Final = ("auto", "fp8", "fp8_e4m3", "fp8_e5m2", "bfloat16")
_METHODS: Final = ("awq", "awq_marlin", "compressed-tensors", "fp8", "gptq", "gptq_marlin")
_TUNING: Final = (
    "--enforce-eager",
    "--max-num-seqs=64",
    "--max-num-batched-tokens=4096",
    "--gpu-memory-utilization=0.8",
    "--no-enable-prefix-caching",
    "--reasoning-parser=qwen3",
    "--enable-auto-tool-choice",
    "--tool-call-parser=hermes",
    '--default-chat-template-kwargs={"enable_thinking": false}',
    '--compilation-config={"mode": 0}',
    "--max-lora-rank=64",
)


def _repository(letter: str) -> dict[str, Any]:
    return {"huggingFace": {"repository": f"lab/{letter}", "commit": letter * 40}}


def _present(**fields: some.SearchStrategy[Any]) -> some.SearchStrategy[dict[str, Any]]:
    return some.fixed_dictionaries({}, optional=fields)


_OPTIONS: Final = _present(
    contextLength=some.integers(1, 16_777_216),
    dataType=some.sampled_from(_TYPES),
    quantization=some.sampled_from(_METHODS),
    kvCacheDataType=some.sampled_from(_CACHE_TYPES),
    seed=some.integers(0, 2**32 - 1),
    tensorParallelism=some.integers(1, 64),
    pipelineParallelism=some.integers(1, 64),
)
_GENERATION: Final = _present(
    temperature=some.floats(0, 10),
    topP=some.floats(0, 1),
    topK=some.integers(-1, 1_000_000),
    minP=some.floats(0, 1),
    repetitionPenalty=some.floats(0.01, 10),
    presencePenalty=some.floats(-2, 2),
    frequencyPenalty=some.floats(-2, 2),
)
_ADAPTERS: Final = some.lists(
    some.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True), min_size=1, max_size=4, unique=True
)


@some.composite
def models(draw: some.DrawFn) -> Model:
    """Draw a declared model."""
    fields: dict[str, Any] = draw(
        _present(
            servedName=some.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,40}", fullmatch=True),
            chatTemplate=some.just({"text": TEMPLATE}),
            tokenizer=some.just(_repository("b")),
            remoteCode=some.sampled_from(["Forbidden", "Pinned"]),
            draftModel=some.integers(1, 32).map(lambda tokens: {"source": _repository("c"), "tokens": tokens}),
            generation=_GENERATION.filter(bool),
            adapters=_ADAPTERS.map(lambda names: [{"name": name, "source": _repository("d")} for name in sorted(names)]),
        )
    )
    engine: dict[str, Any] = {"options": draw(_OPTIONS)}
    tuning = draw(some.lists(some.sampled_from(_TUNING), unique=True))
    if tuning:
        engine["args"] = tuning
    return declared("VLLM", engine_fields=engine, **fields)
