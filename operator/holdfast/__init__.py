"""Holdfast: open models on Kubernetes that change only when their owner decides."""

__version__ = "0.1.0"
