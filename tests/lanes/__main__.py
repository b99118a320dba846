"""``python -m lanes``: run every tier; the exit status is 0 if all of them passed."""

import os
import signal
import sys
import tempfile
from pathlib import Path

from lanes.run import run

# The beds wait for pods most of the time, and the others compute. The longest tier has a lane of its own.
LANES = (
    ("lint", "test-unit", "test-model", "test-kopf"),
    ("test-apiserver", "test-testbed", "test-e2e-vllm"),
    ("test-e2e",),
)


def main() -> int:
    """Run the lanes of make targets."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends this ends what it started as well
    make = os.environ.get("MAKE", "make")
    with tempfile.TemporaryDirectory(prefix="holdfast-lanes-") as folder:
        return run([[(tier, [make, "--no-print-directory", tier]) for tier in lane] for lane in LANES], Path(folder))


if __name__ == "__main__":
    sys.exit(main())
