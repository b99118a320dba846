"""Where an image is asked for, and who is given which credentials.

Mirrors work as in containerd (``docs/hosts.md``: ``hosts.toml``): they are asked in order, then the registry itself. Only what has a
digest is asked of a mirror, and the bytes are hashed here, so a mirror cannot lie.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from holdfast.sources.registry_reference import DOCKER_HUB, ImageReference

_DOCKER_HUB_API: Final = "registry-1.docker.io"
_TOKEN_SERVERS: Final = {DOCKER_HUB: "auth.docker.io"}
_API: Final = re.compile(r"/v2(?=/|$)")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Credentials:
    """Name and password, or token, for one registry. Never shown."""

    username: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where one repository is."""

    registry: str
    """HOST or HOST:PORT, whose credentials are good there."""
    repository: str
    """Its name there; a mirror may have it below a prefix."""
    url: str
    """What its manifests and blobs are below, without a slash at its end."""
    plain: bool
    """Whether plain http is meant: on loopback, or because whoever named a mirror wrote it."""


def _none(registry: str, repository: str) -> Credentials | None:
    del registry, repository
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAccess:
    """How registries are reached, and with what."""

    credentials: Callable[[str, str], Credentials | None] = _none
    """Credentials for a registry and repository, asked at each use; may raise `RegistryForbiddenError`."""
    mirrors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """URLs by registry, in the order in which they are asked before it."""
    instead: str | None = None
    """URL of the one server that is asked, whichever the registry."""
    token_servers: Mapping[str, str] = field(default_factory=dict)
    """HOST or HOST:PORT, by registry, of token servers that get its credentials though they are elsewhere."""
    advice: str = "give credentials that open it"
    """What to do where a registry wants other credentials."""
    for_strangers: bool = False
    """Whether somebody else than the owner of the credentials writes the references. Then nobody is asked over plain http but a
    mirror that was declared so, credentials stay at the registry and its declared token server, and what they do not open sounds
    like what is not there."""

    def addresses(self, reference: ImageReference) -> tuple[Address, ...]:
        """Return where to ask, in this order; at least one."""
        if self.instead is not None:
            return (mirror_address(self.instead, reference.repository),)
        mirrors = self.mirrors.get(reference.registry, ()) if reference.digest else ()
        host = _DOCKER_HUB_API if reference.registry == DOCKER_HUB else reference.registry
        loopback = is_loopback(host)
        own = Address(
            registry=reference.registry,
            repository=reference.repository,
            url=f"{'http' if loopback else 'https'}://{host}/v2/{reference.repository}",
            plain=loopback and not self.for_strangers,
        )
        return (*(mirror_address(url, reference.repository) for url in mirrors), own)

    def may_get_credentials(self, host: str, address: Address) -> bool:
        """Whether a token server elsewhere, as HOST or HOST:PORT, may be given the credentials for an address."""
        declared = (_TOKEN_SERVERS.get(address.registry), self.token_servers.get(address.registry))
        return not self.for_strangers or host in declared


def mirror_address(mirror: str, repository: str) -> Address:
    """Return where a mirror has a repository. ``/v2`` ends its path unless it is in it, as for a proxy below ``/v2/NAME``."""
    parts = urlsplit(mirror)
    path = parts.path.rstrip("/")
    before, *after = _API.split(path, maxsplit=1)
    prefix = after[0].strip("/") if after else ""
    name = f"{prefix}/{repository}" if prefix else repository
    return Address(
        registry=parts.netloc,
        repository=name,
        url=f"{parts.scheme}://{parts.netloc}{before}/v2/{name}",
        plain=parts.scheme == "http",
    )


def is_loopback(host: str) -> bool:
    """Whether a HOST or HOST:PORT is this machine by its very name."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
