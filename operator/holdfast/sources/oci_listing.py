"""What is in the archives of an artifact: every byte is read and hashed, as it streams by. Nothing is written.

Archives do not say what is in them, so somebody has to do this once, before the list comes into a manifest. Layers of images lie over
each other and hide what is below them: OCI image specification 1.1 (``layer.md``: changesets, whiteouts).
"""

import hashlib
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Final

from pydantic import ValidationError

from holdfast.api.found import Found, Question
from holdfast.api.manifest import FILES_MAX, manifest_digest, paths_problem
from holdfast.api.model import File
from holdfast.api.revision import ResolvedOci, ResolvedSource
from holdfast.sources.hub_client import RepositoryFile
from holdfast.sources.hub_errors import SourceMismatchError, SourceUnusableError
from holdfast.sources.hub_resolution import TEXT_MAX_BYTES, TEXTS
from holdfast.sources.oci_archives import ArchiveError, name_in, open_archive
from holdfast.sources.oci_blobs import Layer, OciArtifact, read_blob
from holdfast.sources.ranges import Ranges
from holdfast.sources.selection import PICKLES, PYTHON, choose

_PIECE_BYTES: Final = 512 * 1024
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"


@dataclass(slots=True)
class Listing:
    """The files of an artifact, by path."""

    reference: str
    """registry/name@sha256:…"""
    image: bool = False
    """Whether it is an image, which nodes mount as a whole."""
    files: dict[str, File] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """Those that say how a model is used."""


def read_listing(
    artifact: OciArtifact, reference: str, layers: Sequence[Layer], *, watch: Callable[[int], None] = lambda _: None
) -> Listing:
    """Read all archives and return what is in them.

    Args:
        artifact: whom to ask.
        reference: its name and digest.
        layers: what `OciArtifact.layers` returned.
        watch: told how many bytes have come more; what it raises ends the reading.

    Raises:
        HubError: the registry does not give a layer, or it is not one that pods could use.
    """
    found = Listing(reference=reference, image=any(layer.prefix for layer in layers))
    ranges = Ranges(connections=1)
    for layer in layers:
        if layer.archive:
            _Reader(artifact, ranges, layer, found, watch).read()
        elif layer.title is None:
            raise SourceUnusableError(f"{reference} has a layer that does not say which file it is: sha256:{layer.sha256}")
        else:
            _add_raw(artifact, ranges, layer, layer.title, found)
        if len(found.files) > FILES_MAX:
            raise SourceUnusableError(f"{reference} has more than {FILES_MAX} files")
    return found


def chosen(listing: Listing, question: Question) -> Found:
    """Return the files to take.

    Of an image these are all but what runs code when it is loaded: it is mounted as a whole. Of other artifacts it is what the engine
    needs, as of a repository.

    Raises:
        HubError: there are none, or pods may not write them.
    """
    listed = [
        RepositoryFile(path=path, size=file.size, blob="", sha256=file.sha256) for path, file in sorted(listing.files.items())
    ]
    if listing.image:
        plain = [one for one in listed if not PICKLES.fullmatch(one.path)]
        taken = [one for one in plain if question.python or not PYTHON.fullmatch(one.path)]
    else:
        taken = choose(
            listed,
            include=None,
            taking=question.taking,
            python=question.python,
            file=question.file,
            where=listing.reference,
        )
    problem = paths_problem([one.path for one in taken])
    if problem:
        raise SourceUnusableError(f"{listing.reference}: {problem}")
    files = [listing.files[one.path] for one in taken]
    source = ResolvedSource(oci=ResolvedOci(reference=listing.reference), manifest_digest=manifest_digest(files), files=files)
    texts: Mapping[str, str] = {file.path: listing.texts[file.path] for file in files if file.path in listing.texts}
    return Found(source=source, texts=texts)


def _add_raw(artifact: OciArtifact, ranges: Ranges, layer: Layer, path: str, found: Listing) -> None:
    found.files[path] = _file(path, layer.size, layer.sha256, found.reference)
    if not TEXTS.fullmatch(path):
        return
    digest = hashlib.sha256()
    pieces = read_blob(ranges, artifact.place(layer.sha256, path), layer, digest.update)
    text = _text(path, layer.size, pieces, found.reference)
    if digest.hexdigest() != layer.sha256:
        raise SourceMismatchError(f"{path!a}: {artifact.endpoint} sent other bytes than the manifest says")
    found.texts[path] = text


def _file(path: str, size: int, sha256: str, reference: str) -> File:
    try:
        return File(path=path, size=size, sha256=sha256)
    except ValidationError as error:
        raise SourceUnusableError(f"{reference} has a file that pods may not write: {path[:256]!a}") from error


def _text(path: str, size: int, pieces: Iterator[bytes], reference: str) -> str:
    if size > TEXT_MAX_BYTES:
        raise SourceUnusableError(f"{path!a} has {size} bytes: too large for what it is")
    try:
        return b"".join(pieces).decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceUnusableError(f"{path!a} of {reference} is not text in UTF-8") from error


class _Reader:
    """Reads one archive and lays it over what is below."""

    def __init__(self, artifact: OciArtifact, ranges: Ranges, layer: Layer, found: Listing, watch: Callable[[int], None]) -> None:
        self._artifact = artifact
        self._ranges = ranges
        self._layer = layer
        self._found = found
        self._watch = watch
        self._digest = hashlib.sha256()
        self._files: dict[str, File] = {}
        self._texts: dict[str, str] = {}

    def read(self) -> None:
        name = f"layer sha256:{self._layer.sha256}"
        place = self._artifact.place(self._layer.sha256, name)
        pieces = read_blob(self._ranges, place, self._layer, self._arrived)
        try:
            with open_archive(pieces) as members:
                for archive, member in members:
                    self._take(archive, member)
        except ArchiveError as error:
            raise SourceUnusableError(f"{self._found.reference}: {name} is not a tar archive: {error}") from error
        for _ in pieces:  # what follows the archive's end belongs to the digest
            continue
        if self._digest.hexdigest() != self._layer.sha256:
            raise SourceMismatchError(f"{name}: {self._artifact.endpoint} sent other bytes than the manifest says")
        for path in self._files:
            self._found.texts.pop(path, None)
        self._found.files |= self._files
        self._found.texts |= self._texts

    def _arrived(self, piece: bytes) -> None:
        self._digest.update(piece)
        self._watch(len(piece))

    def _take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        folder, _, base = member.name.removeprefix("./").rpartition("/")
        if self._layer.prefix and base.startswith(_WHITEOUT):
            self._hide(folder if base == _OPAQUE else f"{folder}/{base.removeprefix(_WHITEOUT)}".removeprefix("/"))
            return
        path = name_in(member, self._layer)
        if not path or member.isdir():
            return
        content = archive.extractfile(member) if member.isreg() and not member.issparse() else None
        if content is None:
            raise SourceUnusableError(f"{path!a} of {self._found.reference} is a link or another thing that is not a plain file")
        self._files[path] = self._hash(path, member.size, content)
        if len(self._files) > FILES_MAX:
            raise SourceUnusableError(f"{self._found.reference} has more than {FILES_MAX} files")

    def _hash(self, path: str, size: int, content: IO[bytes]) -> File:
        sha256 = hashlib.sha256()

        def pieces() -> Iterator[bytes]:
            while piece := content.read(_PIECE_BYTES):
                sha256.update(piece)
                yield piece

        if TEXTS.fullmatch(path):
            self._texts[path] = _text(path, size, pieces(), self._found.reference)
        else:
            for _ in pieces():
                continue
        return _file(path, size, sha256.hexdigest(), self._found.reference)

    def _hide(self, hidden: str) -> None:
        """Take away what lower layers have at a path of the root file system, and below it."""
        for path in list(self._found.files):
            whole = f"{self._layer.prefix}{path}"
            if not hidden or whole == hidden or whole.startswith(f"{hidden}/"):
                del self._found.files[path]
                self._found.texts.pop(path, None)
