"""Put an image where a bed's node takes it from."""

import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Protocol

from testbed.images.builder import build, digest
from testbed.images.errors import ImageError
from testbed.programs import Programs
from testbed.progress import Progress

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Bed(Protocol):
    """What this package needs of a bed."""

    @property
    def registry(self) -> str:
        """HOST:PORT of its plain-http registry."""

    @property
    def programs(self) -> Programs:
        """Where crane is."""


def ensure(bed: Bed, name: str, *, progress: Progress | None = None) -> str:
    """Build an image if needed, push it if the bed's registry lacks it, and return `HOST:PORT/name@sha256:…`.

    Raises ImageError for an unknown name, a failed build or a failed push.
    """
    layout = build(name, progress=progress)
    reference = f"{bed.registry}/{name}"
    wanted = digest(layout)
    if not has(bed.registry, name, wanted):
        push(bed.programs.crane, layout, reference, plain_http=True)
        if not has(bed.registry, name, wanted):
            raise ImageError(f"the registry {bed.registry} took the image {name} but does not have {wanted}")
    return f"{reference}@{wanted}"


def push(crane: Path, layout: Path, target: str, *, plain_http: bool) -> str:
    """Push an image to `HOST/NAME` with crane, which uses the caller's docker login, and return `HOST/NAME@sha256:…`.

    Raises ImageError if the registry does not take it.
    """
    command = [str(crane), "push", *(["--insecure"] if plain_http else []), str(layout), f"{target}:latest"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ImageError(f"the image could not be pushed to {target}: {result.stderr.strip()[-1000:]}")
    return f"{target}@{digest(layout)}"


def has(registry: str, name: str, wanted: str) -> bool:
    """Tell whether the registry has the image of this digest; raises ImageError if it does not answer properly."""
    request = urllib.request.Request(
        f"http://{registry}/v2/{name}/manifests/{wanted}", method="HEAD", headers={"Accept": _MANIFEST}
    )
    # A proxy of the environment is not for the bed's own network.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10):
            return True
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise ImageError(f"the registry {registry} answers {error.code} to a look for the image {name}") from error
    except urllib.error.URLError as error:
        raise ImageError(f"the registry {registry} cannot be reached: {error.reason}") from error
