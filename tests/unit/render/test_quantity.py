"""Quantities as the API server writes them."""

import pytest

from holdfast.render.quantity import canonical


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("1", "1"),
        ("0", "0"),
        ("0Gi", "0"),
        ("0.5", "500m"),
        ("4.5", "4500m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("2000", "2k"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("512Ki", "512Ki"),
        ("1000Mi", "1000Mi"),
        ("1024", "1024"),
        ("1.0001Ki", "1024102400u"),
        ("1T", "1T"),
        ("1.5T", "1500G"),
        ("0.0001", "100u"),
    ],
)
def test_it_is_what_comes_back(written: str, stored: str) -> None:
    assert canonical(written) == stored


@pytest.mark.parametrize("text", ["", "1 Gi", "Gi", "-1", "1e3", "1Zi", "1.", "0x1"])
def test_anything_else_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        canonical(text)
