"""The chart's values and its schema belong together, and what it ships of others is theirs."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from holdfast import __version__
from holdfast.settings import OperatorSettings

CHART = Path(__file__).parents[2] / "charts/holdfast"
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
ZEROS = "sha256:" + "0" * 64


def complaints(**values: object) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors({**VALUES, **values})]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_defaults_are_valid() -> None:
    assert complaints() == []


def test_the_schema_and_the_defaults_name_the_same_values() -> None:
    def names(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> None:
        if "properties" in schema:
            assert set(values) == set(schema["properties"]) - {"global"}, path
            for name, value in values.items():
                if isinstance(value, dict):
                    names(value, schema["properties"][name], f"{path}.{name}")

    names(VALUES, SCHEMA)


def test_every_value_is_described() -> None:
    def silent(schema: dict[str, Any], path: str) -> list[str]:
        found = [] if "description" in schema or "$ref" in schema or not path else [path]
        return found + [gap for name, child in schema.get("properties", {}).items() for gap in silent(child, f"{path}.{name}")]

    leaves_that_say_it_by_their_name = {".hub.tokenSecret.name", ".hub.tokenSecret.key"}
    assert set(silent(SCHEMA, "")) <= leaves_that_say_it_by_their_name


@pytest.mark.parametrize(
    "values",
    [
        {"imag": {}},
        {"image": {"repository": "registry.example/holdfast:v1", "digest": ZEROS}},
        {"image": {"repository": "registry.example/holdfast", "digest": "v1"}},
        {"image": {"repository": "registry.example/holdfast", "digest": ZEROS, "tag": "v1"}},
        {"gatewayImage": {"repository": "registry.example/envoy", "digest": "latest"}},
        {"hub": {"endpoint": "https://hub.example/"}},
        {"registries": {"credentials": {"name": "a"}}},
        {"registries": {"mirrors": {"docker.io": "https://m.example"}}},
        {"registries": {"mirrors": {"docker.io": []}}},
        {"registries": {"mirrors": {"docker.io": ["m.example"]}}},
        {"registries": {"mirrors": {"docker.io": ["https://me:word@m.example"]}}},
        {"registries": {"mirrors": {"docker.io": ["https://m.example/?a"]}}},
        {"registries": {"mirrors": {"https://docker.io": ["https://m.example"]}}},
        {"registries": {"tokenServers": {"a.example": "https://b.example"}}},
        {"namespaces": ["Team A"]},
        {"namespaces": ["a", "a"]},
        {"guards": {"enabled": "yes"}},
        {"guards": {"enable": True}},
        {"logFormat": "yaml"},
        {"podLabels": {"holdfast.dev/component": "engine"}},
        {"replicas": 2},
    ],
    ids=str,
)
def test_refuses(values: dict[str, object]) -> None:
    assert complaints(**values)


def test_takes_mirrors_as_containerd_has_them() -> None:
    mirrors = {
        "docker.io": ["https://m.example", "http://10.0.0.5:5000/v2/hub"],
        "registry.example:5000": ["https://m.example/a"],
    }
    assert complaints(registries={"mirrors": mirrors, "tokenServers": {"a.example": "b.example:8443"}}) == []


@pytest.mark.parametrize(
    "mirror",
    ["https://m.example", "http://10.0.0.5:5000/v2/hub", "m.example", "https://me:word@m.example", "https://m.example?a"],
)
def test_the_schema_and_the_operator_take_the_same_mirrors(mirror: str) -> None:
    taken = not complaints(registries={"mirrors": {"docker.io": [mirror]}})
    try:
        images = {"weights_image": f"r.example/h@{ZEROS}", "gateway_image": f"r.example/h@{ZEROS}"}
        OperatorSettings.model_validate(images | {"registry_mirrors": {"docker.io": [mirror]}})
    except ValidationError:
        assert not taken
    else:
        assert taken


def test_the_chart_has_the_version_of_the_program() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


def test_the_operator_knows_every_variable_that_the_chart_sets() -> None:
    text = (CHART / "templates/deployment.yaml").read_text()
    variables = {line.split(": ")[1] for line in text.splitlines() if "name: HOLDFAST_" in line}
    known = {f"HOLDFAST_{name.upper()}" for name in OperatorSettings.model_fields}
    assert variables <= known
    assert known - variables == {"HOLDFAST_LISTEN_ADDRESS"}
