"""``spec.model``: what answers. All of it is the pin; a change of any field is a new revision and needs its owner."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

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
        description="Glob patterns of the files to take, sorted; absent means all files.",
    )


class ModelSource(ApiModel):
    """Where the bytes come from."""

    hugging_face: HuggingFaceSource


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
    seed: int | None = Field(default=None, ge=0, le=4_294_967_295, description="Seed of the engine's sampler.")
    tensor_parallelism: int | None = Field(default=None, ge=1, le=64, description="Accelerators that one replica is spread over.")
    model_file: RelativePath | None = Field(
        default=None, description="The file to load when the engine loads a single file (LlamaCpp: the .gguf)."
    )


class Engine(ApiModel):
    """The program that loads the bytes and answers."""

    type: EngineType
    image: PinnedImage = Field(description="Image by digest: registry/name@sha256:…, no tag.")
    options: EngineOptions | None = None
    args: list[Annotated[str, Field(min_length=1, max_length=1024)]] | None = Field(
        default=None, min_length=1, max_length=64, description="Further arguments, each as --name or --name=value."
    )


class ChatTemplate(ApiModel):
    """How messages become a prompt. Absent means: the template in the source's files."""

    text: str = Field(min_length=1, max_length=65_536, description="The Jinja template itself.")


class Generation(ApiModel):
    """Sampling defaults for requests that do not set them. What is absent here takes the engine's documented neutral value."""

    temperature: float | None = Field(default=None, ge=0, le=10, description="Sampling temperature; 0 is greedy.")
    top_p: float | None = Field(default=None, ge=0, le=1, description="Share of probability that tokens are drawn from.")
    top_k: int | None = Field(default=None, ge=-1, le=1_000_000, description="How many tokens are drawn from; -1 is all.")


class Model(ApiModel):
    """Everything that can change an answer."""

    source: ModelSource
    engine: Engine
    chat_template: ChatTemplate | None = None
    generation: Generation | None = None
    served_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
        max_length=128,
        description="The model name that clients send; absent means the name of the ModelDeployment.",
    )
