"""Fake engines that an identity is checked against."""

from unit.engines.conftest import model, start

__all__ = ["model", "start"]
