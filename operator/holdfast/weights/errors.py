"""The two ways in which weights can fail. Both stop the pod; neither ever leaves an unverified file where an engine looks."""

from typing import ClassVar

from holdfast.api.reasons import Reason


class WeightsError(Exception):
    """Base. `str()` is one sentence for people; `exit_code` is the program's."""

    reason: ClassVar[Reason]
    exit_code: ClassVar[int]


class WeightsMismatchError(WeightsError):
    """Bytes are not those that were approved. Trying again is pointless until a person has looked."""

    reason = Reason.WEIGHTS_MISMATCH
    exit_code = 3


class WeightsUnavailableError(WeightsError):
    """The bytes cannot be had now: the Hub is away or refuses, the disk is full or cannot be read."""

    reason = Reason.WEIGHTS_UNAVAILABLE
    exit_code = 4
