"""Takes a model's files out of the tar layers of an artifact, as they stream by.

A layer is not kept, so a killed pod asks for it from its beginning once more; files that were complete are not written again.
Where an archive's file comes from does not matter: it counts when its sha256 is the approved one.
"""

import hashlib
import tarfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from holdfast.sources.hub_errors import HubError
from holdfast.sources.oci_archives import ArchiveError, name_in, open_archive
from holdfast.sources.oci_blobs import Layer, OciArtifact, read_blob
from holdfast.sources.ranges import Ranges
from holdfast.sources.unpacking import Packing
from holdfast.weights.errors import WeightsMismatchError, WeightsUnavailableError
from holdfast.weights.partial import PartialFile
from holdfast.weights.progress import Progress, log
from holdfast.weights.tree import describe

_LAYERS_AT_ONCE: Final = 4
_ZSTD_AT_ONCE: Final = 2  # each may take 32 MiB
_PIECE_BYTES: Final = 512 * 1024


class Archives:
    """One round of unpacking."""

    def __init__(
        self,
        artifact: OciArtifact,
        ranges: Ranges,
        partials: Sequence[PartialFile],
        progress: Progress,
        *,
        hold: Callable[[], None],
    ) -> None:
        self._artifact = artifact
        self._ranges = ranges
        self._partials = {partial.file.path: partial for partial in partials}
        self._progress = progress
        self._hold = hold
        self._stop = threading.Event()
        self._found: dict[str, str] = {}
        self._lock = threading.Lock()
        self._busy: set[str] = set()

    def run(self, layers: Sequence[Layer]) -> None:
        """Return when all files are there, exactly as approved.

        Raises:
            WeightsMismatchError: the layers have other files, naming what was expected and found.
            WeightsUnavailableError: the registry does not give a layer.
            OSError: a file cannot be read or written.
        """
        for partial in self._partials.values():
            self._progress.add(partial.present)
            self._complete(partial)
        large = any(layer.packing is Packing.ZSTD for layer in layers)
        with ThreadPoolExecutor(max_workers=_ZSTD_AT_ONCE if large else _LAYERS_AT_ONCE) as threads:
            futures = [threads.submit(self._unpack, layer) for layer in layers]
            try:
                self._progress.wait(futures)
            finally:
                self._stop.set()
        missing = sorted(path for path, partial in self._partials.items() if partial.observed is None)
        if missing:
            file = self._partials[missing[0]].file
            found = self._found.get(file.path, "nothing")
            raise WeightsMismatchError(
                f"{file.path!a}: expected {describe(file.size, file.sha256)}, found {found} in the layers at {self._artifact.endpoint}"
            )

    def _unpack(self, layer: Layer) -> None:
        if self._stop.is_set() or all(partial.observed is not None for partial in self._partials.values()):
            return
        digest = hashlib.sha256()
        name = f"layer sha256:{layer.sha256}"
        pieces = read_blob(self._ranges, self._artifact.place(layer.sha256, name), layer, digest.update)
        try:
            with open_archive(pieces) as members:
                for archive, member in members:
                    if self._stop.is_set():
                        return
                    self._take(archive, member, layer)
            for _ in pieces:  # what follows the archive's end belongs to the digest
                continue
        except ArchiveError as error:
            raise WeightsMismatchError(f"{name}: expected a tar archive, found something else: {error}") from error
        except HubError as error:
            raise WeightsUnavailableError(str(error)) from error
        if digest.hexdigest() != layer.sha256:
            raise WeightsMismatchError(f"{name}: found bytes with sha256 {digest.hexdigest()} at {self._artifact.endpoint}")

    def _take(self, archive: tarfile.TarFile, member: tarfile.TarInfo, layer: Layer) -> None:
        name = name_in(member, layer)
        partial = self._partials.get(name) if name is not None else None
        if partial is None or partial.observed is not None:
            return
        if not member.isreg() or member.size != partial.file.size:
            self._found[partial.file.path] = f"{member.size} bytes" if member.isreg() else "something that is not a file"
            return
        with self._lock:
            if partial.file.path in self._busy:
                return  # another layer has it as well, and began earlier
            self._busy.add(partial.file.path)
        content = archive.extractfile(member)
        if content is not None:
            self._write(partial, lambda: content.read(_PIECE_BYTES))
        self._complete(partial)
        with self._lock:
            self._busy.remove(partial.file.path)

    def _write(self, partial: PartialFile, read: Callable[[], bytes]) -> None:
        """Write what is not there yet."""
        position = 0
        while piece := read():
            self._hold()
            rest = memoryview(piece)
            while rest:
                segment = partial.segment_at(position)
                there = segment.position - position
                count = min(len(rest), there or segment.end - position)
                if not there:
                    partial.begin(segment)
                    partial.write(segment, rest[:count])
                    partial.end(segment)
                    self._progress.add(count)
                rest = rest[count:]
                position += count

    def _complete(self, partial: PartialFile) -> None:
        if not partial.advance(self._stop):
            return
        found = partial.finish()
        if found is None:
            return
        log("a layer has other bytes", level="warning", file=partial.file.path, found=found)
        self._found[partial.file.path] = found
        self._progress.add(-partial.present)
        partial.restart()
