"""What the Hub derives from the files of a repository: which are large, what the card says, which weights there are."""

import json
import re
from collections.abc import Callable, Mapping
from math import prod

import yaml
from pydantic import BaseModel

from testbed.hub.content import ContentStore, Source
from testbed.hub.repository import Commit

# What the Hub's own first commit stores through LFS, shortened to the kinds that model repositories have.
LFS_SUFFIXES = [
    ".7z",
    ".arrow",
    ".bin",
    ".bz2",
    ".ckpt",
    ".ftz",
    ".gguf",
    ".gz",
    ".h5",
    ".joblib",
    ".mlmodel",
    ".model",
    ".msgpack",
    ".npy",
    ".npz",
    ".onnx",
    ".ot",
    ".parquet",
    ".pb",
    ".pickle",
    ".pkl",
    ".pt",
    ".pth",
    ".rar",
    ".safetensors",
    ".tar",
    ".tflite",
    ".tgz",
    ".wasm",
    ".xz",
    ".zip",
    ".zst",
]
LFS_THRESHOLD_BYTES = 10 * 1024 * 1024
GITATTRIBUTES = "".join(f"*{s} filter=lfs diff=lfs merge=lfs -text\n" for s in LFS_SUFFIXES).encode()

_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)^---\r?\n?", re.DOTALL | re.MULTILINE)


def goes_to_lfs(path: str, content: bytes) -> bool:
    """Whether the Hub would store the file through LFS: by its name, its size, or because it is binary."""
    if any(path.endswith(s) for s in LFS_SUFFIXES) or len(content) > LFS_THRESHOLD_BYTES:
        return True
    return b"\0" in content


def read_card(commit: Commit, store: ContentStore) -> dict[str, object]:
    """Return the metadata of the model card (the YAML front of README.md); empty when there is none."""
    text = _text(commit, store, "README.md")
    match = _FRONT_MATTER.match(text) if text else None
    loaded = yaml.safe_load(match.group(1)) if match else None
    return loaded if isinstance(loaded, dict) else {}


def with_card(readme: str, card: Mapping[str, object]) -> str:
    """Return the README with its metadata replaced."""
    front = f"---\n{yaml.safe_dump(dict(card), sort_keys=False)}---\n"
    return front + _FRONT_MATTER.sub("", readme, count=1)


def model_config(commit: Commit, store: ContentStore) -> dict[str, object] | None:
    """Return the part of ``config.json`` and ``tokenizer_config.json`` that the Hub shows as ``config``."""
    config = _json(commit, store, "config.json")
    if config is None:
        return None
    shown: dict[str, object] = {
        k: config[k] for k in ("architectures", "model_type", "quantization_config", "auto_map") if k in config
    }
    tokenizer = _json(commit, store, "tokenizer_config.json")
    if tokenizer is not None:
        names = ("bos_token", "eos_token", "pad_token", "unk_token", "chat_template", "use_default_system_prompt")
        shown["tokenizer_config"] = {k: tokenizer[k] for k in names if k in tokenizer}
    template = _text(commit, store, "chat_template.jinja")
    if template is not None:
        shown["chat_template_jinja"] = template
    return shown


def parameter_counts(commit: Commit, store: ContentStore) -> dict[str, int]:
    """Return the number of parameters per data type over all safetensors files.

    Outside fact: the file begins with the length of a JSON header (https://github.com/huggingface/safetensors#format).
    """
    counts: dict[str, int] = {}
    for file in commit.files.values():
        if file.path.endswith(".safetensors"):
            for tensor in _safetensors_header(store.open(file.sha256)):
                counts[tensor.dtype] = counts.get(tensor.dtype, 0) + prod(tensor.shape)
    return counts


def library_tags(commit: Commit) -> list[str]:
    """Return the tags that the Hub gives for the kinds of files in a repository."""
    kinds: dict[str, Callable[[str], bool]] = {
        "safetensors": lambda p: p.endswith(".safetensors"),
        "gguf": lambda p: p.endswith(".gguf"),
        "transformers": lambda p: p == "config.json",
    }
    return [tag for tag, has in kinds.items() if any(has(p) for p in commit.files)]


class _Tensor(BaseModel):
    dtype: str
    shape: list[int]


def _safetensors_header(source: Source) -> list[_Tensor]:
    size = int.from_bytes(source.read(0, 8), "little")
    try:
        header = json.loads(source.read(8, size))
        return [_Tensor.model_validate(t) for name, t in header.items() if name != "__metadata__"]
    except (ValueError, AttributeError):
        return []  # named like safetensors but something else: the Hub then shows no counts


def _text(commit: Commit, store: ContentStore, path: str) -> str | None:
    file = commit.files.get(path)
    if file is None:
        return None
    source = store.open(file.sha256)
    return source.read(0, source.size).decode("utf-8", "replace")


def _json(commit: Commit, store: ContentStore, path: str) -> dict[str, object] | None:
    text = _text(commit, store, path)
    try:
        value = json.loads(text) if text is not None else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
