"""What is in the identity and what is not: every field of a resolved model is, and nothing else."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from builders import ENGINE_IMAGE
from holdfast.api.deployment import ModelDeploymentSpec
from holdfast.api.model import Model
from holdfast.api.revision import ResolvedModel
from holdfast.domain.pin import pin_digest, resolve_model
from unit.pin.answers import CONFIG, found
from unit.pin.vector_cases import EVERYTHING, VECTORS, Wire

Place = tuple[str | int, ...]
DECLARED: Wire = {
    "source": {"huggingFace": {"repository": "lab/model", "commit": "a" * 40}},
    "engine": {"type": "VLLM", "image": ENGINE_IMAGE},
}
ANSWERS = {"source": found({"config.json": CONFIG, "chat_template.jinja": "T"}, "model.safetensors")}


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Yield where each value is, containers too."""
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*at, key))


def other(value: Any, seed: int) -> Any:
    """Return another value of the same form."""
    match value:
        case bool():
            return not value
        case int():
            return value - 1 if value in {1, 2**53 - 1} else value + 1
        case float():
            return value / 2 + 0.01
        case str() if len(value) >= 40 and value[-1] in "0123456789abcdef":
            return value[:-1] + ("0" if value[-1] != "0" else "1")
        case str():
            return value + chr(ord("a") + seed % 26)
        case list():
            return value[1:] if len(value) > 1 else None
        case _:
            return None


def put(wire: Wire, place: Place, value: Any) -> Wire:
    """Return a copy with another value at a place; None takes it away."""
    result = copy.deepcopy(wire)
    node: Any = result
    for part in place[:-1]:
        node = node[part]
    if value is None:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    return result


ENUMS: dict[Place, str] = {
    ("engine", "type"): "SGLang",
    ("engine", "options", "dataType"): "float16",
    ("remoteCode",): "Forbidden",
    ("chatTemplate", "from"): "Source",
}
LEAVES = list(places(EVERYTHING))


@pytest.mark.parametrize("place", LEAVES, ids=lambda place: ".".join(map(str, place)))
def test_every_field_counts(place: Place) -> None:
    node: Any = EVERYTHING
    for part in place:
        node = node[part]
    changes = [ENUMS[place]] if place in ENUMS else [other(node, 0)]
    if isinstance(place[-1], str) and not isinstance(node, list):
        changes.append(None)
    outcomes = [digest for change in changes if (digest := _digest(put(EVERYTHING, place, change))) is not None]
    assert outcomes or isinstance(node, dict | list), "no other value of this field is a model"
    assert pin_digest(ResolvedModel.parse(EVERYTHING)) not in outcomes


def _digest(wire: Wire) -> str | None:
    try:
        return pin_digest(ResolvedModel.parse(wire))
    except ValidationError:
        return None


def test_all_fields_of_the_api_are_in_the_case_that_has_everything() -> None:
    model = ResolvedModel.parse(EVERYTHING)
    assert not [name for name in ResolvedModel.model_fields if getattr(model, name) is None]
    assert not [name for name in type(model.engine).model_fields if getattr(model.engine, name) is None]
    assert model.engine.options is not None
    assert not [name for name in type(model.engine.options).model_fields if getattr(model.engine.options, name) is None]


@given(st.sampled_from(sorted(VECTORS)), st.data(), st.integers(0, 25))
def test_any_change_of_any_model_counts(name: str, data: st.DataObject, seed: int) -> None:
    wire = VECTORS[name]
    place = data.draw(st.sampled_from(list(places(wire))))
    node: Any = wire
    for part in place:
        node = node[part]
    digest = _digest(put(wire, place, other(node, seed)))
    assume(digest is not None)
    assert digest != pin_digest(ResolvedModel.parse(wire))


@given(st.sampled_from(sorted(VECTORS)), st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_count(name: str, rng: random.Random) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = [(key, shuffled(inner)) for key, inner in value.items()]
            rng.shuffle(items)
            return dict(items)
        return [shuffled(inner) for inner in value] if isinstance(value, list) else value

    assert pin_digest(ResolvedModel.parse(shuffled(VECTORS[name]))) == pin_digest(ResolvedModel.parse(VECTORS[name]))


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_numbers_count_by_their_value(name: str) -> None:
    """The API server writes whole numbers without a fraction, other programs with one."""

    def fractions(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fractions(inner) for key, inner in value.items()}
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    wire = VECTORS[name]
    assert pin_digest(ResolvedModel.parse({**wire, "generation": fractions(wire["generation"])})) == pin_digest(
        ResolvedModel.parse(wire)
    )


def resolved_digest(**changes: Any) -> str:
    return pin_digest(resolve_model("chat", Model.parse(DECLARED | changes), ANSWERS))


@pytest.mark.parametrize(
    "changes",
    [
        {"remoteCode": "Forbidden"},
        {"servedName": "chat"},
        {"generation": {}},
        {"generation": {"temperature": 1, "topP": 1.0, "topK": -1, "minP": 0, "repetitionPenalty": 1}},
        {"generation": {"topK": 0}},
        {"chatTemplate": {}},
        {"chatTemplate": {"clock": "Forbidden"}},
        {"engine": DECLARED["engine"] | {"options": {}}},
        {"engine": DECLARED["engine"] | {"options": {"dataType": "auto"}}},
        {"engine": DECLARED["engine"] | {"options": {"contextLength": 4096, "dataType": "bfloat16", "seed": 0, "tensorParallelism": 1}}},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_left_out_is_what_it_means(changes: dict[str, Any]) -> None:
    """A newer API server, or a careful owner, that writes out what absent means proposes nothing."""
    assert resolved_digest(**changes) == resolved_digest()


SERVING = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(0, 1000),
        "drainSeconds": st.integers(0, 86_400),
        "accelerator": st.fixed_dictionaries({"resource": st.just("nvidia.com/gpu"), "count": st.integers(1, 64)}),
        "cache": st.just({"type": "EmptyDir"}),
    },
)


@given(SERVING, st.fixed_dictionaries({}, optional={"steps": st.just([{"weight": 5, "holdSeconds": 0}])}))
def test_how_much_and_how_carefully_it_is_served_does_not_count(serving: Wire, rollout: Wire) -> None:
    spec = ModelDeploymentSpec.parse({"model": DECLARED, "serving": serving, "rollout": rollout})
    assert pin_digest(resolve_model("chat", spec.model, ANSWERS)) == resolved_digest()
