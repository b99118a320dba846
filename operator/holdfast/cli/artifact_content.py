"""What an artifact of a registry holds: from its manifest, or where that does not say, from its archives."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event

from holdfast.cli.choice import Listed
from holdfast.sources.hub_errors import SourceUnavailableError
from holdfast.sources.oci_blobs import Layer, OciArtifact
from holdfast.sources.oci_listing import Listing, read_listing
from holdfast.sources.registry_access import RegistryAccess


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The files, and where they came from."""

    files: Sequence[Listed]
    listing: Listing | None
    """What was read in archives; None when the manifest says it all."""


@dataclass(frozen=True, slots=True)
class _Named:
    path: str
    size: int


async def look_into(reference: str, registries: RegistryAccess, watch: Callable[[int, int], None]) -> Content:
    """Return what an artifact, by its digest, holds. Cancelling it ends a download.

    Args:
        reference: registry/name@sha256:…
        registries: how registries are reached.
        watch: told how many bytes of how many were read of archives.

    Raises:
        HubError: the registry does not give it, or it is nothing that pods could use.
    """
    artifact = OciArtifact(reference, registries)
    layers = await asyncio.to_thread(artifact.layers)
    if not any(layer.archive for layer in layers):
        return Content(files=[_Named(layer.title, layer.size) for layer in layers if layer.title is not None], listing=None)
    ended = Event()
    try:
        listing = await asyncio.to_thread(read_listing, artifact, reference, layers, watch=_watched(layers, watch, ended))
    finally:
        ended.set()
    return Content(files=list(listing.files.values()), listing=listing)


def _watched(layers: Sequence[Layer], watch: Callable[[int, int], None], ended: Event) -> Callable[[int], None]:
    total, done = sum(layer.size for layer in layers if layer.archive), 0

    def arrived(count: int) -> None:
        nonlocal done
        if ended.is_set():
            raise SourceUnavailableError("the reading was ended")
        done += count
        watch(done, total)

    return arrived
