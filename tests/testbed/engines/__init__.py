"""Inference engines of the bed: a real one behind its usual command line, and one that behaves as tests ask it to."""
