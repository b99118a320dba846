"""The images of a bed: built without a container engine, kept in the cache, pushed to the bed's registry, used by digest.

from testbed import Testbed, images

with Testbed("example") as bed:
    reference = images.ensure(bed, "llamacpp")  # HOST:PORT/llamacpp@sha256:…
"""

from testbed.images.builder import build
from testbed.images.errors import ImageError
from testbed.images.recipes import NAMES
from testbed.images.registry import Bed, ensure

__all__ = ["NAMES", "Bed", "ImageError", "build", "ensure"]
