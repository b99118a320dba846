"""Each engine has a range of versions that its rendering is for, and people can read it."""

from pathlib import Path

import pytest

from holdfast.render.version1.container import EngineRenderer
from holdfast.render.version1.llama_cpp import LlamaCpp
from holdfast.render.version1.sglang import SGLang
from holdfast.render.version1.tgi import TGI
from holdfast.render.version1.vllm import VLLM

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/engines.md").read_text(encoding="utf-8")
LOCKED = (ROOT / "tests/testbed/images/requirements-vllm.in").read_text(encoding="utf-8")


@pytest.mark.parametrize(("kind", "engine"), [("VLLM", VLLM()), ("SGLang", SGLang()), ("TGI", TGI()), ("LlamaCpp", LlamaCpp())])
def test_the_versions_of_an_engine_are_documented(kind: str, engine: EngineRenderer) -> None:
    assert f"| `{kind}` | {engine.VERSIONS} |" in PAGE


def test_the_vllm_of_the_bed_is_one_of_them() -> None:
    first, _, last = VLLM.VERSIONS.partition(" to ")

    def number(version: str) -> tuple[int, ...]:
        return tuple(int(part) for part in version.split(".")[:2])

    assert number(first) <= number(LOCKED.partition("==")[2].strip()) <= number(last)
