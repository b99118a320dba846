"""Version 1 of how an engine's pods look. A released version is kept for ever, byte by byte.

A revision names its version, so an upgrade of the operator changes no pod of a model that an owner approved. Whatever would
change a pod template that this version renders belongs into the next version.
"""
