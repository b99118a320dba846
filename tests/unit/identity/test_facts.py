"""What is read from ``identity.json`` and from answers."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from holdfast.identity.facts import Constant, Fact, IdentityFileError, MismatchError, check, constant, load, value

ANSWER = {"data": [{"id": "chat", "max_model_len": 512}, {"id": "legal", "max_model_len": None}], "ok": True}


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("data.*.id", ["chat", "legal"]),
        ("data.0.max_model_len", 512),
        ("data.2.id", None),
        ("data.x", None),
        ("ok", True),
        ("ok.more", None),
        ("missing.*.id", []),
        ("ok.*", []),
    ],
)
def test_a_field_is_found_or_is_nothing(field: str, found: object) -> None:
    assert value(ANSWER, field) == found


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from(["data", "id", "0"]), inner, max_size=3),
    max_leaves=8,
)


@given(document=JSON, field=some.sampled_from(["data.*.id", "data.0.id", "id", "*", "0.0", ""]), expected=JSON)
def test_no_answer_breaks_the_comparison(document: Any, field: str, expected: Any) -> None:
    fact = Fact(name="servedName", field=field, expected=expected)
    with contextlib.suppress(MismatchError):
        check(document, (fact,), "/v1/models")


@pytest.mark.parametrize(
    ("expected", "found", "same"),
    [
        (["a", "b"], [{"id": "b"}, {"id": "a"}], True),
        (["a"], [{"id": "a"}, {"id": "a"}], False),
        (["a", "b"], [{"id": "a"}], False),
        ([1], [{"id": True}], False),
        ([], [], True),
    ],
)
def test_items_are_compared_in_any_order_and_number(expected: list[Any], found: list[Any], same: bool) -> None:
    fact = Fact(name="servedName", field="data.*.id", expected=expected)
    try:
        check({"data": found}, (fact,), "/v1/models")
    except MismatchError:
        assert not same
    else:
        assert same


def test_a_constant_that_is_not_reported_is_a_mismatch() -> None:
    with pytest.raises(MismatchError, match="the engine reports none"):
        constant({}, Constant(name="engine.image", path="/version", field="version"), {})


def test_what_an_engine_says_is_shown_short() -> None:
    with pytest.raises(MismatchError) as caught:
        check({"id": "x" * 10_000}, (Fact(name="servedName", field="id", expected="chat"),), "/")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"facts": [], "constants": [], "completions": []}',
        '{"facts": [{"name": "a"}], "constants": [], "completions": []}',
        '{"facts": [1], "constants": [], "completions": []}',
        '{"facts": [{"name": "a", "path": "/", "field": "a", "expected": 1}], "constants": [], "completions": []}',
    ],
)
def test_a_file_that_checks_nothing_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "identity.json").write_text(content)
    with pytest.raises(IdentityFileError, match=r"identity\.json: "):
        load(tmp_path / "identity.json")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IdentityFileError, match=r"identity\.json"):
        load(tmp_path / "identity.json")
