"""Which sources a declared model names, and what has to be asked about each."""

from holdfast.api.found import Question, Taking
from holdfast.api.model import EngineType, Model, ModelSource, RemoteCode


def questions(model: Model) -> dict[str, Question]:
    """Return one question for each source, by its field below ``spec.model``. The fields are those of `ResolvedModel.sources`."""
    python = model.remote_code is RemoteCode.PINNED
    gguf = model.engine.type is EngineType.LLAMA_CPP
    weights = Taking.GGUF if gguf else Taking.SAFETENSORS
    file = model.engine.options.model_file if gguf and model.engine.options else None
    found = {"source": Question(source=model.source, taking=weights, python=python, file=file)}
    if model.tokenizer is not None:
        found["tokenizer"] = Question(source=model.tokenizer, taking=Taking.TOKENIZER, python=python)
    for index, code in enumerate(model.code or ()):
        found[f"code[{index}]"] = Question(source=ModelSource(hugging_face=code), taking=Taking.CODE, python=python)
    for index, adapter in enumerate(model.adapters or ()):
        found[f"adapters[{index}].source"] = Question(source=adapter.source, taking=weights)
    if model.draft_model is not None:
        found["draftModel.source"] = Question(source=model.draft_model.source, taking=weights, python=python)
    return found
