"""Which files are taken when the owner named none: what the engine reads, in one format of weights, and nothing that runs code."""

import pytest

from holdfast.api.found import Taking
from holdfast.sources.hub_client import RepositoryFile
from holdfast.sources.hub_errors import HubError, SourceNotFoundError, SourceUnusableError
from holdfast.sources.selection import choose

LLAMA = (
    ".gitattributes",
    "LICENSE",
    "README.md",
    "USE_POLICY.md",
    "config.json",
    "generation_config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "original/consolidated.00.pth",
    "original/params.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
)
NEEDED = tuple(path for path in LLAMA if path.endswith((".json", ".safetensors", ".model")) and "/" not in path)


def taken(*paths: str, taking: Taking = Taking.SAFETENSORS, python: bool = False, **rest: object) -> list[str]:
    files = [RepositoryFile(path=path, size=1, blob="0" * 40, sha256=None) for path in paths]
    include, file = rest.get("include"), rest.get("file")
    assert include is None or isinstance(include, list)
    assert file is None or isinstance(file, str)
    chosen = choose(files, include=include, taking=taking, python=python, file=file, where="lab/model at aaaa")
    return [one.path for one in chosen]


def refused(*paths: str, taking: Taking = Taking.SAFETENSORS, include: list[str] | None = None) -> HubError:
    with pytest.raises(HubError) as raised:
        taken(*paths, taking=taking, include=include)
    return raised.value


def test_a_model_is_its_weights_once_and_what_is_read_beside_them() -> None:
    assert taken(*LLAMA) == list(NEEDED)


@pytest.mark.parametrize(
    "extra",
    [
        "consolidated.safetensors",
        "consolidated-00001-of-00002.safetensors",
        "coreml/model.json",
        "flax_model.msgpack",
        "ggml-model.gguf",
        "metal/model.safetensors",
        "model.onnx",
        "onnx/model.onnx",
        "onnx/config.json",
        "original/model.safetensors",
        "pytorch_model.bin",
        "optimizer.pt",
        "rng_state.pth",
        "tf_model.h5",
        "training_args.bin",
        "scheduler.PKL",
        "model.safetensors",  # beside its own shards
        "setup.sh",
        "modeling.py",
        "libkernel.so",
    ],
)
def test_nothing_is_taken_twice_and_nothing_that_runs(extra: str) -> None:
    assert taken(*sorted((*LLAMA, extra))) == list(NEEDED)


def test_modules_in_folders_are_part_of_a_model() -> None:
    paths = ("1_Pooling/config.json", "2_Dense/model.safetensors", "config.json", "model.safetensors", "modules.json")
    assert taken(*paths) == list(paths)


def test_python_is_taken_only_where_it_may_run() -> None:
    assert taken("config.json", "model.safetensors", "modeling.py") == ["config.json", "model.safetensors"]
    assert taken("config.json", "model.safetensors", "modeling.py", python=True) == [
        "config.json",
        "model.safetensors",
        "modeling.py",
    ]


def test_weights_that_run_code_when_they_are_loaded_are_refused_unless_named() -> None:
    error = refused("config.json", "pytorch_model.bin")
    assert isinstance(error, SourceUnusableError)
    assert "pytorch_model.bin" in str(error)
    assert "include" in str(error)
    assert taken("config.json", "pytorch_model.bin", include=["config.json", "pytorch_model.bin"]) == [
        "config.json",
        "pytorch_model.bin",
    ]


def test_named_files_are_taken_as_they_are_named() -> None:
    assert taken(*LLAMA, include=["*"]) == list(LLAMA)
    assert taken(*LLAMA, include=["original/"]) == ["original/consolidated.00.pth", "original/params.json"]


def test_a_pattern_that_takes_everything_takes_no_code() -> None:
    assert taken("config.json", "modeling.py", include=["*"]) == ["config.json"]
    assert taken("config.json", "modeling.py", include=["*"], python=True) == ["config.json", "modeling.py"]


def test_code_that_is_named_and_may_not_run_is_refused() -> None:
    error = refused("config.json", "modeling.py", include=["*.json", "modeling.py"])
    assert "remoteCode: Pinned" in str(error)


def test_a_pattern_without_a_file_is_told() -> None:
    assert isinstance(refused("config.json", include=["*.onnx"]), SourceNotFoundError)


@pytest.mark.parametrize("paths", [(), ("README.md",)])
def test_a_repository_without_anything_to_take_is_told(paths: tuple[str, ...]) -> None:
    assert isinstance(refused(*paths), SourceNotFoundError)


def test_llama_cpp_gets_its_file_alone() -> None:
    assert taken("README.md", "config.json", "tiny.gguf", taking=Taking.GGUF) == ["tiny.gguf"]
    assert taken("a.gguf", "b.gguf", taking=Taking.GGUF, file="b.gguf") == ["b.gguf"]


def test_a_split_file_comes_with_its_parts() -> None:
    parts = [f"big-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
    assert taken(*parts, "other.gguf", taking=Taking.GGUF, file=parts[0]) == parts


def test_a_file_that_is_not_there_leaves_the_choice_to_be_told() -> None:
    """The engine's own check names the field and the files that there are."""
    assert taken("a.gguf", "b.gguf", taking=Taking.GGUF, file="c.gguf") == ["a.gguf", "b.gguf"]


def test_a_tokenizer_has_no_weights() -> None:
    paths = ("chat_template.jinja", "config.json", "merges.txt", "model.safetensors", "tokenizer.json", "vocab.json")
    assert taken(*paths, taking=Taking.TOKENIZER) == [path for path in paths if path != "model.safetensors"]


def test_a_repository_of_code_is_its_python() -> None:
    paths = ("README.md", "config.json", "configuration.py", "modeling.py", "pytorch_model.bin")
    assert taken(*paths, taking=Taking.CODE, python=True) == ["configuration.py", "modeling.py"]
