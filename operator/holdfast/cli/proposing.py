"""From a pinned model to the same model at another commit of its repository: asks the Hub, and changes nothing."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from holdfast.api.model import HuggingFaceSource, Model, ModelSource
from holdfast.api.revision import Recorded, ResolvedModel
from holdfast.cli.endpoints import token_of
from holdfast.cli.exits import CommandError, ExitCode
from holdfast.cli.malformed import finding
from holdfast.cli.pinning import ask, exit_code, resolved_or_refused
from holdfast.domain.pin import resolve_model
from holdfast.domain.texts import UnreadableError
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_errors import HubError
from holdfast.sources.registry_credentials import access_of_user


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A model whose files are known already, from its ModelRevision."""

    model: ResolvedModel
    recorded: Recorded | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Another commit, and everything that it would change."""

    ref: str
    before: HuggingFaceSource
    after: HuggingFaceSource
    old: Known | None
    """None when the pinned commit cannot be read upstream as it was pinned, and no revision of it is known."""
    new: Known


async def propose(
    name: str, model: Model, ref: str, *, endpoint: str, environ: Mapping[str, str], known: Known | None
) -> Proposal | None:
    """Resolve what a ref means now and what it would change; None when that is what is pinned.

    Args:
        name: of the ModelDeployment.
        model: as it is declared.
        ref: branch, tag or commit.
        endpoint: URL of the Hub.
        environ: the token is in ``HF_TOKEN``.
        known: the declared model, resolved; None to resolve it now.

    Raises:
        CommandError: it is no repository of a Hub, something cannot be read, or the new commit would not start.
    """
    before = model.source.hugging_face
    if before is None:
        raise CommandError("its model is not a repository of a Hub: nothing upstream moves, and there is nothing to propose")
    if before.files is not None:
        raise CommandError(
            f"its manifest lists the files of {before.repository}: holdfast pin {before.repository}@{ref} --files writes them anew"
        )
    token = token_of(environ)
    resolver = HubResolver(endpoint, token=lambda: token, registries=access_of_user(environ))
    try:
        commit = await resolver.resolve_ref(before.repository, ref)
        if commit == before.commit:
            return None
        after = before.model_copy(update={"commit": commit, "manifest_digest": None})
        return await _compared(resolver, name, model, ref, before, after, known)
    except HubError as error:
        raise CommandError(str(error), exit_code(error)) from error
    finally:
        await resolver.close()


async def _compared(
    resolver: HubResolver,
    name: str,
    model: Model,
    ref: str,
    before: HuggingFaceSource,
    after: HuggingFaceSource,
    known: Known | None,
) -> Proposal:
    changed = model.model_copy(update={"source": ModelSource(hugging_face=after)})
    found = await ask(resolver, changed)
    resolved = resolved_or_refused(name, changed, found, where=f"{after.repository} at {after.commit}")
    return Proposal(
        ref=ref,
        before=before,
        after=after.model_copy(update={"manifest_digest": found["source"].source.manifest_digest}),
        old=known or await _old(resolver, name, model),
        new=Known(model=resolved, recorded=found["source"].recorded),
    )


async def _old(resolver: HubResolver, name: str, model: Model) -> Known | None:
    try:
        found = await ask(resolver, model)
        return Known(model=resolve_model(name, model, found), recorded=found["source"].recorded)
    except (HubError, UnreadableError):
        return None  # the very reason for a proposal may be that it is gone


def declared_model(spec: object, what: str) -> Model:
    """Read ``spec.model``.

    Raises:
        CommandError: it is not what this version understands.
    """
    try:
        return Model.model_validate(spec.get("model") if isinstance(spec, Mapping) else None)
    except ValidationError as error:
        raise CommandError(f"{what}: {finding(error, 'spec', 'model')}", ExitCode.FAILED) from error


def put(document: MutableMapping[str, Any], after: HuggingFaceSource) -> None:
    """Write the new commit and its manifest digest into a ModelDeployment."""
    place = document["spec"]["model"]["source"]["huggingFace"]
    place |= {"commit": after.commit, "manifestDigest": after.manifest_digest}


def patch(raw: Mapping[str, Any], after: HuggingFaceSource) -> dict[str, Any]:
    """Return what server-side apply needs to change these fields of exactly this object, and no others."""
    kept = {field: raw["metadata"][field] for field in ("name", "namespace", "uid", "resourceVersion")}
    fields = {"repository": after.repository, "commit": after.commit, "manifestDigest": after.manifest_digest}
    return {
        "apiVersion": raw["apiVersion"],
        "kind": raw["kind"],
        "metadata": kept,
        "spec": {"model": {"source": {"huggingFace": fields}}},
    }
