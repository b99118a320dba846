"""What a check found: that something is as it was approved, or the first thing that is not."""

from dataclasses import dataclass
from enum import StrEnum


class Check(StrEnum):
    """The checks, in the order in which they are made. Each rests on those before it."""

    IDENTITY = "identity"  # the revision is what its digest says, and somebody approved it
    OBJECTS = "objects"  # what the operator made of it is what Holdfast renders
    PODS = "pods"  # what runs is what was rendered, by image, arguments, environment and volumes
    ENGINE = "engine"  # the engine's own report
    BYTES = "bytes"  # every byte that a pod sees, hashed now


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Something is as it was approved."""

    check: Check
    about: str
    """The object, as ``Deployment support-chat-1``."""
    message: str

    def wire(self) -> dict[str, str]:
        """Return it for programs."""
        return {"check": str(self.check), "about": self.about, "message": self.message}


class DifferenceError(Exception):
    """Something is not as it was approved. `message` says what and where."""

    def __init__(self, check: Check, about: str, message: str) -> None:
        super().__init__(f"{check}: {about}: {message}")
        self.check = check
        self.about = about
        self.message = message

    def wire(self) -> dict[str, str]:
        """Return it for programs."""
        return {"check": str(self.check), "about": self.about, "message": self.message}
