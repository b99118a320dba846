"""``spec.model``: what answers. All of it is the pin; a change of any field is a new revision and needs its owner."""

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from holdfast.api.base import ApiModel

Sha256Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
"""``sha256:`` and 64 lower-case hex digits."""
PinDigest = Annotated[str, Field(pattern=r"^v1:[0-9a-f]{64}$", max_length=67)]
"""``v1:`` and the sha256 of the RFC 8785 canonical JSON of a resolved model."""
PinnedImage = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+@sha256:[0-9a-f]{64}$",
        max_length=512,
    ),
]
"""An image with its registry and its digest, and without a tag."""
RelativePath = Annotated[str, Field(min_length=1, max_length=512)]
DECLARED_FILES_MAX: Final = 500
"""Most files of a source that are listed in a manifest: what the API server can check and keep. The Hub may list more."""


class File(ApiModel):
    """One file. Its sha256 is of the bytes themselves, for plain git files too."""

    path: RelativePath = Field(description="Path in the source.")
    size: int = Field(ge=0, le=2**53 - 1, description="Size in bytes.")  # what JSON numbers say exactly (RFC 8785)
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", max_length=64)] = Field(description="Hash of the bytes, in hex.")


DeclaredFiles = Annotated[
    list[File],
    Field(
        min_length=1,
        max_length=DECLARED_FILES_MAX,
        description="Every file that pods get, sorted by path; when given, nobody is asked for the list: holdfast pin --files.",
    ),
]


class HuggingFaceSource(ApiModel):
    """A model repository at one commit."""

    repository: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$",
        max_length=193,
        description="Owner and name of the repository.",
    )
    commit: str = Field(
        pattern=r"^[0-9a-f]{40}$",
        max_length=40,
        description="Full commit hash: 40 lower-case hex digits, never a branch or tag.",
    )
    manifest_digest: Sha256Digest | None = Field(
        default=None, description="sha256 of the canonical list of files; when given, another list is refused."
    )
    include: list[Annotated[str, Field(min_length=1, max_length=256)]] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Glob patterns of the files to take, sorted; absent means what the engine needs, in one weight format.",
    )
    files: DeclaredFiles | None = None


class OciSource(ApiModel):
    """An artifact or image in a registry: ModelPack, ModelKit or modelcar."""

    reference: PinnedImage = Field(description="Artifact by digest: registry/name@sha256:…, no tag.")
    manifest_digest: Sha256Digest | None = Field(
        default=None, description="sha256 of the canonical list of files; when given, another list is refused."
    )
    files: DeclaredFiles | None = None


class VolumeSource(ApiModel):
    """A PersistentVolumeClaim of the owner, in the same namespace, with the files on it."""

    claim_name: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253, description="Name of the PersistentVolumeClaim."
    )
    path: RelativePath | None = Field(default=None, description="Folder on the volume; absent means its root.")
    manifest_digest: Sha256Digest = Field(
        description="sha256 of the canonical list of files; without files, the volume's holdfast-manifest.json is that list."
    )
    files: DeclaredFiles | None = None


class ModelSource(ApiModel):
    """Where the bytes come from: exactly one of the kinds."""

    hugging_face: HuggingFaceSource | None = None
    oci: OciSource | None = None
    volume: VolumeSource | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(kind is not None for kind in (self.hugging_face, self.oci, self.volume)) != 1:
            raise ValueError("a source is exactly one of huggingFace, oci and volume")
        return self


class RemoteCode(StrEnum):
    """Whether Python code of model repositories runs in the engine."""

    FORBIDDEN = "Forbidden"  # no such file reaches a pod
    PINNED = "Pinned"  # exactly the files that were approved


class Adapter(ApiModel):
    """A LoRA adapter that clients ask for by its name."""

    name: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=40, description="The model name that clients send for it."
    )
    source: ModelSource
    base_model: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None,
        description="What its adapter_config.json says it was made for, when that is another name of the same model.",
    )


class DraftModel(ApiModel):
    """A small model that proposes tokens, which the model then accepts or not (speculative decoding)."""

    source: ModelSource
    tokens: int = Field(ge=1, le=32, description="How many tokens it proposes at a time.")


class EngineType(StrEnum):
    """The inference engines that Holdfast can render."""

    VLLM = "VLLM"
    TGI = "TGI"
    SGLANG = "SGLang"
    LLAMA_CPP = "LlamaCpp"


class EngineOptions(ApiModel):
    """Typed settings, rendered to each engine's own flags."""

    context_length: int | None = Field(default=None, ge=1, le=16_777_216, description="Longest prompt plus answer, in tokens.")
    data_type: Literal["auto", "float32", "float16", "bfloat16"] | None = Field(
        default=None, description="Type of the weights in memory."
    )
    quantization: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=63)] | None = Field(
        default=None, description="Quantization method by the engine's own name."
    )
    kv_cache_data_type: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=63)] | None = Field(
        default=None,
        description="Type of the key-value cache by the engine's own name, such as fp8_e4m3; absent: the model's own.",
    )
    seed: int | None = Field(default=None, ge=0, le=4_294_967_295, description="Seed of the engine's sampler.")
    tensor_parallelism: int | None = Field(
        default=None, ge=1, le=64, description="Accelerators that each layer is spread over; absent means 1."
    )
    pipeline_parallelism: int | None = Field(
        default=None, ge=1, le=64, description="Groups of accelerators that share the layers among them; absent means 1."
    )
    model_file: RelativePath | None = Field(
        default=None, description="The file to load when the engine loads a single file (LlamaCpp: the .gguf)."
    )


class EnvironmentVariable(ApiModel):
    """One variable of the engine's environment."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128, description="Its name.")
    value: str = Field(max_length=1024, description="Its value.")


class Engine(ApiModel):
    """The program that loads the bytes and answers."""

    type: EngineType
    image: PinnedImage = Field(description="Image by digest: registry/name@sha256:…, no tag.")
    options: EngineOptions | None = None
    args: list[Annotated[str, Field(min_length=1, max_length=1024)]] | None = Field(
        default=None, min_length=1, max_length=64, description="Further arguments, each as --name or --name=value."
    )
    env: list[EnvironmentVariable] | None = Field(
        default=None, min_length=1, max_length=32, description="Further environment variables, sorted by name."
    )


class Clock(StrEnum):
    """Whether a chat template may ask for today's date."""

    FORBIDDEN = "Forbidden"
    ALLOWED = "Allowed"


class ChatTemplate(ApiModel):
    """How messages become a prompt. Absent means: the template in the source's files."""

    text: str | None = Field(
        default=None, min_length=1, max_length=65_536, description="The Jinja template itself; absent means the one in the files."
    )
    clock: Clock | None = Field(
        default=None,
        description="Whether the template may ask for today's date (strftime_now), which changes prompts daily; absent: Forbidden.",
    )


class Generation(ApiModel):
    """Sampling defaults for requests that do not set them. Absent: the model's generation_config.json, else the neutral value."""

    temperature: float | None = Field(default=None, ge=0, le=10, description="Sampling temperature; 0 is greedy.")
    top_p: float | None = Field(default=None, ge=0, le=1, description="Share of probability that tokens are drawn from.")
    top_k: int | None = Field(default=None, ge=-1, le=1_000_000, description="How many tokens are drawn from; -1 is all.")
    min_p: float | None = Field(
        default=None, ge=0, le=1, description="Least probability of a token, relative to the most probable one; 0 is any."
    )
    repetition_penalty: float | None = Field(
        default=None, ge=0.01, le=10, description="Factor against tokens that were said before; 1 is none."
    )
    presence_penalty: float | None = Field(
        default=None, ge=-2, le=2, description="Taken off tokens that were said before; 0 is nothing."
    )
    frequency_penalty: float | None = Field(
        default=None, ge=-2, le=2, description="Taken off tokens for each time that they were said before; 0 is nothing."
    )


class Model(ApiModel):
    """Everything that can change an answer."""

    source: ModelSource
    tokenizer: ModelSource | None = Field(
        default=None, description="Where the tokenizer comes from, when it is not in the model's own files."
    )
    remote_code: RemoteCode | None = Field(
        default=None, description="Whether Python code of model repositories runs; absent means Forbidden."
    )
    code: list[HuggingFaceSource] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="Repositories of code that auto_map names, sorted by name; with remoteCode Pinned only.",
    )
    adapters: list[Adapter] | None = Field(
        default=None, min_length=1, max_length=16, description="LoRA adapters, sorted by name."
    )
    draft_model: DraftModel | None = None
    engine: Engine
    chat_template: ChatTemplate | None = None
    generation: Generation | None = None
    served_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
        max_length=128,
        description="The model name that clients send; absent means the name of the ModelDeployment.",
    )
