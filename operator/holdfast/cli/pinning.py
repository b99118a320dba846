"""From a repository and an image, by whatever name, to an exact ModelDeployment: asks the Hub and the registry."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from holdfast.api.deployment import ModelDeploymentSpec
from holdfast.api.found import Found, Question, Taking
from holdfast.api.model import Engine, EngineOptions, EngineType, HuggingFaceSource, Model, ModelSource
from holdfast.api.revision import ResolvedSource
from holdfast.cli.choice import DEFAULT_IMAGES, Choice, choose
from holdfast.cli.exits import CommandError, ExitCode
from holdfast.cli.naming import deployment_name
from holdfast.domain import checks
from holdfast.domain.pin import resolve_model
from holdfast.domain.texts import UnreadableError
from holdfast.render.deployment import problems
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_errors import HubError, SourceForbiddenError, SourceNotFoundError, SourceUnavailableError
from holdfast.sources.registry import (
    ImageNotFoundError,
    ImageReferenceError,
    RegistryError,
    RegistryForbiddenError,
    RegistryUnavailableError,
    ResolvedImage,
    parse_reference,
    resolve_image,
)
from holdfast.sources.registry_credentials import credentials_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the person asked for; None and empty are left to the repository and the engine."""

    repository: str
    ref: str
    engine: EngineType | None
    image: str | None
    file: str | None
    include: Sequence[str]
    name: str | None
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """What it is, exactly."""

    name: str
    commit: str
    spec: ModelDeploymentSpec
    choice: Choice
    source: ResolvedSource
    listed: int
    """Files that the repository has; `source` has those that were taken."""
    image: ResolvedImage


async def pin(wanted: Wanted, environ: Mapping[str, str]) -> Pinned:
    """Resolve everything that was named loosely.

    Raises:
        CommandError: something does not exist, may not be seen, cannot be reached, or would not work together.
    """
    resolver = HubResolver(wanted.endpoint, token=lambda: environ.get("HF_TOKEN") or None)
    try:
        return await _pin(wanted, environ, resolver)
    except (HubError, RegistryError) as error:
        raise CommandError(str(error), _code(error)) from error
    finally:
        await resolver.close()


async def _pin(wanted: Wanted, environ: Mapping[str, str], resolver: HubResolver) -> Pinned:
    commit = await resolver.resolve_ref(wanted.repository, wanted.ref)
    listed = await resolver.repository_files(wanted.repository, commit)
    choice = choose(listed, repository=wanted.repository, engine=wanted.engine, file=wanted.file, include=wanted.include)
    source = _checked_source(wanted.repository, commit, choice)
    taking = Taking.GGUF if choice.engine is EngineType.LLAMA_CPP else Taking.SAFETENSORS
    question = Question(source=ModelSource(hugging_face=source), taking=taking, file=choice.model_file)
    found, image = await asyncio.gather(
        resolver.resolve(question), _image(wanted.image or DEFAULT_IMAGES[choice.engine], environ)
    )
    options = EngineOptions(model_file=choice.model_file) if choice.model_file else None
    try:
        model = Model(
            source=ModelSource(hugging_face=source.model_copy(update={"manifest_digest": found.source.manifest_digest})),
            engine=Engine(type=choice.engine, image=image.pinned, options=options),
        )
    except ValidationError as error:
        raise CommandError(_first(error), ExitCode.USAGE) from error
    name = wanted.name or deployment_name(wanted.repository)
    told = _problems(name, model, {"source": found})
    if told:
        raise CommandError(f"{wanted.repository} at {commit} would not start: {'; '.join(told)}")
    return Pinned(
        name=name,
        commit=commit,
        spec=ModelDeploymentSpec(model=model),
        choice=choice,
        source=found.source,
        listed=len(listed),
        image=image,
    )


def _problems(name: str, model: Model, found: Mapping[str, Found]) -> list[str]:
    told = checks.problems(model, found)
    try:
        return told + problems(resolve_model(name, model, found))
    except UnreadableError as error:
        return [*told, str(error)]


def _checked_source(repository: str, commit: str, choice: Choice) -> HuggingFaceSource:
    try:
        return HuggingFaceSource(repository=repository, commit=commit, include=list(choice.include) if choice.include else None)
    except ValidationError as error:
        raise CommandError(_first(error), ExitCode.USAGE) from error


async def _image(text: str, environ: Mapping[str, str]) -> ResolvedImage:
    """Resolve a tag; a digest says already what it is, and the registry is not asked."""
    reference = parse_reference(text)
    if reference.pinned is not None:
        return ResolvedImage(asked=reference, pinned=reference.pinned, platforms=())
    return await resolve_image(reference, credentials=credentials_for(reference.registry, environ))


def _code(error: HubError | RegistryError) -> ExitCode:
    match error:
        case SourceNotFoundError() | ImageNotFoundError():
            return ExitCode.NOT_FOUND
        case SourceForbiddenError() | RegistryForbiddenError():
            return ExitCode.FORBIDDEN
        case SourceUnavailableError() | RegistryUnavailableError():
            return ExitCode.UNREACHABLE
        case ImageReferenceError():
            return ExitCode.USAGE
        case _:
            return ExitCode.FAILED


def _first(error: ValidationError) -> str:
    """Return the first finding of our own models, in one sentence."""
    found = error.errors()[0]
    return f"{'.'.join(str(part) for part in found['loc'])}: {found['input']!r}: {found['msg']}"
