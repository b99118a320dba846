"""A new Holdfast renders new revisions its own way, and those that were approved before byte for byte as they were."""

from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from holdfast.api.deployment import Serving
from holdfast.domain.snapshot import DeploymentView, RevisionView
from holdfast.render import deployment as renderer
from holdfast.render.version1 import objects as version1
from unit.render.cases import FULL, FULL_SERVING, MINIMAL, owner, revision
from unit.render.test_golden import GOLDEN


def _second(deployment: DeploymentView, view: RevisionView, serving: Serving, replicas: int) -> list[dict[str, Any]]:
    """Return what the next version could make: the same, but for a variable in the engine's environment."""
    objects = version1.engine_objects(deployment, view, serving, replicas)
    objects[-1]["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "NEW_IN_VERSION_2", "value": "1"})
    return objects


@pytest.fixture
def upgraded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Holdfast whose current version of rendering is another one."""
    second = SimpleNamespace(engine_objects=_second, problems=version1.problems)
    monkeypatch.setattr(renderer, "_VERSIONS", {1: version1, 2: second})
    monkeypatch.setattr(renderer, "CURRENT_VERSION", 2)


CASES: dict[str, tuple[Any, dict[str, Any], int]] = {f"{name}-minimal": (case, {}, 1) for name, case in MINIMAL.items()}
CASES |= {f"{name}-full": (case, FULL_SERVING, 2) for name, case in FULL.items()}


@pytest.mark.usefixtures("upgraded")
@pytest.mark.parametrize("golden", CASES)
def test_a_revision_of_before_the_upgrade_looks_as_it_did(golden: str) -> None:
    (model, paths), serving, replicas = CASES[golden]
    objects = renderer.engine_objects(owner(model, **serving), revision(model, paths, version=1), replicas)
    assert objects == list(yaml.safe_load_all((GOLDEN / f"{golden}.yaml").read_text(encoding="utf-8")))


@pytest.mark.usefixtures("upgraded")
def test_a_revision_of_after_the_upgrade_looks_new_beside_it() -> None:
    model, paths = MINIMAL["vllm"]
    old, new = (renderer.engine_objects(owner(model), revision(model, paths, version=version), 1) for version in (1, 2))
    assert old[:-1] == new[:-1]
    added = new[-1]["spec"]["template"]["spec"]["containers"][0]["env"][-1]
    assert added == {"name": "NEW_IN_VERSION_2", "value": "1"}
    assert added not in old[-1]["spec"]["template"]["spec"]["containers"][0]["env"]


def test_a_new_revision_gets_the_current_version() -> None:
    assert renderer.CURRENT_VERSION in renderer._VERSIONS
    assert max(renderer._VERSIONS) == renderer.CURRENT_VERSION
