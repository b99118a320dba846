"""`python -m testbed.images`: build images into the cache without a bed."""

import argparse
import sys

from testbed.errors import TestbedError
from testbed.images import NAMES, build
from testbed.images.builder import digest


def main(arguments: list[str]) -> int:
    """Build the named images, or with no name list those that there are; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m testbed.images",
        description="Build images of the bed into the cache ($HOLDFAST_CACHE, by default ~/.cache/holdfast).",
        epilog="example: python -m testbed.images holdfast llamacpp",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; without any they are listed")
    options = parser.parse_args(arguments)
    if not options.names:
        print("\n".join(NAMES))
    try:
        for name in options.names:
            layout = build(name)
            print(f"{name}@{digest(layout)} {layout}")
    except TestbedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
