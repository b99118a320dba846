"""What is wrong with a value that our models refuse, in words for people: the place, and what stands there or should."""

from typing import Final

from pydantic import ValidationError

_WORDS: Final = {
    "extra_forbidden": "no such field",
    "missing": "it is missing",
    "model_type": "it must be an object with fields",
    "model_attributes_type": "it must be an object with fields",
    "dict_type": "it must be an object with fields",
    "list_type": "it must be a list",
    "string_type": "it must be text",
    "int_type": "it must be a whole number",
    "int_parsing": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_type": "it must be a number",
    "float_parsing": "it must be a number",
}
"""By pydantic's name of the error, where its own words are about Python."""


def finding(error: ValidationError, *above: str) -> str:
    """Return the first finding: the field, by its path below `above`, and what is wrong with it."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in (*above, *first["loc"]))
    said = _WORDS.get(first["type"]) or first["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    return f"{place}: {said}" if place else said
