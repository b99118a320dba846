"""Which engine and which files a pin takes when they were not said."""

import re
from dataclasses import dataclass

import pytest

from holdfast.api.model import EngineType
from holdfast.cli.choice import DEFAULT_IMAGES, Choice, choose
from holdfast.cli.exits import CommandError, ExitCode
from holdfast.sources.registry_reference import parse_reference


@dataclass(frozen=True, slots=True)
class Listed:
    path: str
    size: int = 1_500_000_000


def _choose(*paths: str, engine: EngineType | None = None, file: str | None = None, include: tuple[str, ...] = ()) -> Choice:
    return choose([Listed(path) for path in paths], repository="lab/model", engine=engine, file=file, include=include)


def test_safetensors_are_for_vllm() -> None:
    assert _choose("README.md", "config.json", "model.safetensors") == Choice(
        engine=EngineType.VLLM, include=None, model_file=None
    )


def test_which_of_several_formats_is_taken_is_left_to_the_pin() -> None:
    choice = _choose("README.md", "config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.model")
    assert choice.include is None


def test_patterns_that_were_given_are_kept_sorted_and_once() -> None:
    choice = _choose("config.json", "model.safetensors", "x.bin", include=("*.safetensors", "*.json", "*.json"))
    assert choice.include == ("*.json", "*.safetensors")


@pytest.mark.parametrize("engine", [EngineType.VLLM, EngineType.TGI, EngineType.SGLANG])
def test_an_engine_that_was_named_is_kept(engine: EngineType) -> None:
    assert _choose("config.json", "model.safetensors", engine=engine).engine is engine


def test_one_gguf_file_is_for_llama_cpp_and_taken_alone() -> None:
    choice = _choose("README.md", "tiny.gguf")
    assert choice == Choice(
        engine=EngineType.LLAMA_CPP,
        include=("tiny.gguf",),
        model_file="tiny.gguf",
        why="only what is loaded; --include takes more",
    )


def test_several_gguf_files_are_a_question_with_its_answers() -> None:
    with pytest.raises(CommandError) as caught:
        _choose("q4/model.gguf", "q8/model.gguf")
    assert caught.value.code is ExitCode.USAGE
    assert str(caught.value) == (
        "lab/model has several models; choose one with --file:\n  q4/model.gguf  1.5 GB\n  q8/model.gguf  1.5 GB"
    )


def test_a_file_that_was_named_is_taken_alone() -> None:
    choice = _choose("q4/model.gguf", "q8/model.gguf", file="q8/model.gguf")
    assert (choice.model_file, choice.include) == ("q8/model.gguf", ("q8/model.gguf",))


def test_a_file_name_with_the_signs_of_a_pattern_matches_itself_only() -> None:
    assert _choose("a[1]*.gguf", file="a[1]*.gguf").include == ("a[[]1][*].gguf",)


def test_a_split_model_is_taken_in_all_its_parts_and_loaded_by_its_first() -> None:
    parts = [f"big-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
    choice = _choose(*parts, "README.md")
    assert (choice.model_file, choice.include) == (parts[0], tuple(parts))


def test_patterns_beside_a_file_are_the_persons_own() -> None:
    choice = _choose("a.gguf", "b.gguf", "mmproj.gguf", file="a.gguf", include=("a.gguf", "mmproj.gguf"))
    assert (choice.model_file, choice.include) == ("a.gguf", ("a.gguf", "mmproj.gguf"))


@pytest.mark.parametrize(
    ("paths", "engine", "file", "code", "said"),
    [
        (["config.json"], EngineType.LLAMA_CPP, None, ExitCode.FAILED, "has no .gguf file, which is what LlamaCpp loads"),
        (["a.gguf"], None, "b.gguf", ExitCode.NOT_FOUND, "has no file 'b.gguf' at this commit; it has: a.gguf"),
        (["a.gguf", "README.md"], None, "README.md", ExitCode.USAGE, "LlamaCpp loads a .gguf file, and 'README.md' is none"),
        (["model.safetensors"], EngineType.VLLM, "model.safetensors", ExitCode.USAGE, "--file is for LlamaCpp"),
        (
            ["big-00001-of-00002.gguf", "big-00002-of-00002.gguf"],
            None,
            "big-00002-of-00002.gguf",
            ExitCode.USAGE,
            "is a later part of a split model; name its first part",
        ),
    ],
)
def test_what_does_not_fit_the_repository_is_said(
    paths: list[str], engine: EngineType | None, file: str | None, code: ExitCode, said: str
) -> None:
    with pytest.raises(CommandError, match=re.escape(said)) as caught:
        _choose(*paths, engine=engine, file=file)
    assert caught.value.code is code


@pytest.mark.parametrize("engine", list(EngineType))
def test_every_engine_has_an_image_that_can_be_asked_for(engine: EngineType) -> None:
    assert parse_reference(DEFAULT_IMAGES[engine]).tag
