"""From a repository and an image, by whatever name, to an exact ModelDeployment: asks the Hub and the registry."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import ValidationError

from holdfast.api.deployment import ModelDeploymentSpec
from holdfast.api.found import Found
from holdfast.api.model import (
    ChatTemplate,
    Clock,
    Engine,
    EngineOptions,
    EngineType,
    HuggingFaceSource,
    Model,
    ModelSource,
    OciSource,
    RemoteCode,
)
from holdfast.api.revision import ResolvedModel, ResolvedSource
from holdfast.cli.artifact_content import look_into
from holdfast.cli.choice import DEFAULT_IMAGES, Choice, choose
from holdfast.cli.endpoints import token_of
from holdfast.cli.exits import CommandError, ExitCode
from holdfast.cli.inlining import inline, with_digests
from holdfast.cli.naming import deployment_name
from holdfast.domain import checks
from holdfast.domain.pin import resolve_model
from holdfast.domain.questions import questions
from holdfast.domain.texts import UnreadableError, code_references
from holdfast.render.deployment import problems
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_errors import HubError, SourceForbiddenError, SourceNotFoundError, SourceUnavailableError
from holdfast.sources.oci_listing import Listing, chosen
from holdfast.sources.registry import ResolvedImage, resolve_image
from holdfast.sources.registry_credentials import access_of_user
from holdfast.sources.registry_errors import (
    ImageNotFoundError,
    ImageReferenceError,
    RegistryError,
    RegistryForbiddenError,
    RegistryUnavailableError,
)
from holdfast.sources.registry_reference import parse_reference

ARTIFACT: Final = "oci://"
"""What an artifact of a registry begins with, where a repository of a Hub could stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the person asked for; None and empty are left to the repository and the engine."""

    repository: str
    """OWNER/NAME, or an artifact: ``oci://`` and its reference."""
    ref: str
    engine: EngineType | None
    image: str | None
    file: str | None
    include: Sequence[str]
    name: str | None
    endpoint: str
    files: bool = False
    """Write the list of files, and whatever else a cluster without the Hub could not know."""
    remote_code: bool = False
    """Python code of the repository, and of those that it names, may run."""
    allow_clock: bool = False
    """The chat template may ask for today's date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """What it is, exactly."""

    name: str
    version: str
    """The commit, or the artifact by its digest."""
    spec: ModelDeploymentSpec
    choice: Choice
    source: ResolvedSource
    listed: int
    """Files that the repository has; `source` has those that were taken."""
    image: ResolvedImage


async def pin(wanted: Wanted, environ: Mapping[str, str], *, watch: Callable[[int, int], None]) -> Pinned:
    """Resolve everything that was named loosely.

    `watch` is told how many bytes of how many were read of an artifact's archives, which only say so what is in them.

    Raises:
        CommandError: something does not exist, may not be seen, cannot be reached, or would not work together.
    """
    token = token_of(environ)
    resolver = HubResolver(wanted.endpoint, token=lambda: token, registries=access_of_user(environ))
    try:
        return await _pin(wanted, environ, resolver, watch)
    except (HubError, RegistryError) as error:
        raise CommandError(str(error), exit_code(error)) from error
    finally:
        await resolver.close()


async def _pin(wanted: Wanted, environ: Mapping[str, str], resolver: HubResolver, watch: Callable[[int, int], None]) -> Pinned:
    if wanted.repository.startswith(ARTIFACT):
        return await _pin_artifact(wanted, environ, resolver, watch)
    commit = await resolver.resolve_ref(wanted.repository, wanted.ref)
    listed = await resolver.repository_files(wanted.repository, commit)
    choice = choose(listed, repository=wanted.repository, engine=wanted.engine, file=wanted.file, include=wanted.include)
    source = _checked_source(wanted.repository, commit, choice)
    return await _finish(
        wanted,
        environ,
        resolver,
        source=ModelSource(hugging_face=source),
        choice=choice,
        name=wanted.name or deployment_name(wanted.repository),
        version=commit,
        listed=len(listed),
    )


async def _pin_artifact(
    wanted: Wanted, environ: Mapping[str, str], resolver: HubResolver, watch: Callable[[int, int], None]
) -> Pinned:
    if wanted.include:
        raise CommandError("--include is for repositories of a Hub: an artifact is pinned as it was pushed", ExitCode.USAGE)
    artifact = await _image(wanted.repository.removeprefix(ARTIFACT), environ)
    try:
        source = ModelSource(oci=OciSource(reference=artifact.pinned))
    except ValidationError as error:
        raise CommandError(_first(error), ExitCode.USAGE) from error
    content = await look_into(artifact.pinned, access_of_user(environ), watch)
    choice = choose(content.files, repository=artifact.pinned, engine=wanted.engine, file=wanted.file, include=())
    return await _finish(
        wanted,
        environ,
        resolver,
        source=source,
        choice=replace(choice, include=None, why=""),
        name=wanted.name or deployment_name(artifact.asked.repository),
        version=artifact.pinned,
        listed=len(content.files),
        listing=content.listing,
    )


async def _finish(
    wanted: Wanted,
    environ: Mapping[str, str],
    resolver: HubResolver,
    *,
    source: ModelSource,
    choice: Choice,
    name: str,
    version: str,
    listed: int,
    listing: Listing | None = None,
) -> Pinned:
    """Resolve everything else, check that it works together, and write it down."""
    image = await _image(wanted.image or DEFAULT_IMAGES[choice.engine], environ)
    model = _model(wanted, choice, source, image)
    known = {"source": chosen(listing, questions(model)["source"])} if listing is not None else {}
    found = known | await ask(resolver, model, known=known)
    if wanted.remote_code:
        model = model.model_copy(update={"code": await _foreign_code(resolver, wanted.repository, found["source"]) or None})
        found |= await ask(resolver, model, known=found)
    resolved = resolved_or_refused(name, model, found, where=f"{wanted.repository} at {version}")
    whole = wanted.files or listing is not None  # nobody else can read archives before they are fetched
    model = inline(model, found, resolved) if whole else with_digests(model, found)
    answer = found["source"].source
    return Pinned(
        name=name,
        version=version,
        spec=ModelDeploymentSpec(model=model),
        choice=choice,
        source=answer,
        listed=listed,
        image=image,
    )


def _model(wanted: Wanted, choice: Choice, source: ModelSource, image: ResolvedImage) -> Model:
    options = EngineOptions(model_file=choice.model_file) if choice.model_file else None
    try:
        return Model(
            source=source,
            remote_code=RemoteCode.PINNED if wanted.remote_code else None,
            engine=Engine(type=choice.engine, image=image.pinned, options=options),
            chat_template=ChatTemplate(clock=Clock.ALLOWED) if wanted.allow_clock else None,
        )
    except ValidationError as error:
        raise CommandError(_first(error), ExitCode.USAGE) from error


async def ask(resolver: HubResolver, model: Model, known: Mapping[str, Found] | None = None) -> dict[str, Found]:
    """Return the answer for each source of a model that is not known, by its field."""
    asked = {field: question for field, question in questions(model).items() if field not in (known or {})}
    answers = await asyncio.gather(*(resolver.resolve(question) for question in asked.values()))
    return dict(zip(asked, answers, strict=True))


async def _foreign_code(resolver: HubResolver, own: str, found: Found) -> list[HuggingFaceSource]:
    """Return the other repositories whose code a model loads, each at the commit that its branch main means now."""
    try:
        named = {repository for _, repository, _ in code_references(found) if repository not in {None, own}}
    except UnreadableError as error:
        raise CommandError(f"{own} cannot be pinned: {error}") from error
    sources = []
    for repository in sorted(name for name in named if name is not None):
        try:
            checked = HuggingFaceSource(repository=repository, commit="0" * 40)
        except ValidationError as error:
            raise CommandError(_first(error)) from error
        sources.append(checked.model_copy(update={"commit": await resolver.resolve_ref(repository, "main")}))
    return sources


def resolved_or_refused(name: str, model: Model, found: Mapping[str, Found], *, where: str) -> ResolvedModel:
    """Return the resolved model.

    Raises:
        CommandError: it would not start, as the operator would say it.
    """
    told = checks.problems(model, found)
    try:
        resolved = resolve_model(name, model, found)
    except UnreadableError as error:
        raise CommandError(f"{where} would not start: {'; '.join([*told, str(error)])}") from error
    told += [*checks.size_problems(resolved), *problems(resolved)]
    if told:
        raise CommandError(f"{where} would not start: {'; '.join(told)}")
    return resolved


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
    return await resolve_image(reference, access_of_user(environ))


def exit_code(error: HubError | RegistryError) -> ExitCode:
    """Return what a failure of the Hub or a registry means to the shell."""
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
