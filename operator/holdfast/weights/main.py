"""The program ``holdfast-weights``: the first container of every engine pod."""

import argparse
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from holdfast.api.reasons import Reason
from holdfast.weights.errors import WeightsError, WeightsUnavailableError
from holdfast.weights.fetch import Origin, fetch
from holdfast.weights.listing import read_manifest
from holdfast.weights.progress import Progress, log
from holdfast.weights.verification import verify

_MESSAGE_MAX_LENGTH: Final = 1000  # a condition's message holds 1024 characters, the kubelet's file 4096 bytes
_INTERNAL_EXIT_CODE: Final = 1
_TERMINATED_EXIT_CODE: Final = 128 + signal.SIGTERM

_EPILOG: Final = """\
exit status: 0 verified, 3 the bytes are not the approved ones, 4 the bytes cannot be had, 2 wrong usage, 1 a defect of this program

examples:
  holdfast-weights verify --manifest manifest.json --manifest-digest sha256:26d1… --directory /models/chat
  holdfast-weights fetch --manifest manifest.json --manifest-digest sha256:26d1… --endpoint https://huggingface.co \\
      --repository Qwen/Qwen2.5-7B-Instruct --commit a09a35458c702b33eeacc393d103063234e8bc28 --directory /holdfast/weights
"""


def run() -> None:
    """Run the program with the process's arguments and exit."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run the program and return its exit status."""
    options = _parser().parse_args(arguments)
    # As process 1 of a container it would ignore SIGTERM. Nothing needs cleaning up: the next run finds what this one left.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(_TERMINATED_EXIT_CODE))
    try:
        message = _verify(options) if options.command == "verify" else _fetch(options)
    except WeightsError as error:
        return _fail(options.termination_log, error.reason, str(error), error.exit_code)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        message = f"{place}{error.strerror or error}"
        return _fail(options.termination_log, WeightsUnavailableError.reason, message, WeightsUnavailableError.exit_code)
    except Exception as error:
        log("a defect of holdfast-weights", level="error", trace=traceback.format_exc())
        message = f"holdfast-weights failed with {type(error).__name__}; its log has the details"
        return _fail(options.termination_log, Reason.INTERNAL_ERROR, message, _INTERNAL_EXIT_CODE)
    log(message)
    _leave_message(options.termination_log, Reason.VERIFIED, message)
    return 0


def _fetch(options: argparse.Namespace) -> str:
    files = read_manifest(options.manifest, options.manifest_digest)
    origin = Origin(
        endpoint=options.endpoint, repository=options.repository, commit=options.commit, token_file=options.token_file
    )
    return fetch(options.directory, options.manifest_digest, files, origin)


def _verify(options: argparse.Namespace) -> str:
    files = read_manifest(options.manifest, options.manifest_digest)
    total = sum(file.size for file in files)
    verify(options.directory, files, Progress("verifying", total))
    return f"verified {len(files)} files, {total} bytes"


def _fail(termination_log: Path, reason: Reason, message: str, exit_code: int) -> int:
    log(message, level="error", reason=reason)
    _leave_message(termination_log, reason, message)
    return exit_code


def _leave_message(path: Path, reason: Reason, message: str) -> None:
    """Write why the program ended to where the kubelet reads it; outside a pod that file does not exist."""
    text = json.dumps({"reason": reason, "message": message[:_MESSAGE_MAX_LENGTH]})
    try:
        with path.open("r+", encoding="utf-8") as file:
            file.truncate()
            file.write(text)
    except FileNotFoundError:
        return
    except OSError as error:
        log("cannot leave a termination message", level="warning", error=str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="holdfast-weights",
        description="Fetch a model's files and verify them against the approved list, byte by byte.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    get = commands.add_parser("fetch", allow_abbrev=False, help="make the cache's entry exactly the approved files")
    check = commands.add_parser("verify", allow_abbrev=False, help="compare a directory with the approved list")
    for command in (get, check):
        command.add_argument("--manifest", type=Path, required=True, help="the approved list of files, canonical JSON")
        command.add_argument("--manifest-digest", required=True, help="sha256:… of that list")
        command.add_argument(
            "--termination-log", type=Path, default=Path("/dev/termination-log"), help="where the kubelet reads the outcome"
        )
    get.add_argument("--endpoint", required=True, help="address of the Hub")
    get.add_argument("--repository", required=True, help="owner/name")
    get.add_argument("--commit", required=True, help="40 hex digits")
    get.add_argument("--directory", type=Path, required=True, help="the cache; the entry is its folder sha256-HEX")
    get.add_argument("--token-file", type=Path, help="file with a token of the Hub; may be missing when the cache is filled")
    check.add_argument("--directory", type=Path, required=True, help="the folder to compare")
    return parser


if __name__ == "__main__":
    run()
