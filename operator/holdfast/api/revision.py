"""ModelRevision: an immutable, content-addressed snapshot of a resolved model and the decisions taken on it. Operator only."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from holdfast.api.base import ApiModel
from holdfast.api.decision import Decision
from holdfast.api.model import Engine, File, PinDigest, PinnedImage, RelativePath, RemoteCode, Sha256Digest


class ResolvedHuggingFace(ApiModel):
    """A commit of a repository of a Hub."""

    endpoint: Annotated[str, Field(max_length=512)] = Field(description="URL of the Hub.")
    repository: Annotated[str, Field(max_length=193)] = Field(description="Owner and name of the repository.")
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", max_length=40)] = Field(description="Full commit hash.")


class ResolvedOci(ApiModel):
    """An artifact or image in a registry."""

    reference: PinnedImage = Field(description="Artifact by digest.")


class ResolvedVolume(ApiModel):
    """A folder of a volume of the owner."""

    claim_name: Annotated[str, Field(max_length=253)] = Field(description="Name of the PersistentVolumeClaim.")
    path: RelativePath | None = Field(default=None, description="Folder on the volume; absent means its root.")


class ResolvedSource(ApiModel):
    """The exact bytes."""

    hugging_face: ResolvedHuggingFace | None = None
    oci: ResolvedOci | None = None
    volume: ResolvedVolume | None = None
    manifest_digest: Sha256Digest = Field(description="sha256 of the canonical list of files.")
    files: list[File] | None = Field(
        default=None,
        min_length=1,
        max_length=10_000,
        description="Every file that pods get, and no other; absent for a volume that carries its own list.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(kind is not None for kind in (self.hugging_face, self.oci, self.volume)) != 1:
            raise ValueError("a source is exactly one of huggingFace, oci and volume")
        if self.files is None and self.volume is None:
            raise ValueError("only a volume carries its own list of files")
        return self


class ResolvedAdapter(ApiModel):
    """A LoRA adapter."""

    name: Annotated[str, Field(max_length=40)] = Field(description="The model name that clients send for it.")
    source: ResolvedSource


class ResolvedDraftModel(ApiModel):
    """The model that proposes tokens."""

    source: ResolvedSource
    tokens: int = Field(ge=1, description="How many tokens it proposes at a time.")


class TemplateOrigin(StrEnum):
    """Where the chat template comes from."""

    INLINE = "Inline"  # spec.model.chatTemplate
    SOURCE = "Source"  # the model's own files
    ENGINE = "Engine"  # the files have none: the engine's own code makes the prompt


class ResolvedTemplate(ApiModel):
    """How messages become a prompt."""

    origin: TemplateOrigin = Field(alias="from", description="Where the template comes from.")
    text: Annotated[str, Field(max_length=65_536)] | None = Field(
        default=None,
        description="The Jinja template; absent when only the engine can read it: inside a .gguf file or its own code.",
    )


class ResolvedGeneration(ApiModel):
    """Sampling defaults for requests that do not set them, each with its value."""

    temperature: float = Field(ge=0, description="Sampling temperature; 0 is greedy.")
    top_p: float = Field(ge=0, le=1, description="Share of probability that tokens are drawn from.")
    top_k: int = Field(ge=-1, description="How many tokens are drawn from; -1 is all.")
    min_p: float = Field(ge=0, le=1, description="Least probability of a token, relative to the most probable one; 0 is any.")
    repetition_penalty: float = Field(ge=0, description="Factor against tokens that were said before; 1 is none.")
    presence_penalty: float = Field(description="Taken off tokens that were said before; 0 is nothing.")
    frequency_penalty: float = Field(description="Taken off tokens for each time that they were said before; 0 is nothing.")


class ResolvedModel(ApiModel):
    """Everything that can change an answer, with nothing left to look up. Its digest is the identity."""

    source: ResolvedSource
    tokenizer: ResolvedSource | None = Field(default=None, description="The tokenizer's files; absent: the model's own.")
    remote_code: RemoteCode = Field(description="Whether Python code of model repositories runs.")
    code: list[ResolvedSource] | None = Field(
        default=None, min_length=1, max_length=8, description="Repositories of code that auto_map names."
    )
    adapters: list[ResolvedAdapter] | None = Field(default=None, min_length=1, max_length=16, description="LoRA adapters.")
    draft_model: ResolvedDraftModel | None = None
    engine: Engine
    checkpoint_quantization: Annotated[str, Field(max_length=63)] | None = Field(
        default=None,
        description="Quantization method that the model's own config.json names; the engine reads it there. Absent: none, or unread.",
    )
    chat_template: ResolvedTemplate
    generation: ResolvedGeneration
    served_name: Annotated[str, Field(max_length=128)] = Field(description="The model name that clients send.")

    def sources(self) -> Iterator[tuple[str, ResolvedSource]]:
        """Yield every source with its field, as written in ``spec.model``."""
        yield "source", self.source
        if self.tokenizer is not None:
            yield "tokenizer", self.tokenizer
        for index, source in enumerate(self.code or ()):
            yield f"code[{index}]", source
        for index, adapter in enumerate(self.adapters or ()):
            yield f"adapters[{index}].source", adapter.source
        if self.draft_model is not None:
            yield "draftModel.source", self.draft_model.source


class LicenseFile(ApiModel):
    """A file with terms."""

    path: RelativePath = Field(description="Path in the repository.")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)] = Field(description="Hash of the bytes, in hex.")


class License(ApiModel):
    """What the model card says about terms and descent, at the commit."""

    id: Annotated[str, Field(max_length=256)] | None = Field(default=None, description="Identifier in the card.")
    files: list[LicenseFile] | None = Field(default=None, max_length=16, description="Files with terms.")
    base_models: list[Annotated[str, Field(max_length=256)]] | None = Field(
        default=None, max_length=16, description="Models that it was made from, by the card."
    )


class Platform(ApiModel):
    """An image of the index that the engine's image is."""

    platform: Annotated[str, Field(max_length=128)] = Field(description="os/architecture.")
    digest: Sha256Digest = Field(description="Digest of its manifest.")


class Recorded(ApiModel):
    """What was found beside the model when it was resolved. It informs; it is not identity and rolls nothing."""

    license: License | None = None
    gated: bool | None = Field(default=None, description="Whether the Hub asked for conditions to be accepted.")
    refs: list[Annotated[str, Field(max_length=256)]] | None = Field(
        default=None, max_length=16, description="Branches and tags that pointed at the commit."
    )
    last_modified: datetime | None = Field(default=None, description="When the Hub said that the repository changed last.")
    security_status: Annotated[str, Field(max_length=256)] | None = Field(
        default=None, description="What the Hub's scans of the files said."
    )
    signatures: list[RelativePath] | None = Field(default=None, max_length=16, description="Signature bundles among the files.")
    image_platforms: list[Platform] | None = Field(
        default=None, max_length=16, description="Images of the engine's index by platform."
    )


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
    recorded: Recorded | None = None


DECISIONS_MAX: Final = 256
"""Most decisions that a ModelRevision keeps."""


class ModelRevisionStatus(ApiModel):
    """The decisions, append-only."""

    decisions: list[Decision] | None = Field(
        default=None,
        max_length=DECISIONS_MAX,
        description="In the order in which they were taken. Those for which there is no room stay in their ModelApprovals only.",
    )
    promoted_at: datetime | None = Field(default=None, description="When it last became the stable revision.")
