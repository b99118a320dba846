"""Asks the server that an artifact names, or the owner's mirror, for its files."""

from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.sources.hub_errors import HubError
from holdfast.sources.hub_files import HubFiles
from holdfast.sources.ranges import Ranges
from holdfast.weights.artifacts import Access, HubOrigin, OciOrigin
from holdfast.weights.errors import WeightsUnavailableError
from holdfast.weights.partial import PartialFile
from holdfast.weights.progress import Progress
from holdfast.weights.transfer import CONNECTIONS, Transfer


def bring(
    origin: HubOrigin | OciOrigin,
    partials: Sequence[PartialFile],
    access: Access,
    progress: Progress,
    *,
    hold: Callable[[], None],
    jitter: Callable[[], float],
) -> None:
    """Return when all files are there, exactly as approved.

    Raises:
        WeightsMismatchError: the source has other bytes, naming what was expected and found.
        WeightsUnavailableError: the source does not give the files.
        OSError: a file cannot be read or written.
    """
    ranges = Ranges(connections=CONNECTIONS)
    transfer = Transfer(ranges, progress, hold=hold, jitter=jitter)
    if isinstance(origin, HubOrigin):
        # The token of the Hub is for whoever is asked: with a mirror, that is the mirror alone.
        server = HubFiles(access.mirror or origin.endpoint, origin.repository, origin.commit, read_token(access.token_file))
        transfer.run([(partial, server.place(partial.file.path)) for partial in partials])
        return
    # Imported here: it takes a moment, and most models come from a Hub.
    from holdfast.sources.oci_blobs import OciArtifact
    from holdfast.weights.archives import Archives

    try:
        artifact = OciArtifact(origin.reference, credentials_file=access.registry_credentials, mirror=access.mirror)
        layers = artifact.layers()
    except HubError as error:
        raise WeightsUnavailableError(str(error)) from error
    raw = {layer.sha256 for layer in layers if not layer.archive}
    itself = [partial for partial in partials if partial.file.sha256 in raw or not partial.file.size]
    packed = [partial for partial in partials if partial.file.sha256 not in raw and partial.file.size]
    transfer.run([(partial, artifact.place(partial.file.sha256, partial.file.path)) for partial in itself])
    if packed:
        Archives(artifact, ranges, packed, progress, hold=hold).run([layer for layer in layers if layer.archive])


def read_token(path: Path | None) -> str | None:
    """Return the token in a file; None without a file or when it is empty or not there.

    Raises:
        WeightsUnavailableError: it is no token.
        OSError: it cannot be read.
    """
    if path is None:
        return None
    try:
        token = path.read_bytes().strip()
    except FileNotFoundError:
        return None
    if not token.isascii() or not token.decode("ascii").isprintable():
        raise WeightsUnavailableError(f"{path}: the file of the token holds something else than a token")
    return token.decode("ascii") or None
