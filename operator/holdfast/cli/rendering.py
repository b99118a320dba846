"""From a ModelDeployment and one of its revisions to the objects that the operator makes of them, byte for byte."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError

from holdfast.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus, Unused
from holdfast.api.names import API_VERSION, Key, revision_name
from holdfast.api.revision import ModelRevisionSpec, ModelRevisionStatus, Render, ResolvedModel
from holdfast.cli import malformed, naming, objects
from holdfast.cli.endpoints import token_of
from holdfast.cli.exits import CommandError, ExitCode
from holdfast.domain import checks, defaults
from holdfast.domain.pin import declared_digest, pin_digest, resolve_model
from holdfast.domain.questions import questions
from holdfast.domain.retention import named_by
from holdfast.domain.snapshot import DeploymentView, Meta, RevisionView
from holdfast.domain.texts import UnreadableError
from holdfast.render import deployment as renderer
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_errors import HubError, SourceForbiddenError, SourceNotFoundError, SourceUnavailableError
from holdfast.sources.registry_credentials import access_of_user

Object = dict[str, Any]
_KINDS: Final = ("ModelDeployment", "ModelRevision")
_CODES: Final = {
    SourceNotFoundError: ExitCode.NOT_FOUND,
    SourceForbiddenError: ExitCode.FORBIDDEN,
    SourceUnavailableError: ExitCode.UNREACHABLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A ModelDeployment and the revisions of it that are at hand."""

    deployment: Object
    revisions: tuple[Object, ...] = ()


def read(text: str, what: str) -> Subject:
    """Read a file: one ModelDeployment, and its ModelRevisions if they are in it as well.

    Raises:
        CommandError: it is no YAML, or holds no ModelDeployment, or several.
    """
    import yaml

    try:
        found = [item for document in yaml.safe_load_all(text) for item in _items(document)]
    except RecursionError as error:
        raise CommandError(f"{what} is not YAML that can be read: it is nested too deeply", ExitCode.USAGE) from error
    except yaml.YAMLError as error:
        raise CommandError(f"{what} is not YAML: {' '.join(str(error).split())[:500]}", ExitCode.USAGE) from error
    ours = [item for item in found if item.get("apiVersion") == API_VERSION and item.get("kind") in _KINDS]
    deployments = [item for item in ours if item["kind"] == _KINDS[0]]
    if len(deployments) != 1:
        raise CommandError(f"{what} holds {len(deployments)} objects of kind ModelDeployment; give one", ExitCode.USAGE)
    name = _name(deployments[0], what)
    revisions = [item for item in ours if item["kind"] == _KINDS[1] and _part(item, "spec").get("deployment") == name]
    if not all(isinstance(_part(item, "spec").get("number"), int) for item in revisions):
        raise CommandError(f"{what}: a ModelRevision of {name} has no spec.number", ExitCode.USAGE)
    return Subject(deployment=deployments[0], revisions=tuple(revisions))


def chosen(subject: Subject, number: int | None) -> Object:
    """Return the revision with this number; without one the one that is declared now, else the newest.

    Raises:
        CommandError: it is not there.
    """
    by_number = {item["spec"]["number"]: item for item in subject.revisions}
    name = subject.deployment["metadata"]["name"]
    desired = _part(_part(subject.deployment, "status"), "desired").get("revision")
    wanted = number if number is not None else desired if desired in by_number else max(by_number, default=None)
    if wanted is None:
        raise CommandError(f"{name} has no revision yet; holdfast status {name} says why", ExitCode.NOT_FOUND)
    if wanted not in by_number:
        listed = ", ".join(str(each) for each in sorted(by_number)) or "none"
        raise CommandError(f"{name} has no revision {wanted}; there are: {listed}", ExitCode.NOT_FOUND)
    return by_number[wanted]


def render(subject: Subject, revision: ModelRevisionSpec, what: str) -> list[Object]:
    """Return the objects of a revision, in the order in which they are made.

    Without a uid (a file that was never applied) there are no owner references: only the API server can say it.

    Raises:
        CommandError: the spec cannot be read, or a newer Holdfast made the revision.
    """
    view, spec = _view(subject.deployment, what)
    cache = spec.serving.cache if spec.serving is not None else None
    others = subject.revisions if cache is not None and cache.unused is Unused.DELETE else ()
    named = named_by([revision, *(stored(each) for each in others)])
    meta = Meta(
        key=Key(view.meta.key.namespace, revision_name(revision.deployment, revision.number)),
        uid="",
        resource_version="",
        generation=1,
        created=view.meta.created,
    )
    found = RevisionView(meta=meta, spec=revision, status=ModelRevisionStatus())
    try:
        made = [*renderer.shared_objects(view, named), *renderer.engine_objects(view, found, defaults.replicas(spec))]
    except ValueError as error:
        raise CommandError(f"{what} cannot be rendered: {error}; use the holdfast of the operator's version") from error
    return made if view.meta.uid else [_unowned(each) for each in made]


def stored(raw: Object) -> ModelRevisionSpec:
    """Return the spec of a ModelRevision, checked against its digest.

    Raises:
        CommandError: it is another one than its digest says.
    """
    return objects.revision_spec(raw)


def proposed(
    deployment: Object, what: str, *, endpoint: str, environ: Mapping[str, str], weights_image: str
) -> ModelRevisionSpec:
    """Return the first revision that the operator would make of a declaration: the Hub is asked for what it does not say.

    The token of the Hub is ``HF_TOKEN`` of the environment; registries are asked as the user's container tools do.

    Raises:
        CommandError: the spec cannot be read or resolved, or would not start.
    """
    view, spec = _view(deployment, what)
    name, model = view.meta.key.name, spec.model
    try:
        render_with = Render(version=renderer.CURRENT_VERSION, weights_image=weights_image)
    except ValidationError as error:
        told = "--weights-image is an image by its digest: registry/name@sha256:…, without a tag"
        raise CommandError(told, ExitCode.USAGE) from error
    token = token_of(environ)
    resolver = HubResolver(endpoint, token=lambda: token, registries=access_of_user(environ))
    resolved = asyncio.run(_resolved(name, spec, resolver))
    return ModelRevisionSpec(
        deployment=name,
        number=1,
        digest=pin_digest(resolved),
        declared=declared_digest(model),
        model=resolved,
        render=render_with,
    )


async def _resolved(name: str, spec: ModelDeploymentSpec, resolver: HubResolver) -> ResolvedModel:
    asked = questions(spec.model)
    try:
        answers = await asyncio.gather(*(resolver.resolve(question) for question in asked.values()))
        found = dict(zip(asked, answers, strict=True))
        told = checks.problems(spec.model, found)
        resolved = resolve_model(name, spec.model, found)
    except HubError as error:
        raise CommandError(str(error), _CODES.get(type(error), ExitCode.FAILED)) from error
    except UnreadableError as error:
        problem = f"spec.model: {error}"
        raise CommandError(f"{name} would not start: {problem}") from error
    finally:
        await resolver.close()
    told += [*checks.size_problems(resolved), *renderer.problems(resolved)]
    if told:
        raise CommandError(f"{name} would not start: {'; '.join(dict.fromkeys(told))}")
    return resolved


def _view(raw: Object, what: str) -> tuple[DeploymentView, ModelDeploymentSpec]:
    metadata = _part(raw, "metadata")
    try:
        spec = ModelDeploymentSpec.parse(raw.get("spec"))
    except ValidationError as error:
        raise CommandError(f"{what} cannot be understood: {malformed.finding(error, 'spec')}", ExitCode.USAGE) from error
    meta = Meta(
        key=Key(str(metadata.get("namespace") or "default"), _name(raw, what)),
        uid=str(metadata.get("uid") or ""),
        resource_version="",
        generation=1,
        created=datetime.fromtimestamp(0, UTC),
    )
    return DeploymentView(meta=meta, spec=spec, status=ModelDeploymentStatus()), spec


def _name(raw: Object, what: str) -> str:
    name = _part(raw, "metadata").get("name")
    if not isinstance(name, str) or not name:
        raise CommandError(f"{what}: the ModelDeployment has no metadata.name", ExitCode.USAGE)
    found = naming.problem(name)
    if found:
        raise CommandError(f"{what}: metadata.name {name!r}: {found}", ExitCode.USAGE)
    return name


def _part(raw: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """Return an object's part by its name; nothing where there is none or something else stands."""
    found = raw.get(field)
    return found if isinstance(found, Mapping) else {}


def _items(document: object) -> Iterable[Object]:
    """Return the objects of a document: itself, or those of the list that kubectl makes of several."""
    if not isinstance(document, dict):
        return ()
    listed = document.get("items")
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else (document,)


def _unowned(made: Object) -> Object:
    return {**made, "metadata": {name: value for name, value in made["metadata"].items() if name != "ownerReferences"}}
