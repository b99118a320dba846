"""The command line of ``holdfast-weights``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from holdfast.weights.levels import Level

_EPILOG: Final = """\
exit status: 0 verified, 3 the bytes are not the approved ones, 4 the bytes cannot be had, 2 wrong usage, 1 a defect of this program

examples:
  holdfast-weights fetch --artifacts artifacts.json --artifacts-digest sha256:26d1… --directory /holdfast/weights \\
      --token-file /holdfast/token/token --seal-key-file /holdfast/seal/key
  holdfast-weights verify --artifacts artifacts.json --artifacts-digest sha256:26d1… --directory /holdfast/weights \\
      --seals /holdfast/seals --seal-key-file /holdfast/seal/key --wait 7200
  holdfast-weights verify --artifacts artifacts.json --artifacts-digest sha256:26d1… --only model --folder /holdfast/model
  holdfast-weights seal --artifacts artifacts.json --artifacts-digest sha256:26d1… --directory /models --seal-key-file key
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; wrong usage ends the process with exit status 2."""
    made = parser()
    options = made.parse_args(arguments)
    if options.folder is not None and len(options.only or ()) != 1:
        made.error("--folder has the files of one artifact: name it with --only")
    if options.command == "fetch" and options.named is not None and options.revision is None:
        made.error("--named needs the --revision for which it is asked")
    return options


def parser() -> argparse.ArgumentParser:
    """Return the parser."""
    made = argparse.ArgumentParser(
        prog="holdfast-weights",
        description="Fetch a model's files and verify them against the approved list, byte by byte.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fetch = commands.add_parser("fetch", allow_abbrev=False, help="make the entries of a cache exactly the approved files")
    verify = commands.add_parser("verify", allow_abbrev=False, help="compare a cache or a folder with the approved lists")
    seal = commands.add_parser("seal", allow_abbrev=False, help="verify every byte and write seals, for quicker later starts")
    for command in (fetch, verify, seal):
        command.add_argument("--artifacts", type=Path, required=True, metavar="FILE", help="artifacts.json: what the pod needs")
        command.add_argument("--artifacts-digest", required=True, metavar="DIGEST", help="sha256:… of that file")
        command.add_argument(
            "--only", action="append", metavar="NAME", help="of these artifacts only; may be given more than once (all)"
        )
        command.add_argument(
            "--seal-key-file", type=Path, metavar="FILE", help="key of the seals; without it every byte is verified each time"
        )
        command.add_argument(
            "--termination-log",
            type=Path,
            default=Path("/dev/termination-log"),
            metavar="FILE",
            help="where the kubelet reads the outcome (%(default)s)",
        )
    for command in (fetch, verify):
        command.add_argument(
            "--verify",
            dest="level",
            type=Level,
            choices=list(Level),
            default=Level.ON_NODE,
            metavar="LEVEL",
            help=f"how closely to look at what is there already: {', '.join(Level)} (%(default)s)",
        )
    for command in (fetch, verify):
        command.add_argument(
            "--revision",
            type=_number,
            metavar="NUMBER",
            help="mark each copy beside its seal as used by this revision, so that nobody deletes it who does not know of that yet",
        )
    _add_places(fetch, verify, seal)
    _add_access(fetch)
    return made


def _number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _add_places(fetch: argparse.ArgumentParser, verify: argparse.ArgumentParser, seal: argparse.ArgumentParser) -> None:
    cache = "the cache; each entry is its folder sha256-HEX, HEX of the manifest digest"
    fetch.add_argument("--directory", type=Path, required=True, metavar="CACHE", help=cache)
    fetch.set_defaults(seals=None, folder=None)
    fetch.add_argument(
        "--named",
        type=Path,
        metavar="FILE",
        help="delete copies that no revision names; FILE has those that are named, without it nothing is deleted (needs --revision)",
    )
    for command in (verify, seal):
        place = command.add_mutually_exclusive_group(required=True)
        place.add_argument("--directory", type=Path, metavar="CACHE", help=cache)
        place.add_argument(
            "--folder",
            type=Path,
            metavar="DIR",
            help="a folder with the files of the one artifact named by --only, whatever its name",
        )
        command.add_argument("--seals", type=Path, metavar="DIR", help="where the seals are (CACHE/seals)")
    verify.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="wait so long for entries that another pod fetches (0)"
    )


def _add_access(fetch: argparse.ArgumentParser) -> None:
    fetch.add_argument("--token-file", type=Path, metavar="FILE", help="token of the Hub; may be missing when none is needed")
    fetch.add_argument(
        "--registry-credentials", type=Path, metavar="FILE", help="config.json with logins of registries; may be missing"
    )
    fetch.add_argument(
        "--mirror", metavar="URL", help="ask this server, which has the paths of a Hub or of a registry, and no other"
    )
