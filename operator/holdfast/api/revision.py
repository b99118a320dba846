"""ModelRevision: an immutable, content-addressed snapshot of a resolved model and the decisions taken on it. Operator only."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from holdfast.api.base import ApiModel
from holdfast.api.decision import Decision
from holdfast.api.model import Engine, Generation, PinDigest, PinnedImage, RelativePath, Sha256Digest


class File(ApiModel):
    """One file of the model. Its sha256 is of the bytes themselves, for plain git files too."""

    path: RelativePath = Field(description="Path in the repository.")
    size: int = Field(ge=0, description="Size in bytes.")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)] = Field(description="Hash of the bytes, in hex.")


class ResolvedSource(ApiModel):
    """The exact bytes."""

    endpoint: Annotated[str, Field(max_length=512)] = Field(description="URL of the Hub.")
    repository: Annotated[str, Field(max_length=193)] = Field(description="Owner and name of the repository.")
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", max_length=40)] = Field(description="Full commit hash.")
    manifest_digest: Sha256Digest = Field(description="sha256 of the canonical list of files.")
    files: list[File] = Field(min_length=1, max_length=10_000, description="Every file that pods get, and no other.")


class ResolvedModel(ApiModel):
    """Everything that can change an answer, with nothing left to look up. Its digest is the identity."""

    source: ResolvedSource
    engine: Engine
    chat_template: Annotated[str, Field(max_length=65_536)] | None = Field(
        default=None, description="The Jinja template; absent means the one in the files."
    )
    generation: Generation | None = None
    served_name: Annotated[str, Field(max_length=128)] = Field(description="The model name that clients send.")


class Render(ApiModel):
    """What pods are rendered with, fixed for the life of the revision so that an upgrade of the operator rolls nothing."""

    version: int = Field(ge=1, description="Version of the rendering rules.")
    weights_image: PinnedImage = Field(description="Image of the init container that fetches and verifies the files.")


class ModelRevisionSpec(ApiModel):
    """The snapshot; immutable."""

    deployment: Annotated[str, Field(max_length=40)] = Field(description="Name of the ModelDeployment.")
    number: int = Field(ge=1, description="Counts the revisions of the ModelDeployment.")
    digest: PinDigest = Field(description="v1: and the sha256 of the canonical JSON of model; the identity.")
    declared: Sha256Digest = Field(description="sha256 of the canonical JSON of the spec.model that this was resolved from.")
    model: ResolvedModel
    render: Render


class ModelRevisionStatus(ApiModel):
    """The decisions, append-only."""

    decisions: list[Decision] | None = Field(default=None, max_length=256, description="In the order in which they were taken.")
    promoted_at: datetime | None = Field(default=None, description="When it first became the stable revision.")
