"""The program ``holdfast-weights``: what fetches and verifies the files of every pod before its engine starts."""

import argparse
import json
import os
import secrets
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast.api.reasons import Reason
from holdfast.weights.artifacts import VOLUME_MANIFEST, Access, Artifact, OciOrigin, VolumeOrigin, read_artifacts, read_manifest
from holdfast.weights.errors import WeightsError, WeightsMismatchError, WeightsUnavailableError
from holdfast.weights.inspection import Inspector
from holdfast.weights.layout import SEALS, entry_path
from holdfast.weights.levels import Level
from holdfast.weights.options import parse
from holdfast.weights.progress import log
from holdfast.weights.seals import Seals, current_boot, read_key

if TYPE_CHECKING:
    from holdfast.weights.lease import Holder
    from holdfast.weights.pruning import Pruner

_MESSAGE_MAX_LENGTH: Final = 1000  # a condition's message holds 1024 characters, the kubelet's file 4096 bytes
_INTERNAL_EXIT_CODE: Final = 1
_TERMINATED_EXIT_CODE: Final = 128 + signal.SIGTERM
_NO_FOLDER: Final = (
    "expected an image with the files under /models, found no such folder; nodes mount a ModelPack or ModelKit as an empty folder:"
    " set spec.serving.cache.type to PersistentVolumeClaim or EmptyDir, which fetch it"
)
_POLL_SECONDS: Final = 0.5
_REPORT_SECONDS: Final = 10.0


def run() -> None:
    """Run the program with the process's arguments and exit."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run the program and return its exit status."""
    options = parse(arguments)
    # As process 1 of a container it would ignore SIGTERM. Nothing needs cleaning up: the next run finds what this one left.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(_TERMINATED_EXIT_CODE))
    verbs = {"fetch": _fetch, "verify": _verify, "seal": _seal}
    try:
        message = "; ".join(verbs[options.command](options, _chosen(options)))
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


def _fetch(options: argparse.Namespace, chosen: Sequence[Artifact]) -> list[str]:
    from holdfast.weights.fetch import Fetcher
    from holdfast.weights.lease import Holder

    boot = current_boot()
    access = Access(token_file=options.token_file, registry_credentials=options.registry_credentials, mirror=options.mirror)
    holder = Holder(unique=secrets.token_hex(8), boot_id=boot)
    wanted = _in_cache(chosen)
    _mark(options, options.directory / SEALS, wanted)
    pruner = _pruner(options, holder, wanted)
    fetcher = Fetcher(
        directory=options.directory, access=access, inspector=_inspector(options, options.level), holder=holder, pruner=pruner
    )
    told = [f"{artifact.name}: {fetcher.fetch(artifact)}" for artifact in wanted]
    return told if pruner is None else [*told, *_prune(pruner)]


def _pruner(options: argparse.Namespace, holder: "Holder", wanted: Sequence[Artifact]) -> "Pruner | None":
    from holdfast.weights.pruning import Pruner

    if options.named is None:
        return None
    own = [artifact.manifest_digest for artifact in wanted]
    return Pruner(directory=options.directory, named=options.named, revision=options.revision, own=own, holder=holder)


def _prune(pruner: "Pruner") -> list[str]:
    """Delete what no revision names. That it cannot be done keeps nobody from what was fetched."""
    try:
        count = pruner.prune()
    except OSError as error:
        log("copies that no revision names cannot be deleted", level="warning", error=str(error))
        return []
    return [f"deleted {count} that no revision names"] if count else []


def _mark(options: argparse.Namespace, seals: Path, wanted: Sequence[Artifact]) -> None:
    from holdfast.weights.pruning import mark

    if options.revision is not None:
        for artifact in wanted:
            mark(seals, artifact.manifest_digest, options.revision)


def _verify(options: argparse.Namespace, chosen: Sequence[Artifact]) -> list[str]:
    inspector = _inspector(options, options.level)
    if options.folder is not None:
        return [_verify_folder(options.folder, artifact, inspector) for artifact in chosen]
    deadline = time.monotonic() + options.wait
    wanted = _in_cache(chosen)
    _mark(options, options.seals or options.directory / SEALS, wanted)
    return [_verify_entry(options.directory, artifact, inspector, deadline) for artifact in wanted]


def _seal(options: argparse.Namespace, chosen: Sequence[Artifact]) -> list[str]:
    inspector = _inspector(options, Level.ON_NODE, anew=True)
    if inspector.seals is None:
        raise WeightsUnavailableError(f"{options.seal_key_file}: there is no key, so nothing can be sealed")
    if options.folder is not None:
        return [_verify_folder(options.folder, artifact, inspector) for artifact in chosen]
    return [_verify_entry(options.directory, artifact, inspector, time.monotonic()) for artifact in _in_cache(chosen)]


def _verify_entry(directory: Path, artifact: Artifact, inspector: Inspector, deadline: float) -> str:
    entry = entry_path(directory, artifact.manifest_digest)
    _wait_for(entry, artifact.name, deadline)
    files = artifact.files or ()
    how = inspector.inspect(entry, artifact.manifest_digest, files)
    return f"{artifact.name}: verified {len(files)} files, {sum(file.size for file in files)} bytes {how}"


def _verify_folder(folder: Path, artifact: Artifact, inspector: Inspector) -> str:
    """Verify a folder that has no layout of ours: an image volume, or the owner's own, which may carry its own list."""
    if isinstance(artifact.origin, OciOrigin) and not folder.exists():
        raise WeightsMismatchError(f"{artifact.name}: {_NO_FOLDER}")
    files = artifact.files
    ignored = (VOLUME_MANIFEST,) if isinstance(artifact.origin, VolumeOrigin) else ()
    if files is None:
        files = read_manifest(folder / VOLUME_MANIFEST, artifact.manifest_digest)
    if any(file.path in ignored for file in files):
        raise WeightsMismatchError(f"{artifact.name}: the list of files names {VOLUME_MANIFEST}, which is the list itself")
    how = inspector.inspect(folder, artifact.manifest_digest, files, ignored=ignored)
    return f"{artifact.name}: verified {len(files)} files, {sum(file.size for file in files)} bytes {how}"


def _wait_for(entry: Path, name: str, deadline: float) -> None:
    """Wait until another pod has published an entry. What is under that name was complete when it got it."""
    began = reported = time.monotonic()
    while not os.path.lexists(entry):
        now = time.monotonic()
        if now >= deadline:
            raise WeightsUnavailableError(f"{name}: {entry} is not there; the Job that fetches it says why")
        if now - reported >= _REPORT_SECONDS:
            log("waiting for the Job that fetches the files", name=name, seconds=round(now - began, 1))
            reported = now
        time.sleep(min(_POLL_SECONDS, max(deadline - now, 0.0)))


def _inspector(options: argparse.Namespace, level: Level, *, anew: bool = False) -> Inspector:
    key = read_key(options.seal_key_file)
    directory = options.seals or (options.directory / SEALS if options.directory else None)
    seals = Seals(directory, key) if key is not None and directory is not None else None
    return Inspector(level=level, seals=seals, boot_id=current_boot() if seals else "", anew=anew)


def _chosen(options: argparse.Namespace) -> Sequence[Artifact]:
    """Return the artifacts to work on, each list of files once."""
    listed = read_artifacts(options.artifacts, options.artifacts_digest)
    if not options.only:
        return listed
    unknown = sorted(set(options.only) - {artifact.name for artifact in listed})
    if unknown:
        raise WeightsMismatchError(f"{options.artifacts}: has no artifact named {', '.join(map(ascii, unknown))}")
    return [artifact for artifact in listed if artifact.name in options.only]


def _in_cache(artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Return those that the cache has entries for, each list of files once. An owner's own volume is verified as a folder."""
    found = {
        artifact.manifest_digest: artifact for artifact in reversed(artifacts) if not isinstance(artifact.origin, VolumeOrigin)
    }
    return [artifact for artifact in artifacts if found.get(artifact.manifest_digest) is artifact]


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


if __name__ == "__main__":
    run()
