"""``python -m lanes``: run every tier; the exit status is 0 if all of them passed."""

import os
import signal
import sys
import tempfile
from pathlib import Path

from lanes.run import run

# The beds wait for pods most of the time, and the others compute. The longest tier has a lane of its own, and goes first.
LONGEST = "test-e2e"
LANES = (
    (LONGEST,),
    ("test-apiserver", "test-testbed"),
    ("lint", "test-unit", "test-kopf"),
    ("test-e2e-vllm", "test-model"),
)


def main() -> int:
    """Run the lanes of make targets."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends this ends what it started as well
    make = os.environ.get("MAKE", "make")
    with tempfile.TemporaryDirectory(prefix="holdfast-lanes-") as folder:
        return run([[(tier, _command(make, tier)) for tier in lane] for lane in LANES], Path(folder))


def _command(make: str, tier: str) -> list[str]:
    whole = [make, "--no-print-directory", tier]
    return whole if tier == LONGEST else ["nice", "-n", "5", *whole]


if __name__ == "__main__":
    sys.exit(main())
