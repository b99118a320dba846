"""What can go wrong with an image."""

from testbed.errors import TestbedError


class ImageError(TestbedError):
    """An image cannot be built or pushed; the message says what is wrong and what to do."""
