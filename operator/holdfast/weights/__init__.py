"""Runs inside the pods: brings a model's files to the node, and lets nothing pass that is not what was approved."""
