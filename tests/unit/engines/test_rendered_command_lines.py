"""What Holdfast renders for each engine is what the fake engine takes."""

import pytest

from holdfast.api.model import EngineType, Model
from holdfast.render.deployment import engine_objects
from testbed.engines.fake_engine.arguments import Flavor, parse
from unit.render.cases import FULL, MINIMAL, owner, revision

ALL = {f"{name}-minimal": case for name, case in MINIMAL.items()} | {f"{name}-full": case for name, case in FULL.items()}
FLAVORS = {
    EngineType.VLLM: Flavor.VLLM,
    EngineType.TGI: Flavor.TGI,
    EngineType.SGLANG: Flavor.SGLANG,
    EngineType.LLAMA_CPP: Flavor.LLAMACPP,
}


def _command(model: Model, paths: tuple[str, ...]) -> list[str]:
    """The process's arguments in the fake engine's image."""
    template = engine_objects(owner(model), revision(model, paths), 1)[-1]["spec"]["template"]
    container = template["spec"]["containers"][0]
    command: list[str] = container.get("command", ["fake-engine"])
    if command[:2] == ["python3", "-c"]:  # it puts itself in the place of the server
        assert '"-m", "sglang.launch_server"' in command[2]
        command = ["/site-packages/sglang/launch_server.py"]
    return [*command, *container["args"]]


@pytest.mark.parametrize(("model", "paths"), ALL.values(), ids=ALL)
def test_the_fake_engine_plays_the_right_engine_where_the_gateway_looks_for_it(model: Model, paths: tuple[str, ...]) -> None:
    program, *arguments = _command(model, paths)
    found = parse(program, arguments, {})
    assert found.flavor is FLAVORS[model.engine.type]
    assert str(found.model).startswith("/holdfast/model")
    assert found.port == 8000
    if found.flavor is not Flavor.TGI:  # it has no name but the path
        assert found.served_name == revision(model, paths).spec.model.served_name
