"""What a pin writes into a manifest of the answers: digests, or everything, for a cluster that cannot ask."""

from collections.abc import Mapping

from holdfast.api.found import Found
from holdfast.api.model import DECLARED_FILES_MAX, ChatTemplate, EngineType, Generation, HuggingFaceSource, Model, ModelSource
from holdfast.api.revision import ResolvedModel
from holdfast.cli.exits import CommandError
from holdfast.domain.pin import NEUTRAL


def with_digests(model: Model, found: Mapping[str, Found]) -> Model:
    """Return the model with the digest of each list of files, so that another list is refused."""
    return _with_sources(model, found, files=False)


def inline(model: Model, found: Mapping[str, Found], resolved: ResolvedModel) -> Model:
    """Return the model with its lists of files, and with every value that the operator would otherwise read in them.

    Raises:
        CommandError: a list is longer than a manifest holds.
    """
    update: dict[str, object] = {"engine": model.engine.model_copy(update={"options": resolved.engine.options})}
    if resolved.generation != NEUTRAL:
        update["generation"] = Generation.parse(resolved.generation.wire())
    if resolved.chat_template.text is not None and resolved.engine.type is not EngineType.TGI:  # TGI reads its files only
        clock = model.chat_template.clock if model.chat_template else None
        update["chat_template"] = ChatTemplate(text=resolved.chat_template.text, clock=clock)
    return _with_sources(model, found, files=True).model_copy(update=update)


def _with_sources(model: Model, found: Mapping[str, Found], *, files: bool) -> Model:
    source = model.source
    if source.hugging_face is not None:
        source = ModelSource(hugging_face=_repository(source.hugging_face, found["source"], files=files))
    elif source.oci is not None:
        update = _answers(found["source"], source.oci.reference, files=files)
        source = ModelSource(oci=source.oci.model_copy(update=update))
    code = [_repository(each, found[f"code[{index}]"], files=files) for index, each in enumerate(model.code or ())]
    return model.model_copy(update={"source": source, "code": code or None})


def _repository(source: HuggingFaceSource, found: Found, *, files: bool) -> HuggingFaceSource:
    update = _answers(found, source.repository, files=files)
    return source.model_copy(update={**update, "include": None} if files else update)


def _answers(found: Found, name: str, *, files: bool) -> dict[str, object]:
    digest: dict[str, object] = {"manifest_digest": found.source.manifest_digest}
    if not files:
        return digest
    listed = found.source.files or []
    if len(listed) > DECLARED_FILES_MAX:
        raise CommandError(
            f"{name} has {len(listed)} files, and a manifest lists at most {DECLARED_FILES_MAX}; choose with --include,"
            " or push an artifact with fewer"
        )
    return {**digest, "files": listed}
