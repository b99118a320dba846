"""Start the engine that the name of the program, `--flavor` or the arguments tell."""

import asyncio
import os
import sys

from .arguments import ArgumentsError, parse
from .faults import FaultsError
from .server import run


def main() -> int:
    """Serve until SIGTERM; returns 1 when the arguments or the faults cannot be used or the model cannot be read."""
    try:
        settings = parse(sys.argv[0], sys.argv[1:], os.environ)
        asyncio.run(run(settings, os.environ))
    except (ArgumentsError, FaultsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
