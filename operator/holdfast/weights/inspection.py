"""Looks at a copy as closely as its level demands, and seals what was found right."""

import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.weights.artifacts import ApprovedFile
from holdfast.weights.levels import Level, Look, look_at
from holdfast.weights.progress import Progress
from holdfast.weights.seals import Seals, seal_of
from holdfast.weights.tree import check_tree
from holdfast.weights.verification import verify_blake3, verify_sha256

_TICK_SECONDS: Final = 0.1
"""File times step by the kernel's clock tick, 10 ms at most: two writes within one tick cannot be told apart by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspector:
    """How to look. Without `seals` every look is at every byte; with `anew`, too, and what is right is sealed."""

    level: Level
    seals: Seals | None
    boot_id: str
    anew: bool = False
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def inspect(
        self, directory: Path, manifest_digest: str, files: Sequence[ApprovedFile], *, ignored: Collection[str] = ()
    ) -> str:
        """Return how the copy was verified, for people.

        Raises:
            WeightsMismatchError: naming the first file that is wrong, what was expected and what was found.
            OSError: something cannot be read.
        """
        statuses = check_tree(directory, files, ignored=ignored)
        total = sum(file.size for file in files)
        seals = None if self.level is Level.ALWAYS else self.seals
        seal = seals.read(manifest_digest) if seals is not None and not self.anew else None
        look = look_at(self.level, seal, statuses, self.boot_id)
        if seals is None or seal is None or look is Look.SHA256:
            self._let_tick_pass(statuses.values())
            progress = Progress("verifying by sha256", total)
            observed = verify_sha256(directory, files, statuses, progress, sealing=seals is not None)
            if seals is not None:
                seals.write(seal_of(manifest_digest, observed, boot_id=self.boot_id))
            return "by sha256"
        if look is Look.BLAKE3:
            sealed = {file.path: file.blake3 for file in seal.files}
            self._let_tick_pass(statuses.values())
            verify_blake3(directory, files, statuses, sealed, Progress("verifying by blake3", total))
            seals.write(seal.on_boot(self.boot_id))
            return "by blake3, the first time since this node's boot"
        return "by the seal"

    def _let_tick_pass(self, statuses: Iterable[os.stat_result]) -> None:
        """Wait until a write that comes after the reading must show in the change times."""
        newest = max(status.st_ctime for status in statuses)
        if abs(self.clock() - newest) < _TICK_SECONDS:
            self.sleep(_TICK_SECONDS)
