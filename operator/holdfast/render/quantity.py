"""Kubernetes quantities in the form in which the API server gives them back, so that comparing finds no difference."""

import re
from fractions import Fraction
from typing import Final

_DECIMAL: Final = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_BINARY: Final = {"": 0, "Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)")


def canonical(quantity: str) -> str:
    """Return a quantity without a fraction and with the largest suffix that keeps its value.

    Outside fact: apimachinery ``resource.Quantity.CanonicalizeBytes``; 1024Mi comes back as 1Gi, 0.5 as 500m, and a binary
    quantity below 1024 or with a fraction in decimal form. What is finer than a billionth is rounded up.

    Raises:
        ValueError: it is not a quantity.
    """
    match = _QUANTITY.fullmatch(quantity)
    if not match or match[2] not in _DECIMAL.keys() | _BINARY.keys():
        raise ValueError(f"not a quantity: {quantity!r}")
    number, suffix = Fraction(match[1]), match[2]
    if suffix in _BINARY and suffix:
        value = number * 1024 ** _BINARY[suffix]
        if value >= 1024 and value.denominator == 1:
            return _largest(value, _BINARY, 1024)
    else:
        value = number * Fraction(1000) ** _DECIMAL[suffix]
    nano = value * 1000**3
    return _largest(Fraction(-(-nano.numerator // nano.denominator), 1000**3), _DECIMAL, 1000)


def _largest(value: Fraction, suffixes: dict[str, int], base: int) -> str:
    if value == 0:
        return "0"
    for suffix, exponent in reversed(suffixes.items()):
        scaled = value / Fraction(base) ** exponent
        if scaled.denominator == 1:
            return f"{scaled.numerator}{suffix}"
    raise ValueError(f"not a whole number of billionths: {value}")
