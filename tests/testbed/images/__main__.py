"""`python -m testbed.images`: build images into the cache without a bed, and push them to a registry of yours."""

import argparse
import sys

from testbed.errors import TestbedError
from testbed.images import NAMES, build
from testbed.images.builder import digest
from testbed.images.registry import push
from testbed.programs import Programs


def main(arguments: list[str]) -> int:
    """Build the named images, or with no name list those that there are; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m testbed.images",
        description="Build images of the bed into the cache ($HOLDFAST_CACHE, by default ~/.cache/holdfast).",
        epilog="examples: python -m testbed.images holdfast llamacpp; "
        "python -m testbed.images --push registry.example/holdfast holdfast envoy llamacpp hub",
    )
    parser.add_argument(
        "--push", metavar="PREFIX", help="push each as PREFIX/NAME, with your docker login, and print its reference by digest"
    )
    parser.add_argument("--plain-http", action="store_true", help="the registry has no TLS")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; without any they are listed")
    options = parser.parse_args(arguments)
    if not options.names:
        print("\n".join(NAMES))
    try:
        for name in options.names:
            layout = build(name)
            if options.push is None:
                print(f"{name}@{digest(layout)} {layout}")
                continue
            print(push(Programs().crane, layout, f"{options.push}/{name}", plain_http=options.plain_http))
    except TestbedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
