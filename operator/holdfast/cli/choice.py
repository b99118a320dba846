"""Which engine, and which files of a repository, a pin takes: from what the person said and what the repository holds."""

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from holdfast.api.model import EngineType
from holdfast.cli import words
from holdfast.cli.exits import CommandError, ExitCode

DEFAULT_IMAGES: Final = {
    EngineType.VLLM: "docker.io/vllm/vllm-openai:latest",
    EngineType.TGI: "ghcr.io/huggingface/text-generation-inference:latest",
    EngineType.SGLANG: "docker.io/lmsysorg/sglang:latest",
    EngineType.LLAMA_CPP: "ghcr.io/ggml-org/llama.cpp:server",
}
"""Where the projects publish their images. A tag is only asked for its digest of the moment; the manifest never has it."""

_PART = re.compile(r"(?P<stem>.*)-(?P<part>\d{5})-of-(?P<total>\d{5})\.gguf")
"""llama.cpp's ``gguf-split`` names parts this way; the engine is given the first and finds the others."""
_SHOWN: Final = 20


class Listed(Protocol):
    """A file as the repository lists it."""

    @property
    def path(self) -> str: ...  # noqa: D102 - described by the class
    @property
    def size(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is written into the manifest. `why` explains `include` to the reader of the manifest; empty if nothing is left out."""

    engine: EngineType
    include: tuple[str, ...] | None
    model_file: str | None
    why: str = ""


def choose(
    files: Sequence[Listed], *, repository: str, engine: EngineType | None, file: str | None, include: Sequence[str]
) -> Choice:
    """Choose what was not said: the engine by the format of the weights, the files by the engine.

    Raises:
        CommandError: what was said does not fit the repository or each other.
    """
    chosen = engine or (EngineType.LLAMA_CPP if file or _only_gguf(files) else EngineType.VLLM)
    patterns = tuple(sorted(set(include))) or None
    if chosen is EngineType.LLAMA_CPP:
        return _single_file(files, repository, file, patterns)
    if file is not None:
        raise CommandError(
            f"--file is for LlamaCpp, which loads one file; for {chosen} choose files with --include", ExitCode.USAGE
        )
    return Choice(engine=chosen, include=patterns, model_file=None)


def _has(files: Sequence[Listed], suffixes: tuple[str, ...]) -> bool:
    return any(one.path.lower().endswith(suffixes) for one in files)


def _only_gguf(files: Sequence[Listed]) -> bool:
    return _has(files, (".gguf",)) and not _has(files, (".safetensors",))


def _single_file(files: Sequence[Listed], repository: str, file: str | None, patterns: tuple[str, ...] | None) -> Choice:
    """Find the file that llama.cpp loads, and take it alone unless other files were asked for."""
    loadable = [one for one in files if one.path.endswith(".gguf") and not _is_later_part(one.path)]
    if file is None:
        if not loadable:
            raise CommandError(
                f"{repository} has no .gguf file, which is what LlamaCpp loads; choose a repository with one, or another --engine"
            )
        if len(loadable) > 1:
            listed = "\n".join(f"  {one.path}  {words.size(one.size)}" for one in loadable[:_SHOWN])
            more = f"\n  … and {len(loadable) - _SHOWN} more" if len(loadable) > _SHOWN else ""
            raise CommandError(f"{repository} has several models; choose one with --file:\n{listed}{more}", ExitCode.USAGE)
        file = loadable[0].path
    if all(one.path != file for one in files):
        raise CommandError(f"{repository} has no file {file!r} at this commit; it has: {_some(loadable)}", ExitCode.NOT_FOUND)
    if not file.endswith(".gguf"):
        raise CommandError(
            f"LlamaCpp loads a .gguf file, and {file!r} is none; {repository} has: {_some(loadable)}", ExitCode.USAGE
        )
    if _is_later_part(file):
        raise CommandError(
            f"{file!r} is a later part of a split model; name its first part, which ends in -00001-of-…", ExitCode.USAGE
        )
    if patterns is not None:
        return Choice(engine=EngineType.LLAMA_CPP, include=patterns, model_file=file)
    taken = _parts(file)
    why = "" if len(taken) == len(files) else "only what is loaded; --include takes more"
    return Choice(
        engine=EngineType.LLAMA_CPP, include=tuple(sorted(glob.escape(path) for path in taken)), model_file=file, why=why
    )


def _is_later_part(path: str) -> bool:
    match = _PART.fullmatch(path)
    return match is not None and int(match["part"]) != 1


def _parts(path: str) -> list[str]:
    """Return all parts of a split model, by the name of its first; a whole model is its own only part."""
    match = _PART.fullmatch(path)
    if match is None:
        return [path]
    return [f"{match['stem']}-{number:05}-of-{match['total']}.gguf" for number in range(1, int(match["total"]) + 1)]


def _some(files: Sequence[Listed]) -> str:
    names = ", ".join(one.path for one in files[:_SHOWN])
    return (names + (", …" if len(files) > _SHOWN else "")) or "no .gguf file"
