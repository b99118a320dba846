"""How long the tests of this tier may take: ``HOLDFAST_TESTS=nightly`` lets them try far more."""

import os
from typing import Final

from hypothesis import HealthCheck, settings

NIGHTLY: Final = os.environ.get("HOLDFAST_TESTS") == "nightly"


def effort(*, examples: int, steps: int, nightly: int) -> settings:
    """Return the settings of a state machine.

    Args:
        examples: how many runs.
        steps: how long each is at most.
        nightly: how many runs at night.
    """
    return settings(
        max_examples=nightly if NIGHTLY else examples,
        stateful_step_count=2 * steps if NIGHTLY else steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
