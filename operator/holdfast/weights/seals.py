"""Seals: what a verified copy looked like, proven by a key that engine pods do not have.

A seal is JSON, ``{"hmac": HEX, "sealed": TEXT}``. TEXT is JSON itself and is what the HMAC-SHA256 is over; it names the list of files,
each file's size, inode, times and blake3, and the boots of nodes on which the copy was read and found right.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from holdfast.weights.errors import WeightsUnavailableError
from holdfast.weights.progress import log
from holdfast.weights.verification import Observed

KEY_MIN_BYTES: Final = 16
_PURPOSE: Final = b"holdfast seal of weights, version 1\n"
_SEAL_MAX_BYTES: Final = 16 * 1024 * 1024  # ten thousand files take less than 8
_BOOTS_MAX: Final = 512
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")  # proc(5): another one after each boot


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedFile:
    """A file when it was verified. `mtime_ns` and `ctime_ns` are in nanoseconds since 1970, `blake3` in lower-case hex."""

    path: str
    size: int
    inode: int
    mtime_ns: int
    ctime_ns: int
    blake3: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A copy whose bytes had the approved sha256."""

    manifest_digest: str
    files: tuple[SealedFile, ...]
    boot_ids: tuple[str, ...]
    """Boots of nodes on which every byte was read from the disk and was right, the latest last."""

    def on_boot(self, boot_id: str) -> "Seal":
        """Return the seal with one more boot; the oldest of very many is forgotten."""
        others = [known for known in self.boot_ids if known != boot_id]
        return replace(self, boot_ids=(*others, boot_id)[-_BOOTS_MAX:])


def seal_of(manifest_digest: str, observed: Mapping[str, Observed], *, boot_id: str | None) -> Seal:
    """Return the seal of a copy that was just verified. `boot_id` None: hashed on its way to the disk, not yet read from it."""
    files = tuple(
        SealedFile(
            path=path,
            size=file.status.st_size,
            inode=file.status.st_ino,
            mtime_ns=file.status.st_mtime_ns,
            ctime_ns=file.status.st_ctime_ns,
            blake3=file.blake3,
        )
        for path, file in sorted(observed.items())
    )
    return Seal(manifest_digest=manifest_digest, files=files, boot_ids=(boot_id,) if boot_id else ())


class Seals:
    """The folder of seals, one for each list of files."""

    def __init__(self, directory: Path, key: bytes) -> None:
        self._directory = directory
        self._key = key

    def read(self, manifest_digest: str) -> Seal | None:
        """Return the seal of a copy; None when there is none that the key proves."""
        path = self._path(manifest_digest)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            log("a seal cannot be read and is not trusted", level="warning", path=str(path), error=str(error))
            return None
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(_SEAL_MAX_BYTES + 1)
        try:
            return self._proven(content, manifest_digest)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            log("a seal is not genuine and is not trusted", level="warning", path=str(path), error=str(error))
            return None

    def write(self, seal: Seal) -> None:
        """Keep a seal, whole or not at all. Without a place to write it the next start looks as closely as this one."""
        path = self._path(seal.manifest_digest)
        sealed = _text(seal)
        content = json.dumps({"hmac": self._hmac(sealed), "sealed": sealed}).encode()
        temporary = path.with_name(f".{path.name}-{os.urandom(8).hex()}")
        try:
            self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            temporary.rename(path)
        except OSError as error:
            log("the seal cannot be written", level="warning", path=str(path), error=str(error))
            try:
                temporary.unlink(missing_ok=True)
            except OSError:
                return

    def remove(self, manifest_digest: str) -> None:
        """Forget a seal."""
        try:
            self._path(manifest_digest).unlink(missing_ok=True)
        except OSError as error:
            log("the seal cannot be deleted", level="warning", error=str(error))

    def _path(self, manifest_digest: str) -> Path:
        return self._directory / f"{manifest_digest.removeprefix('sha256:')}.json"

    def _proven(self, content: bytes, manifest_digest: str) -> Seal:
        if len(content) > _SEAL_MAX_BYTES:
            raise ValueError("it is too long")
        outer = json.loads(content)
        sealed, code = outer["sealed"], outer["hmac"]
        if not isinstance(sealed, str) or not isinstance(code, str):
            raise TypeError("a text is expected")
        if not hmac.compare_digest(self._hmac(sealed).encode(), code.encode("utf-8", "replace")):
            raise ValueError("the key does not prove it")
        seal = _seal(json.loads(sealed))
        if seal.manifest_digest != manifest_digest:
            raise ValueError("it is of another list of files")
        return seal

    def _hmac(self, sealed: str) -> str:
        return hmac.new(self._key, _PURPOSE + sealed.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def read_key(path: Path | None) -> bytes | None:
    """Return the key of the seals; None without a file or when it is not there: then no seal is trusted.

    Raises:
        WeightsUnavailableError: the key is too short to prove anything.
        OSError: it cannot be read.
    """
    if path is None:
        return None
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        log("there is no key of the seals: every byte is verified", level="warning", path=str(path))
        return None
    if len(key) < KEY_MIN_BYTES:
        raise WeightsUnavailableError(f"{path}: the key of the seals has {len(key)} bytes; {KEY_MIN_BYTES} are the least")
    return key


def current_boot() -> str:
    """Return what tells this boot of this node from all others.

    Raises:
        OSError: the kernel does not say.
    """
    return _BOOT_ID.read_text(encoding="ascii").strip()


def _text(seal: Seal) -> str:
    files = [[file.path, file.size, file.inode, file.mtime_ns, file.ctime_ns, file.blake3] for file in seal.files]
    return json.dumps({"manifestDigest": seal.manifest_digest, "bootIds": seal.boot_ids, "files": files}, sort_keys=True)


def _seal(value: Any) -> Seal:
    """Read what the key proved, so what this program wrote."""
    files = tuple(
        SealedFile(path=path, size=size, inode=inode, mtime_ns=mtime, ctime_ns=ctime, blake3=digest)
        for path, size, inode, mtime, ctime, digest in value["files"]
    )
    return Seal(manifest_digest=value["manifestDigest"], files=files, boot_ids=tuple(value["bootIds"]))
