"""``python -m lanes``: run every tier; the exit status is 0 if all of them passed."""

import os
import signal
import sys
import tempfile
from pathlib import Path

from lanes.run import run

# The beds wait for pods most of the time, and the others compute. The longest tier has a lane of its own.
LANES = (
    ("test-e2e",),
    ("test-apiserver", "test-testbed", "test-e2e-tamper"),
    ("lint", "test-unit", "test-kopf"),
    ("test-e2e-vllm", "test-model"),
)


def main() -> int:
    """Run the lanes of make targets."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends this ends what it started as well
    make = os.environ.get("MAKE", "make")
    with tempfile.TemporaryDirectory(prefix="holdfast-lanes-") as folder:
        return run([[(tier, [make, "--no-print-directory", tier]) for tier in lane] for lane in LANES], Path(folder))


if __name__ == "__main__":
    sys.exit(main())
