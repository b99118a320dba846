"""Which files of a repository are taken: those that the owner named, or what the engine needs in one format of weights."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from holdfast.api.found import Taking
from holdfast.sources.hub_client import RepositoryFile, matching
from holdfast.sources.hub_errors import SourceNotFoundError, SourceUnusableError

PYTHON: Final = re.compile(r".*\.pyc?", re.IGNORECASE | re.DOTALL)
PICKLES: Final = re.compile(r".*\.(bin|ckpt|joblib|npz|npy|pickle|pkl|pt|pth)", re.IGNORECASE | re.DOTALL)
"""Formats that can run code when they are loaded."""
_TEXTS: Final = re.compile(r".*\.(jinja|json|model|tiktoken|txt|vocab)", re.DOTALL)
"""What engines read beside weights: configurations, indexes, tokenizers, templates."""
_WEIGHTS: Final = re.compile(r".*\.safetensors", re.DOTALL)
_GGUF: Final = re.compile(r".*\.gguf", re.DOTALL)
_COPIES: Final = re.compile(
    r"((coreml|flax|gguf|metal|onnx|openvino|original|tensorrt|tf)/.*|(.*/)?consolidated[^/]*)", re.DOTALL
)
"""The same weights once more, for another program: folders and Mistral's own layout."""
_SHARD: Final = re.compile(r"(?P<stem>.*)-(?P<part>\d{5})-of-(?P<total>\d{5})\.(gguf|safetensors)", re.DOTALL)
_SHOWN: Final = 3


def choose(
    files: Sequence[RepositoryFile], *, include: list[str] | None, taking: Taking, python: bool, file: str | None, where: str
) -> list[RepositoryFile]:
    """Return the files to take, in the order given.

    Args:
        files: all files of the commit.
        include: the owner's patterns; None leaves it to `taking`.
        taking: what the files are for.
        python: whether Python code is taken.
        file: the .gguf file to load, if the owner named it.
        where: the repository and commit, for messages.

    Raises:
        SourceNotFoundError: nothing matches the patterns.
        SourceUnusableError: what there is would run code when it is loaded.
    """
    if include is not None:
        return _named(files, include, python=python, where=where)
    chosen = _default(files, taking, python=python, file=file)
    if not chosen or (taking is Taking.SAFETENSORS and not any(_WEIGHTS.fullmatch(one.path) for one in chosen)):
        _refuse_pickles(files, where)
    if not chosen:
        raise SourceNotFoundError(f"{where} has no file that is taken by itself; name files in include: {_some(files)}")
    return chosen


def _named(files: Sequence[RepositoryFile], include: list[str], *, python: bool, where: str) -> list[RepositoryFile]:
    found = matching(files, include)
    if not found:
        raise SourceNotFoundError(f"{where} has no file that matches {', '.join(include)}")
    code = [pattern for pattern in include if PYTHON.fullmatch(pattern)]
    if code and not python:
        raise SourceUnusableError(
            f"include names Python code ({code[0]}), which runs in the engine; write remoteCode: Pinned, or take it out"
        )
    return found if python else [one for one in found if not PYTHON.fullmatch(one.path)]


def _default(files: Iterable[RepositoryFile], taking: Taking, *, python: bool, file: str | None) -> list[RepositoryFile]:
    match taking:
        case Taking.CODE:
            return [one for one in files if PYTHON.fullmatch(one.path)] if python else []
        case Taking.GGUF:
            wanted = _with_parts(file) if file is not None else _GGUF
            return [one for one in files if wanted.fullmatch(one.path)] or [one for one in files if _GGUF.fullmatch(one.path)]
    listed = [one for one in files if not _COPIES.fullmatch(one.path)]
    code = [one for one in listed if python and PYTHON.fullmatch(one.path)]
    texts = [one for one in listed if _TEXTS.fullmatch(one.path)]
    if taking is Taking.TOKENIZER:
        chosen = [*texts, *code]
    else:
        chosen = [*texts, *code, *_without_whole(one for one in listed if _WEIGHTS.fullmatch(one.path))]
    return sorted(chosen, key=lambda one: one.path)


def _with_parts(file: str) -> re.Pattern[str]:
    """Return what matches a file, and all parts of it if it is split (llama.cpp's ``gguf-split``)."""
    part = _SHARD.fullmatch(file)
    if part is None:
        return re.compile(re.escape(file))
    return re.compile(rf"{re.escape(part['stem'])}-\d{{5}}-of-{part['total']}\.gguf")


def _without_whole(weights: Iterable[RepositoryFile]) -> list[RepositoryFile]:
    """Leave out a file that is there in shards as well, such as model.safetensors beside model-00001-of-00002.safetensors."""
    found = list(weights)
    sharded = {match["stem"] for one in found if (match := _SHARD.fullmatch(one.path))}
    return [one for one in found if one.path.removesuffix(".safetensors") not in sharded]


def _refuse_pickles(files: Sequence[RepositoryFile], where: str) -> None:
    pickles = [one for one in files if PICKLES.fullmatch(one.path)]
    if pickles:
        raise SourceUnusableError(
            f"{where} has its weights only in formats that can run code when they are loaded ({_some(pickles)}); choose a"
            " repository with safetensors, or name the files in include if you trust them"
        )


def _some(files: Sequence[RepositoryFile]) -> str:
    names = ", ".join(ascii(one.path)[1:-1] for one in files[:_SHOWN])
    return (names + (", …" if len(files) > _SHOWN else "")) or "it has none"
