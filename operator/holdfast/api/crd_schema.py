"""From a pydantic model to the structural schema that an API server accepts.

pydantic writes JSON Schema 2020-12; a CustomResourceDefinition takes a subset of OpenAPI v3 (API reference
``apiextensions.k8s.io/v1``, "structural schema"). What has no counterpart there is refused here rather than lost.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from holdfast.api.base import ApiModel

Schema = dict[str, Any]

_KEPT: Final = (
    "description",
    "type",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
)
_DROPPED: Final = frozenset(
    {
        "title",
        "default",  # what absent means is decided in code, in one place
        "propertyNames",  # has no counterpart; the number of keys stays bounded
    }
)
_HANDLED: Final = frozenset({"$defs", "$ref", "anyOf", "const", "properties", "required", "items", "additionalProperties"})


class UnsupportedSchemaError(Exception):
    """A model uses something that a structural schema cannot say."""


def structural_schema(model: type[ApiModel]) -> Schema:
    """Return the structural schema of a model.

    Raises:
        UnsupportedSchemaError: the model uses something that a structural schema cannot say.
    """
    source = model.model_json_schema(by_alias=True)
    return _convert(source, source.get("$defs", {}))


def _convert(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    node = _flat(node, definitions)
    unknown = node.keys() - _DROPPED - _HANDLED - set(_KEPT)
    if unknown:
        raise UnsupportedSchemaError(f"{', '.join(sorted(unknown))} in {dict(node)}")
    result: Schema = {key: node[key] for key in _KEPT if key in node}
    if "const" in node:
        result["enum"] = [node["const"]]
    if "type" not in result:
        raise UnsupportedSchemaError(f"no type in {dict(node)}")
    if "description" in result:
        result["description"] = " ".join(str(result["description"]).split())
    if node.get("required"):
        result["required"] = list(node["required"])
    if "properties" in node:
        result["properties"] = {name: _convert(child, definitions) for name, child in node["properties"].items()}
    if isinstance(node.get("additionalProperties"), Mapping):  # False (unknown fields are refused) is what pruning does
        result["additionalProperties"] = _convert(node["additionalProperties"], definitions)
    if "items" in node:
        result["items"] = _convert(node["items"], definitions)
        result["x-kubernetes-list-type"] = "atomic"
    return result


def _flat(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the node with references followed and "or null" taken off; what stands beside a reference wins over its target."""
    if "$ref" in node:
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _flat({**definitions[str(node["$ref"]).removeprefix("#/$defs/")], **beside}, definitions)
    if "anyOf" in node:
        choices = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        if len(choices) != 1:
            raise UnsupportedSchemaError(f"a choice of types in {dict(node)}")
        beside = {key: value for key, value in node.items() if key != "anyOf"}
        return {**_flat(choices[0], definitions), **beside}
    return node


def walk(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every node with its path: ``spec.steps[].weight``, with ``{}`` for the values of a map and nothing for the root."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


def at(schema: Schema, path: str) -> Schema:
    """Return the node at a path as `walk` writes it.

    Raises:
        KeyError: there is no such node.
    """
    for candidate, node in walk(schema):
        if candidate == path:
            return node
    raise KeyError(path)
