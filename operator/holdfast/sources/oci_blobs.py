"""The files of a model that is an artifact or an image in a registry.

Three kinds are known. ModelPack (github.com/modelpack/model-spec 0.0.7) has a ``raw`` layer for each file, whose digest is the file's
own sha256. ModelKits (KitOps) and other ModelPack layers are tar archives. A "modelcar" is an image that has the model in its folder
``/models`` (KServe). Manifests: OCI image specification 1.1.
"""

import asyncio
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from holdfast.sources.hub_errors import (
    HubError,
    SourceForbiddenError,
    SourceNotFoundError,
    SourceUnavailableError,
    SourceUnusableError,
)
from holdfast.sources.ranges import Place, Ranges
from holdfast.sources.registry import authorize, read_manifest
from holdfast.sources.registry_access import RegistryAccess
from holdfast.sources.registry_errors import (
    ImageNotFoundError,
    ImageReferenceError,
    RegistryError,
    RegistryForbiddenError,
)
from holdfast.sources.registry_reference import ImageReference, parse_reference
from holdfast.sources.unpacking import Packing, UnpackingError, unpacker

MODELCAR_FOLDER: Final = "models/"
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_LAYERS_MAX: Final = 20_000
_DEPTH_MAX: Final = 4  # of indexes
_SIZE_MAX: Final = 2**53 - 1
_ROOT_FILE_SYSTEM: Final = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")
_TITLES: Final = ("org.cncf.model.filepath", "org.cnai.model.filepath", "org.opencontainers.image.title")
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_PIECE_BYTES: Final = 512 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One blob of an artifact: a file itself (`archive` False) or a tar archive of files."""

    sha256: str
    size: int
    archive: bool
    packing: Packing = Packing.NONE
    prefix: str = ""
    """What stands before the names of the model's files in the archive."""
    title: str | None = None
    """The file's path, of a layer that is a file itself and says so."""


class OciArtifact:
    """An artifact by digest. Every failure is a `HubError` with the `Reason` to show."""

    def __init__(self, reference: str, registries: RegistryAccess) -> None:
        with _registry_errors():
            self._reference = parse_reference(reference)
            if self._reference.digest is None:
                raise ImageReferenceError(f"{reference!r} has no digest")
        self._registries = registries
        self._address = registries.addresses(self._reference)[-1]
        self.endpoint = registries.instead or self._reference.registry
        self._authorization: str | None = None
        self._lock = threading.Lock()

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers, of an index those for this machine.

        Raises:
            HubError: the registry does not give the manifest, or it is not one.
        """
        reference = self._reference
        for _ in range(_DEPTH_MAX):
            with _registry_errors():
                content = asyncio.run(read_manifest(reference, self._registries))
            manifest = _manifest(content, str(reference))
            if "manifests" not in manifest:
                return parse_layers(manifest, str(reference))
            digest = _for_this_machine(manifest, str(reference))
            reference = ImageReference(registry=reference.registry, repository=reference.repository, tag=None, digest=digest)
        raise SourceUnusableError(f"{self._reference} is an index of indexes without end")

    def place(self, sha256: str, name: str) -> Place:
        """Return where a blob is; `name` is for people."""
        return Place(server=self, url=f"{self._address.url}/blobs/sha256:{sha256}", path=name)

    def authorization(self) -> str | None:
        """Return the header with the registry's token."""
        return self._authorization

    def renew(self, refused: str | None, challenge: str) -> bool:
        """Get a token, or a fresh one: they live for minutes."""
        with self._lock:
            if self._authorization != refused:
                return True  # another thread did it
            with _registry_errors():
                self._authorization = asyncio.run(authorize(self._reference, self._address, challenge, self._registries))
            return True

    def check(self, path: str, status: int, headers: Mapping[str, str]) -> HubError | None:  # noqa: ARG002 # registries say it by status
        """Return what an answer says about the blob."""
        if status in (401, 403):
            return SourceForbiddenError(
                f"the registry {self.endpoint} does not show {path!a} of {self._reference} with these credentials"
            )
        if status == 404:
            return SourceNotFoundError(f"the registry {self.endpoint} has no {path!a} of {self._reference} any more")
        return None


def parse_layers(manifest: Mapping[str, Any], name: str) -> tuple[Layer, ...]:
    """Return the layers that may hold files of a model.

    Raises:
        SourceUnusableError: the manifest is malformed, or has a layer that cannot be read here.
    """
    listed = manifest.get("layers")
    if not isinstance(listed, list) or len(listed) > _LAYERS_MAX:
        raise SourceUnusableError(f"{name} has no list of layers, or too long a one")
    return tuple(_layer(entry, name) for entry in listed)


def read_blob(ranges: Ranges, place: Place, layer: Layer, digest: Callable[[bytes], object]) -> Iterator[bytes]:
    """Yield a blob's bytes, unpacked, going on where a connection broke. `digest` is told about the packed bytes.

    Raises:
        HubError: the registry does not give the blob; what comes is not what its kind says.
    """
    unpack = unpacker(layer.packing)
    for piece in _packed(ranges, place, layer):
        digest(piece)
        try:
            yield from unpack.feed(piece)
        except UnpackingError as error:
            raise SourceUnusableError(f"{place.path!a} of {place.server.endpoint} {error}") from error


def _packed(ranges: Ranges, place: Place, layer: Layer) -> Iterator[bytes]:
    position, failures = 0, 0
    while position < layer.size:
        before = position
        try:
            with ranges.open(place, position, layer.size if position else None) as body:
                if body.total not in (None, layer.size) or body.position not in (0, position):
                    raise SourceUnavailableError(f"{place.server.endpoint} has another {place.path!a} than the manifest says")
                skip = position - body.position
                while piece := body.read(_PIECE_BYTES):
                    useful = piece[skip:]
                    skip -= len(piece) - len(useful)
                    position += len(useful)
                    if useful:
                        yield useful
            if position == before:
                raise SourceUnavailableError(f"{place.server.endpoint} sent nothing of {place.path!a}")
        except SourceUnavailableError:
            failures = 0 if position > before else failures + 1
            if failures > 2:
                raise
    if position > layer.size:
        raise SourceUnavailableError(f"{place.server.endpoint} sent more of {place.path!a} than the manifest says")


def _layer(entry: object, name: str) -> Layer:
    if not isinstance(entry, dict):
        raise SourceUnusableError(f"{name} has a layer that is not an object")
    kind, digest, size = entry.get("mediaType"), entry.get("digest"), entry.get("size")
    match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
    if (
        not isinstance(kind, str)
        or match is None
        or not isinstance(size, int)
        or isinstance(size, bool)
        or not 0 <= size <= _SIZE_MAX
    ):
        raise SourceUnusableError(f"{name} has a layer without mediaType, sha256 digest or size")
    words = set(re.split(r"[.+]", kind))
    if "tar" not in words:
        return Layer(sha256=match[1], size=size, archive=False, title=_title(entry))
    prefix = MODELCAR_FOLDER if kind.startswith(_ROOT_FILE_SYSTEM) else ""
    return Layer(sha256=match[1], size=size, archive=True, packing=_packing(words), prefix=prefix)


def _packing(words: set[str]) -> Packing:
    if words & {"zstd", "zst"}:
        return Packing.ZSTD
    return Packing.GZIP if words & {"gzip", "gz"} else Packing.NONE


def _title(entry: Mapping[str, Any]) -> str | None:
    annotations = entry.get("annotations")
    titles = [annotations[key] for key in _TITLES if key in annotations] if isinstance(annotations, dict) else []
    return titles[0].removeprefix("./") if titles and isinstance(titles[0], str) else None


def _manifest(content: bytes, name: str) -> dict[str, Any]:
    try:
        manifest = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SourceUnusableError(f"{name} is not a manifest: {type(error).__name__}") from error
    if not isinstance(manifest, dict):
        raise SourceUnusableError(f"{name} is not a manifest")
    return manifest


def _for_this_machine(index: Mapping[str, Any], name: str) -> str:
    """Return the digest of an index's manifest for this machine; models are the same for all, so any other will do as well."""
    listed = index["manifests"]
    found: list[str] = []
    for entry in listed if isinstance(listed, list) else []:
        platform = entry.get("platform") if isinstance(entry, dict) else None
        system = platform.get("os") if isinstance(platform, dict) else None
        digest = entry.get("digest") if isinstance(entry, dict) else None
        if system == "unknown" or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            continue  # attestations are listed as unknown/unknown
        same = isinstance(platform, dict) and platform.get("architecture") == _MACHINES.get(os.uname().machine)
        found.insert(0 if same else len(found), digest)
    if not found:
        raise SourceUnusableError(f"{name} is an index without a manifest")
    return found[0]


class _registry_errors:  # noqa: N801 # used like a function
    """Turn a `RegistryError` into the error of the same kind that the rest of fetching knows."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ImageReferenceError):
            raise SourceUnusableError(str(error)) from error
        if isinstance(error, ImageNotFoundError):
            raise SourceNotFoundError(str(error)) from error
        if isinstance(error, RegistryForbiddenError):
            raise SourceForbiddenError(str(error)) from error
        if isinstance(error, RegistryError):
            raise SourceUnavailableError(str(error)) from error
