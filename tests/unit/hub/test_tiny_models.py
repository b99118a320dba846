"""The tiny models are the same bytes on every machine, every time."""

import hashlib
from pathlib import Path

import pytest

from testbed.models import tiny_adapter, tiny_gguf, tiny_model
from testbed.models.environment import cache_folder

FILES = {
    "LICENSE",
    "README.md",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("seed", "weights", "tokenizer", "gguf"),
    [
        (
            0,
            "069b45f9a221f8ed095bcc87ae1eb6a8799b82f166baa3d5ceae8b6779117f35",
            "be8e77677a362a7e13f9aa7b4b21793b1769948f5c00eaac8e8fa6039b1ceb04",
            "1e14490a8669eb8fe86a303f848e81055e42b5769ffdb8ab803d2aec45324b99",
        ),
        (
            1,
            "fa343db453f4a32e5808f4927075ecdcb1bb3e8d78a896abce6acf84aa194f51",
            "37391eda343b1d65eaf4b58641a1c5f7872c4bb9b1467693fb98494ac27172b5",
            "355485625c0bd02142ec4b60f9e53bf0e5549eaca8221a3487b6c74369fb0245",
        ),
    ],
)
def test_a_seed_always_gives_the_same_bytes(seed: int, weights: str, tokenizer: str, gguf: str) -> None:
    model = tiny_model(seed)
    assert (digest(model["model.safetensors"]), digest(model["tokenizer.json"])) == (weights, tokenizer)
    assert digest(tiny_gguf(seed)["tiny.gguf"]) == gguf


def test_an_adapter_always_is_the_same_bytes() -> None:
    files = tiny_adapter(7)
    assert set(files) == {"LICENSE", "README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert digest(files["adapter_model.safetensors"]) == "9b14742d10d9bfb0ff26cf004aed7e085e68374fcb75c83d6745c31c3128f049"


def test_a_model_is_a_whole_repository() -> None:
    assert set(tiny_model(0)) == FILES
    assert set(tiny_gguf(0)) == {"LICENSE", "README.md", "tiny.gguf"}
    assert b"license: apache-2.0" in tiny_model(0)["README.md"]


def test_a_damaged_cache_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a cache of its own for the results; the environment that makes them is shared."""
    shared = cache_folder()
    good = tiny_model(0)
    for venv in shared.glob("models-venv-*"):
        (tmp_path / venv.name).symlink_to(venv)
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path))
    assert tiny_model(0) == good
    (cached,) = (tmp_path / "models").glob("safetensors-0-*/model.safetensors")
    cached.write_bytes(b"damaged")
    assert tiny_model(0) == good
    assert cached.read_bytes() == good["model.safetensors"]
