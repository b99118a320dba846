"""Tiny models for tests and the demo: real formats that real engines load, the same bytes every time."""

from testbed.models.tiny import tiny_adapter, tiny_gguf, tiny_model

__all__ = ["tiny_adapter", "tiny_gguf", "tiny_model"]
