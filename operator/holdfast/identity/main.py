"""The program ``holdfast-identity``: a sidecar of every engine, whose readiness the pod's readiness depends on."""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from holdfast.identity.engine import Engine
from holdfast.identity.facts import IdentityFileError, MismatchError, load
from holdfast.identity.memory import MemoryFileError, recall
from holdfast.identity.probe import Probe
from holdfast.identity.rehash import Outcome, Rehash, commands
from holdfast.identity.unchanged import Look, Unchanged
from holdfast.identity.watch import Watch
from holdfast.identity.way_out import WayOut

MISMATCH: Final = "EngineMismatch"
"""Reason in the termination message: the engine is not what was approved."""
_OTHER_BYTES: Final = "WeightsMismatch"
"""The same: what it reads is not what was approved."""
_UNUSABLE: Final = "InternalError"
MISMATCH_EXIT_CODE: Final = 3
_UNUSABLE_EXIT_CODE: Final = 1
_MESSAGE_MAX_LENGTH: Final = 1000  # a condition's message holds 1024 characters, the kubelet's file 4096 bytes

_EPILOG: Final = """\
exit status: 3 the engine is not what was approved, 1 the facts cannot be read or the port is taken, 2 wrong usage

example:
  holdfast-identity --facts /holdfast/revision/identity.json --quarantine /holdfast/pod/quarantine \\
      --memory /holdfast/identity/memory.json
"""


def run() -> None:
    """Run the program with the process's arguments and exit."""
    # As process 1 of a container it would ignore SIGTERM. There is nothing to clean up.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    sys.exit(main(sys.argv[1:], wait=time.sleep))


def main(arguments: Sequence[str], *, wait: Callable[[float], None]) -> int:
    """Watch until the engine is found to be another than the approved one, and return the exit status.

    Args:
        arguments: as on the command line.
        wait: waits so many seconds.
    """
    options = _parser().parse_args(arguments)
    try:
        identity = load(options.facts)
        remembered = recall(options.memory)
        engine = Engine("127.0.0.1", options.engine_port, timeout=options.timeout, completion_timeout=options.completion_timeout)
        watch = Watch(identity, engine, quarantine=options.quarantine, memory=options.memory, remembered=remembered)
        rehash = Rehash(
            request=options.verify_request,
            memory=options.memory.parent,
            commands=commands(options.artifacts, options.artifacts_digest, options.folder or ()),
        )
        unchanged = Unchanged(
            folders=[Path(folder.partition("=")[2]) for folder in options.folder or ()],
            memory=options.memory.parent / "files",
            commands=commands(options.artifacts, options.artifacts_digest, options.folder or ()),
        )
        way_out = WayOut(options.fetching, options.fetching_patience)
        probe = Probe(options.listen, options.port, lambda: watch.report, lambda: way_out.settled)
    except (IdentityFileError, MemoryFileError) as error:
        return _fail(options.termination_log, _UNUSABLE, str(error), _UNUSABLE_EXIT_CODE)
    except OSError as error:
        return _fail(options.termination_log, _UNUSABLE, f"port {options.port}: {error.strerror}", _UNUSABLE_EXIT_CODE)
    with probe:
        threading.Thread(target=probe.serve_forever, args=(0.05,), name="probe", daemon=True).start()
        try:
            return _watch(watch, rehash, unchanged, options, wait)
        finally:
            probe.shutdown()


def _watch(watch: Watch, rehash: Rehash, unchanged: Unchanged, options: argparse.Namespace, wait: Callable[[float], None]) -> int:
    said = ""
    while True:
        try:
            files = Look(right=True) if watch.report.ready or watch.refused else unchanged.look()
            if files.right:
                watch.look()
            else:
                watch.hold("the files were changed since they were verified and are hashed before the engine may serve again")
            wrong = _changed(watch, files) or _rehash(watch, rehash)
        except MismatchError as error:
            return _fail(options.termination_log, MISMATCH, str(error), MISMATCH_EXIT_CODE)
        except MemoryFileError as error:
            return _fail(options.termination_log, _UNUSABLE, str(error), _UNUSABLE_EXIT_CODE)
        except OSError as error:
            return _fail(options.termination_log, _UNUSABLE, f"cannot verify: {error}", _UNUSABLE_EXIT_CODE)
        if files.again:
            return _UNUSABLE_EXIT_CODE  # the next start sees the files as the engine that was restarted does
        if wrong:
            return _fail(options.termination_log, _OTHER_BYTES, wrong, MISMATCH_EXIT_CODE)
        report = watch.report
        if report.message != said:
            said = report.message
            _log("info" if report.ready else "warning", said, reported=report.reported)
        wait(options.period if report.ready and not rehash.busy else options.first_period)


def _changed(watch: Watch, files: Look) -> str:
    """Say what came of hashing files that were changed; return what is wrong with them for good, if anything is."""
    answer = files.answer
    if answer is None:
        return ""
    wrong = answer.message if answer.outcome is Outcome.MISMATCH and not files.again else ""
    if wrong:
        watch.refuse(wrong)
    _log("info" if answer.outcome is Outcome.VERIFIED else "error", answer.message, outcome=str(answer.outcome))
    return wrong


def _rehash(watch: Watch, rehash: Rehash) -> str:
    """Answer what the owner asks for, in the log; return what is wrong with the bytes, if anything is."""
    answer = rehash.poll()
    if answer is None:
        return ""
    wrong = answer.message if answer.outcome is Outcome.MISMATCH else ""
    if wrong:
        watch.refuse(wrong)
    report = watch.report
    fields = {"verify": answer.word, "outcome": str(answer.outcome), "ready": report.ready, "engine": report.message}
    _log("error" if wrong else "info", answer.message, **fields, reported=report.reported)
    return wrong


def _fail(termination_log: Path, reason: str, message: str, exit_code: int) -> int:
    """Say why the program ends: in the log, and where the kubelet reads it (outside a pod that file does not exist)."""
    _log("error", message, reason=reason)
    text = json.dumps({"reason": reason, "message": message[:_MESSAGE_MAX_LENGTH]})
    try:
        with termination_log.open("r+", encoding="utf-8") as file:
            file.truncate()
            file.write(text)
    except FileNotFoundError:
        pass
    except OSError as error:
        _log("warning", f"cannot leave a termination message: {error}")
    return exit_code


def _log(level: str, message: str, **fields: object) -> None:
    print(json.dumps({"level": level, "message": message, **fields}), file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="holdfast-identity",
        description="Compare a running engine with the approved revision, and be ready only as long as it is that.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--facts", type=Path, required=True, help="identity.json of the revision")
    add(
        "--quarantine", type=Path, required=True, help="file with the pod's annotation; a text in it takes the pod out of traffic"
    )
    add("--memory", type=Path, required=True, help="file to remember what was found across restarts of this container")
    add(
        "--verify-request", type=Path, default=Path(os.devnull), help="file with the pod's annotation that asks to hash all bytes"
    )
    add("--artifacts", type=Path, default=Path(os.devnull), help="artifacts.json of the revision")
    add("--artifacts-digest", default="", metavar="DIGEST", help="sha256:… of that file")
    add("--folder", action="append", metavar="NAME=DIR", help="where the engine sees an artifact; may be given more than once")
    add(
        "--fetching",
        type=Path,
        default=Path(os.devnull),
        help="file with the pod's label that lets it fetch; no engine starts before it is empty",
    )
    add("--fetching-patience", type=float, default=30.0, help="seconds to wait for that (default: %(default)s)")
    add("--engine-port", type=int, default=8000, help="port of the engine on 127.0.0.1 (default: %(default)s)")
    add("--listen", default="0.0.0.0", help="address of the probe (default: %(default)s)")  # noqa: S104 # the kubelet asks
    add("--port", type=int, default=8001, help="port of the probe (default: %(default)s)")
    add("--period", type=float, default=5.0, help="seconds between two looks at an engine that is ready (default: %(default)s)")
    add("--first-period", type=float, default=1.0, help="seconds between two looks before (default: %(default)s)")
    add("--timeout", type=float, default=10.0, help="seconds for an answer about itself (default: %(default)s)")
    add("--completion-timeout", type=float, default=600.0, help="seconds for the first completion (default: %(default)s)")
    add("--termination-log", type=Path, default=Path("/dev/termination-log"), help="where the kubelet reads the outcome")
    return parser


if __name__ == "__main__":
    run()
