"""The approved list of files, as the pod gets it."""

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.api.manifest import MANIFEST_MAX_BYTES, manifest_bytes, paths_problem
from holdfast.weights.errors import WeightsMismatchError

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedFile:
    """One file that must be there, byte by byte. `size` is in bytes, `sha256` in lower-case hex."""

    path: str
    size: int
    sha256: str


def read_manifest(path: Path, digest: str) -> list[ApprovedFile]:
    """Return the files of the list with this digest.

    Raises:
        WeightsMismatchError: the file is another list, or not a canonical list of safe paths.
        OSError: it cannot be read.
    """
    with path.open("rb") as manifest:
        content = manifest.read(MANIFEST_MAX_BYTES + 1)
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if not hmac.compare_digest(found.encode(), digest.encode()):
        raise WeightsMismatchError(f"{path}: the list of files is not the approved one: expected {digest}, found {found}")
    try:
        files = [_file(entry) for entry in json.loads(content)]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsMismatchError(f"{path}: not a list of files: {error}") from error
    problem = paths_problem([file.path for file in files])
    if problem:
        raise WeightsMismatchError(f"{path}: {problem}")
    if manifest_bytes(files) != content:
        raise WeightsMismatchError(f"{path}: the list of files is not in canonical form")
    return files


def _file(entry: dict[str, object]) -> ApprovedFile:
    path, size, sha256 = entry["path"], entry["size"], entry["sha256"]
    if not isinstance(path, str) or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError("a path or a sha256 is malformed")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError("a size is malformed")
    return ApprovedFile(path=path, size=size, sha256=sha256)
