"""A question to whoever has a source of bytes, and the answer: what passes between the sources and the decisions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from holdfast.api.model import ModelSource
from holdfast.api.revision import Recorded, ResolvedSource


class Taking(StrEnum):
    """What a source is for, which says which files are taken when the owner did not name any."""

    SAFETENSORS = "safetensors"
    """A model or an adapter in safetensors, with its configuration and tokenizer."""
    GGUF = "gguf"
    """A model or an adapter for llama.cpp."""
    TOKENIZER = "tokenizer"
    """A tokenizer without weights."""
    CODE = "code"
    """Python code alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which files does this source have? The same question has the same answer, whoever asks it."""

    source: ModelSource
    taking: Taking
    python: bool = False
    """Whether Python code is taken; without it no such file is, whatever the patterns say."""
    file: str | None = None
    """The .gguf file to load; its split parts come with it."""

    @property
    def identity(self) -> str:
        """Return a text that the same questions share."""
        return json.dumps([self.source.wire(), self.taking, self.python, self.file], sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The answer."""

    source: ResolvedSource
    texts: Mapping[str, str] | None = None
    """The small files that say how a model is used, by path; None when nobody read them: the list came with the manifest."""
    recorded: Recorded | None = None
