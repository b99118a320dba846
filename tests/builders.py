"""Builders of test data, with everything irrelevant filled in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from holdfast.api.approval import Approver, ModelApprovalSpec, ModelApprovalStatus, Target
from holdfast.api.decision import DecisionType, FallbackTargetType, FallbackTo, Gate
from holdfast.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus
from holdfast.api.found import Found
from holdfast.api.manifest import manifest_digest
from holdfast.api.model import File, Model
from holdfast.api.names import Key, revision_name
from holdfast.api.revision import (
    ModelRevisionSpec,
    ModelRevisionStatus,
    Render,
    ResolvedHuggingFace,
    ResolvedModel,
    ResolvedSource,
)
from holdfast.domain.pin import declared_digest, pin_digest, resolve_model
from holdfast.domain.snapshot import ApprovalView, DeploymentView, Meta, Resolved, RevisionView, Settings, Snapshot

NAMESPACE = "team-a"
NAME = "support-chat"
START = datetime(2026, 11, 21, 9, 0, 0, tzinfo=UTC)
ENGINE_IMAGE = "registry.example/engine@sha256:" + "e" * 64
WEIGHTS_IMAGE = "registry.example/holdfast@sha256:" + "a" * 64
SETTINGS = Settings(render_version=1, weights_image=WEIGHTS_IMAGE, hub_endpoint="https://hub.example")


def commit(letter: str = "a") -> str:
    """Return a full commit hash."""
    return letter * 40


def model(commit_letter: str = "a", **changes: Any) -> dict[str, Any]:
    """Return ``spec.model`` in wire form; `changes` replace top-level fields."""
    return {
        "source": {"huggingFace": {"repository": "holdfast/tiny-chat-GGUF", "commit": commit(commit_letter)}},
        "engine": {"type": "LlamaCpp", "image": ENGINE_IMAGE},
    } | changes


def spec(commit_letter: str = "a", *, model_wire: dict[str, Any] | None = None, **changes: Any) -> ModelDeploymentSpec:
    """Return a ModelDeployment's spec; `changes` are further top-level fields in wire form."""
    return ModelDeploymentSpec.parse({"model": model_wire or model(commit_letter)} | changes)


def meta(name: str = NAME, *, uid: str = "uid-1", created: datetime = START, generation: int = 1) -> Meta:
    """Return metadata."""
    return Meta(key=Key(NAMESPACE, name), uid=uid, resource_version="1", generation=generation, created=created)


def files(letter: str = "a") -> list[File]:
    """Return the files of a commit."""
    return [File(path="tiny.gguf", size=1000, sha256=letter * 64)]


def resolved(declared: Model) -> ResolvedModel:
    """Return what the Hub would resolve a declared model to."""
    source = declared.source.hugging_face
    assert source is not None
    found = files(source.commit[0])
    return resolve_model(
        NAME,
        declared,
        {
            "source": Found(
                source=ResolvedSource(
                    hugging_face=ResolvedHuggingFace(
                        endpoint=SETTINGS.hub_endpoint, repository=source.repository, commit=source.commit
                    ),
                    manifest_digest=manifest_digest(found),
                    files=found,
                )
            )
        },
    )


def resolution(declared: Model) -> Resolved:
    """Return a finished resolution."""
    return Resolved(declared=declared_digest(declared), model=resolved(declared))


def revision_spec(declared: Model, number: int) -> ModelRevisionSpec:
    """Return a ModelRevision's spec."""
    found = resolved(declared)
    return ModelRevisionSpec(
        deployment=NAME,
        number=number,
        digest=pin_digest(found),
        declared=declared_digest(declared),
        model=found,
        render=Render(version=1, weights_image=WEIGHTS_IMAGE),
    )


def revision(declared: Model, number: int, status: ModelRevisionStatus | None = None) -> RevisionView:
    """Return a ModelRevision."""
    return RevisionView(
        meta=meta(revision_name(NAME, number), uid=f"revision-{number}"),
        spec=revision_spec(declared, number),
        status=status or ModelRevisionStatus(),
    )


def deployment(
    declared: ModelDeploymentSpec | None, status: ModelDeploymentStatus | None = None, *, generation: int = 1
) -> DeploymentView:
    """Return a ModelDeployment."""
    return DeploymentView(
        meta=meta(generation=generation),
        spec=declared,
        status=status or ModelDeploymentStatus(),
        invalid=None if declared is not None else "spec.model: required",
    )


def approval(
    decision: DecisionType,
    *,
    gate: Gate | None = None,
    request: int | None = None,
    digest: str | None = None,
    base: str | None = None,
    fallback_to: FallbackTo | None = None,
    name: str = "decision",
    uid: str | None = None,
    by: str = "alice",
    created: datetime = START + timedelta(seconds=1),
    status: ModelApprovalStatus | None = None,
    ttl_seconds: int | None = None,
) -> ApprovalView:
    """Return a ModelApproval."""
    return ApprovalView(
        meta=replace(meta(name, uid=uid or f"uid-{name}"), created=created),
        spec=ModelApprovalSpec(
            decision=decision,
            gate=gate,
            target=Target(name=NAME, digest=digest, base=base, request=request),
            fallback_to=fallback_to,
            approver=Approver(username=by),
            reason="because",
            ttl_seconds=ttl_seconds,
        ),
        status=status or ModelApprovalStatus(),
    )


def fallback_to(kind: FallbackTargetType, *, revision: int | None = None, external: str | None = None) -> FallbackTo:
    """Return the target of a Fallback."""
    return FallbackTo(type=kind, revision=revision, external=external)


def snapshot(view: DeploymentView, **parts: Any) -> Snapshot:
    """Return a snapshot; `parts` are fields of `Snapshot`."""
    return Snapshot(deployment=view, settings=SETTINGS, **parts)
