"""The tiny models as repositories of files, made once and cached."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

from testbed.models.environment import cache_folder, environment_digest, environment_python, locked

_RECIPE = Path(__file__).with_name("recipe.py")
_LICENSE = Path(__file__).parents[3] / "LICENSE"
_SUMS = "sums.json"

_CARD = """\
---
license: apache-2.0
language:
- en
pipeline_tag: text-generation
{metadata}---

# {title}

A language model with random weights, made from seed {seed}. It answers fast, at length and without any sense: it is for
tests of what carries a model, not of the model.
"""


def tiny_model(seed: int) -> dict[str, bytes]:
    """Return the files of a transformers repository (path to content): weights, configs, tokenizer, card, licence.

    Raises ``RuntimeError`` when the environment that makes it cannot be installed.
    """
    card = _CARD.format(title="Tiny chat", seed=seed, metadata="library_name: transformers\n")
    return {**_made("safetensors", seed), **_papers(card)}


def tiny_gguf(seed: int) -> dict[str, bytes]:
    """Return the files of a GGUF repository: the same model as `tiny_model` of this seed, for llama.cpp.

    Raises ``RuntimeError`` when the environment that makes it cannot be installed.
    """
    metadata = "library_name: gguf\nbase_model: holdfast/tiny-chat\n"
    card = _CARD.format(title="Tiny chat, GGUF", seed=seed, metadata=metadata)
    return {**_made("gguf", seed), **_papers(card)}


def tiny_adapter(seed: int) -> dict[str, bytes]:
    """Return the files of a repository with a LoRA adapter for `tiny_model`.

    Raises ``RuntimeError`` when the environment that makes it cannot be installed.
    """
    metadata = "library_name: peft\nbase_model: holdfast/tiny-chat\n"
    card = _CARD.format(title="Tiny chat, polite", seed=seed, metadata=metadata)
    return {**_made("adapter", seed), **_papers(card)}


def _papers(card: str) -> dict[str, bytes]:
    return {"README.md": card.encode(), "LICENSE": _LICENSE.read_bytes()}


def _made(kind: Literal["safetensors", "gguf", "adapter"], seed: int) -> dict[str, bytes]:
    recipe = hashlib.sha256(_RECIPE.read_bytes()).hexdigest()[:16]
    folder = cache_folder() / "models" / f"{kind}-{seed}-{recipe}-{environment_digest()}"
    with locked(folder):
        return _cached(folder) or _make(kind, seed, folder)


def _make(kind: str, seed: int, folder: Path) -> dict[str, bytes]:
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        command = [str(environment_python()), "-I", str(_RECIPE), kind, str(seed), work]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"making the tiny model ({kind}, seed {seed}) failed:\n{done.stderr}")
        files = {p.name: p.read_bytes() for p in sorted(Path(work).iterdir())}
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        (Path(work) / _SUMS).write_text(json.dumps(sums))
        shutil.copytree(work, folder)
    return files


def _cached(folder: Path) -> dict[str, bytes] | None:
    """Return what an earlier run left, if all of it is there unharmed."""
    if not (folder / _SUMS).exists():
        return None
    sums: dict[str, str] = json.loads((folder / _SUMS).read_text())
    files = {name: (folder / name).read_bytes() for name in sums if (folder / name).exists()}
    good = all(name in files and hashlib.sha256(files[name]).hexdigest() == s for name, s in sums.items())
    return files if good else None
