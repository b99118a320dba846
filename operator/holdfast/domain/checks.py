"""What is refused before an owner is asked: parts that do not belong together, code that nobody pinned, prompts that change daily."""

from collections.abc import Iterator, Mapping

from holdfast.api.found import Found
from holdfast.api.manifest import MANIFEST_MAX_BYTES
from holdfast.api.model import Clock, EngineType, Model, RemoteCode
from holdfast.api.revision import ResolvedModel
from holdfast.domain import texts
from holdfast.domain.artifacts import artifacts_bytes
from holdfast.domain.texts import UnreadableError

_CLOCK = "strftime_now"
_START_DATE = "VLLM_SYSTEM_START_DATE"


def problems(model: Model, found: Mapping[str, Found]) -> list[str]:
    """Return why the parts of a declared model may not be served together, each with its field and what to write.

    Args:
        model: as it is declared.
        found: the answer for each source, by its field (`holdfast.domain.questions`).
    """
    told: list[str] = []
    for check in (_code, _adapters, _redirects, _clock):
        try:
            told += check(model, found)
        except UnreadableError as error:
            told.append(f"spec.model: {error}")
    return list(dict.fromkeys(told))


def size_problems(model: ResolvedModel) -> list[str]:
    """Return why the lists of files of a resolved model are too long together: one ConfigMap takes them to the pods."""
    size = len(artifacts_bytes(model))
    if size <= MANIFEST_MAX_BYTES:
        return []
    told = (
        f"spec.model: the lists of files of all its parts are {size} bytes long together, and {MANIFEST_MAX_BYTES} are the most"
    )
    return [f"{told}; choose the files that the engine needs with include"]


def _code(model: Model, found: Mapping[str, Found]) -> Iterator[str]:
    pinned = {code.repository for code in model.code or ()}
    for field in ("source", "tokenizer", "draftModel.source"):
        answer = found.get(field)
        if answer is None:
            continue
        own = answer.source.hugging_face.repository if answer.source.hugging_face is not None else None
        paths = {file.path for file in answer.source.files or ()}
        for path, repository, module in texts.code_references(answer):
            if repository is not None and repository != own:
                if repository not in pinned and model.remote_code is not RemoteCode.FORBIDDEN:
                    yield _foreign(field, path, repository)
            elif model.remote_code is RemoteCode.PINNED and f"{module.replace('.', '/')}.py" not in paths:
                yield f"spec.model.{field}: {path} loads {module!a}.py, which is not among the files; check include"


def _foreign(field: str, path: str, repository: str) -> str:
    shown = ascii(repository)[1:-1]
    return (
        f"spec.model.{field}: {path} loads Python code of {shown}, which is not pinned; write remoteCode: Pinned and code with"
        f" repository {shown} and its commit (holdfast pin --remote-code writes both), or remoteCode: Forbidden to serve without it"
    )


def _adapters(model: Model, found: Mapping[str, Found]) -> Iterator[str]:
    base = found["source"].source.hugging_face
    for index, adapter in enumerate(model.adapters or ()):
        field = f"adapters[{index}]"
        answer = found[f"{field}.source"]
        if answer.texts is None or model.engine.type is EngineType.LLAMA_CPP:
            continue
        config = texts.document(answer, texts.ADAPTER)
        if config is None:
            yield f"spec.model.{field}: the files have no {texts.ADAPTER}; it is no adapter, or include leaves it out"
            continue
        made_for = config.get("base_model_name_or_path")
        wanted = adapter.base_model or (base.repository if base is not None else None)
        if made_for != wanted:
            yield (
                f"spec.model.{field}: the adapter was made for {made_for!a}, and the model is {wanted or 'of no repository'};"
                " choose another, or write what it was made for as baseModel if that is the same model"
            )
        revision = config.get("revision")
        if adapter.base_model is None and base is not None and _is_commit(revision) and revision != base.commit:
            yield f"spec.model.{field}: the adapter was made for commit {revision}, and the model is pinned to {base.commit}"


def _is_commit(value: object) -> bool:
    return isinstance(value, str) and len(value) == 40 and all(character in "0123456789abcdef" for character in value)


def _redirects(model: Model, found: Mapping[str, Found]) -> Iterator[str]:
    """VLLM replaces a model in speculators format by the one that its configuration names, which nobody pinned."""
    del model
    for field in ("source", "draftModel.source"):
        answer = found.get(field)
        if answer is None or not isinstance(told := (texts.document(answer, texts.CONFIG) or {}).get("speculators_config"), dict):
            continue
        verifier = told.get("verifier")
        name = verifier.get("name_or_path") if isinstance(verifier, dict) else None
        yield (
            f"spec.model.{field}: {texts.CONFIG} is in speculators format and makes the engine load"
            f" {ascii(name) if name else 'another model'}; pin that model as source, and a plain draft model as draftModel"
        )


def _clock(model: Model, found: Mapping[str, Found]) -> Iterator[str]:
    declared = model.chat_template
    if declared is not None and declared.clock is Clock.ALLOWED:
        return
    if _dates_itself(model, found["source"]):
        if all(variable.name != _START_DATE for variable in model.engine.env or ()):
            yield (
                "spec.model.engine: VLLM itself writes today's date into every prompt of a gpt_oss model, so that the same question"
                f" gets another prompt each day; write the variable {_START_DATE} in engine.env, such as 2026-01-01, or"
                " chatTemplate.clock: Allowed"
            )
        return
    if declared is not None and declared.text is not None:
        if _CLOCK in declared.text:
            yield _told("spec.model.chatTemplate.text")
        return
    answer = found.get("tokenizer") or found["source"]
    known = texts.templates(answer)
    if any(_CLOCK in text for text in (known.effective or "", *known.others)):
        yield _told("spec.model.chatTemplate: the template in the files")


def _dates_itself(model: Model, source: Found) -> bool:
    """Whether the engine takes no template and writes the date into the prompt, today's unless a variable says another.

    vllm/entrypoints/openai/parser/harmony_utils.py of vLLM 0.32.
    """
    try:
        config = texts.document(source, texts.CONFIG) or {}
    except UnreadableError:  # other checks say so
        return False
    return model.engine.type is EngineType.VLLM and config.get("model_type") == "gpt_oss"


def _told(where: str) -> str:
    return (
        f"{where} asks for today's date ({_CLOCK}), so that the same question gets another prompt each day; write a template"
        " without it in chatTemplate.text, or chatTemplate.clock: Allowed"
    )
