"""Asks the server that an artifact names, or the owner's mirror, for its files."""

from collections.abc import Callable, Sequence
from functools import partial

from holdfast.sources.hub_errors import HubError
from holdfast.sources.hub_files import HubFiles
from holdfast.sources.ranges import Ranges
from holdfast.sources.token_file import read_token
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
        try:
            token = read_token(access.token_file)
        except HubError as error:
            raise WeightsUnavailableError(str(error)) from error
        server = HubFiles(access.mirror or origin.endpoint, origin.repository, origin.commit, token)
        transfer.run([(each, server.place(each.file.path)) for each in partials])
        return
    # Imported here: it takes a moment, and most models come from a Hub.
    from holdfast.sources.oci_blobs import OciArtifact
    from holdfast.sources.registry_access import RegistryAccess
    from holdfast.sources.registry_credentials import credentials_in
    from holdfast.weights.archives import Archives

    try:
        registries = RegistryAccess(
            credentials=partial(credentials_in, access.registry_credentials),
            instead=access.mirror,
            advice="name a Secret that opens it in serving.registryCredentials",
        )
        artifact = OciArtifact(origin.reference, registries)
        layers = artifact.layers()
    except HubError as error:
        raise WeightsUnavailableError(str(error)) from error
    raw = {layer.sha256 for layer in layers if not layer.archive}
    itself = [each for each in partials if each.file.sha256 in raw or not each.file.size]
    packed = [each for each in partials if each.file.sha256 not in raw and each.file.size]
    transfer.run([(each, artifact.place(each.file.sha256, each.file.path)) for each in itself])
    if packed:
        Archives(artifact, ranges, packed, progress, hold=hold).run([layer for layer in layers if layer.archive])
