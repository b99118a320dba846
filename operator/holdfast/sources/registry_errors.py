"""What may go wrong with a registry."""


class RegistryError(Exception):
    """The registry did not give what was asked for. The text says what was asked, what came back and what to do."""


class ImageReferenceError(RegistryError):
    """The text is not a reference to an image."""


class ImageNotFoundError(RegistryError):
    """The registry has no such image or tag."""


class RegistryForbiddenError(RegistryError):
    """The registry wants other credentials than the ones that were offered."""


class RegistryUnavailableError(RegistryError):
    """The registry was not reached, or it is in trouble."""
