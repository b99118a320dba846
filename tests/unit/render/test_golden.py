"""What is created for each engine, whole, as files that a person can read and that may not change by accident.

A change of what a released render version makes is a defect: pods of approved models would be replaced. To accept a change of an
unreleased version run ``HOLDFAST_GOLDEN=write pytest tests/unit/render/test_golden.py`` and read the difference.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.api.model import Model
from holdfast.render.deployment import engine_objects, problems, shared_objects
from unit.render.cases import CLAIM, FULL, FULL_SERVING, MANY_PARTS, MINIMAL, MIXED, PARTS, owner, revision

GOLDEN = Path(__file__).parent / "golden"


class Whole(yaml.SafeDumper):
    """Writes everything out where it stands."""

    def ignore_aliases(self, data: object) -> bool:  # the name is PyYAML's
        return True


def hold(name: str, objects: list[dict[str, Any]]) -> None:
    """Compare with the file, or write it when asked to."""
    text = yaml.dump_all(objects, Dumper=Whole, sort_keys=False, width=120, allow_unicode=True)
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("HOLDFAST_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("model", "paths"), MINIMAL.values(), ids=MINIMAL)
def test_the_smallest_model(request: pytest.FixtureRequest, model: Model, paths: tuple[str, ...]) -> None:
    view = revision(model, paths)
    assert problems(view.spec.model) == []
    hold(f"{request.node.callspec.id}-minimal", engine_objects(owner(model), view, 1))


@pytest.mark.parametrize(("model", "paths"), FULL.values(), ids=FULL)
def test_a_model_with_everything(request: pytest.FixtureRequest, model: Model, paths: tuple[str, ...]) -> None:
    view = revision(model, paths)
    assert problems(view.spec.model) == []
    hold(f"{request.node.callspec.id}-full", engine_objects(owner(model, **FULL_SERVING), view, 2))


@pytest.mark.parametrize(
    "cache", [CLAIM, *({"type": kind} for kind in ("EmptyDir", "Image"))], ids=["claim", "empty-dir", "image"]
)
def test_a_model_with_a_source_of_each_kind(request: pytest.FixtureRequest, cache: dict[str, Any]) -> None:
    model, paths = MIXED
    serving = {"cache": cache, "registryCredentials": {"name": "pull"}}
    hold(f"mixed-{request.node.callspec.id}", engine_objects(owner(model, **serving), revision(model, paths), 1))


def test_a_model_with_every_part() -> None:
    model, paths = MANY_PARTS
    hold("many-parts", engine_objects(owner(model, cache=CLAIM), revision(model, paths), 1))


@pytest.mark.parametrize(("model", "paths"), PARTS.values(), ids=PARTS)
def test_every_part_that_an_engine_can_load(request: pytest.FixtureRequest, model: Model, paths: tuple[str, ...]) -> None:
    view = revision(model, paths)
    assert problems(view.spec.model) == []
    hold(f"{request.node.callspec.id}-parts", engine_objects(owner(model), view, 1))


def test_what_revisions_share_without_a_cache() -> None:
    hold("shared-minimal", shared_objects(owner(MINIMAL["vllm"][0])))


def test_what_revisions_share_with_a_cache() -> None:
    hold("shared-full", shared_objects(owner(MINIMAL["vllm"][0], **FULL_SERVING)))
