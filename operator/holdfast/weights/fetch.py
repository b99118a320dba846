"""Brings a model's files into the cache. What is under an entry's name afterwards was verified byte by byte."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.weights.artifacts import Access, ApprovedFile, Artifact, HubOrigin, OciOrigin, VolumeOrigin
from holdfast.weights.cache import Cache, Work, partial_files, remove
from holdfast.weights.errors import WeightsMismatchError, WeightsUnavailableError
from holdfast.weights.inspection import Inspector
from holdfast.weights.lease import Holder, Pace
from holdfast.weights.levels import Level
from holdfast.weights.partial import PartialFile
from holdfast.weights.progress import Progress, log
from holdfast.weights.pruning import Pruner, restore
from holdfast.weights.seals import seal_of
from holdfast.weights.tree import check_tree
from holdfast.weights.verification import same_file

_SPARE_BYTES: Final = 16 * 1024 * 1024  # for the file system's own use


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Fills one cache."""

    directory: Path
    access: Access
    inspector: Inspector
    holder: Holder
    pace: Pace | None = None
    pruner: Pruner | None = None
    """Makes room when there is too little."""

    def fetch(self, artifact: Artifact) -> str:
        """Make the artifact's entry exactly the approved files and return in one sentence how.

        A published entry is verified, not trusted, as closely as the level says; a wrong one is set aside before anything else
        happens and never served. The network is used only when there is no right one.

        Raises:
            WeightsMismatchError: the source has other bytes than approved.
            WeightsUnavailableError: the source does not give the files, or they do not fit.
            OSError: the directory cannot be read or written.
        """
        files, origin = artifact.files, artifact.origin
        if files is None or isinstance(origin, VolumeOrigin):
            raise WeightsUnavailableError(f"{artifact.name} is in the owner's own volume, which nothing is fetched into")
        cache = Cache(self.directory, artifact.manifest_digest, files, self.holder, pace=self.pace)
        what = f"{len(files)} files, {sum(file.size for file in files)} bytes"
        if cache.exists():
            how, _ = self._look(cache, artifact, files)
            if how:
                return f"verified {what} in the cache {how}"
        rejected = ""
        with cache.alone() as work:
            restore(self.directory, artifact.manifest_digest)
            if cache.exists():
                how, rejected = self._look(cache, artifact, files)
                if how:
                    return f"verified {what} in the cache {how}, which another pod had filled"
                log("the cached copy is wrong and is not used", level="warning", error=rejected)
                cache.reject()
            try:
                self._fill(cache, work, artifact, origin, files)
            except (WeightsMismatchError, WeightsUnavailableError) as error:
                if rejected:
                    raise type(error)(f"{error}; the copy in the cache was wrong and was deleted ({rejected})") from error
                raise
        wrong = f"; the copy in the cache was wrong and was replaced ({rejected})" if rejected else ""
        return f"fetched and verified {what}{wrong}"

    def _look(self, cache: Cache, artifact: Artifact, files: Sequence[ApprovedFile]) -> tuple[str, str]:
        """Return how the published entry was verified, or what is wrong with it."""
        try:
            return self.inspector.inspect(cache.entry, artifact.manifest_digest, files), ""
        except WeightsMismatchError as error:
            return "", str(error)

    def _fill(
        self, cache: Cache, work: Work, artifact: Artifact, origin: HubOrigin | OciOrigin, files: Sequence[ApprovedFile]
    ) -> None:
        # Imported here: a pod with a filled cache does not spend the time.
        from holdfast.weights.sourcing import bring

        cache.begin(work)
        seals = None if self.inspector.level is Level.ALWAYS else self.inspector.seals
        journal, partials = partial_files(work, artifact.manifest_digest, files, sealing=seals is not None)
        try:
            missing = sum(partial.file.size - partial.present for partial in partials)
            free = cache.make_room(missing + _SPARE_BYTES)
            if free < missing + _SPARE_BYTES and self.pruner is not None and self.pruner.prune():
                free = cache.make_room(missing + _SPARE_BYTES)
            if free < missing + _SPARE_BYTES:
                raise WeightsUnavailableError(
                    f"the volume of weights has {free} bytes left and {artifact.name} needs {missing} more: enlarge"
                    " spec.serving.cache.size or the node's disk, or let go of revisions that are no longer needed"
                    " (spec.serving.cache.unused)"
                )
            progress = Progress(f"fetching {artifact.name}", sum(file.size for file in files))
            # The random factor spreads load and protects nothing.
            bring(origin, partials, self.access, progress, hold=work.hold.check, jitter=lambda: random.uniform(0.8, 1.2))  # noqa: S311
        finally:
            for partial in partials:
                partial.close()
            journal.close()
        _check_unchanged(work.files, partials)
        if cache.publish(work):
            if seals is not None:
                observed = {partial.file.path: partial.observed for partial in partials if partial.observed is not None}
                # Hashed on their way to the disk, not yet read from it: no boot is named.
                seals.write(seal_of(artifact.manifest_digest, observed, boot_id=None))
            return
        # Another pod was first. Its copy counts if it is right; a wrong one is replaced.
        how, wrong = self._look(cache, artifact, files)
        if not how:
            log("another pod published a wrong copy, which is replaced", level="warning", error=wrong)
            cache.reject()
            if not cache.publish(work):
                raise WeightsUnavailableError("other pods keep publishing copies of this model; start again")
        remove(work.folder)


def _check_unchanged(directory: Path, partials: Sequence[PartialFile]) -> None:
    """Raise `WeightsMismatchError` unless a finished directory has what was written and nothing else: others may write there too."""
    statuses = check_tree(directory, [partial.file for partial in partials])
    for partial in partials:
        if partial.observed is None or not same_file(partial.observed.status, statuses[partial.file.path]):
            raise WeightsMismatchError(
                f"{partial.file.path!a}: expected the file that was fetched, found that somebody changed it"
            )
