"""From an image's tag to its digest, and what a digest names, over the registry's own HTTP API.

A digest is believed only when it was computed here from the bytes themselves. Plain HTTP is spoken to loopback addresses, and to
mirrors that were declared so.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import aiohttp

from holdfast.api.revision import Platform
from holdfast.sources.registry_access import Address, RegistryAccess
from holdfast.sources.registry_errors import RegistryError, RegistryUnavailableError
from holdfast.sources.registry_exchange import Exchange, open_session
from holdfast.sources.registry_reference import DIGEST, ImageReference

logger = logging.getLogger(__name__)

_PLATFORM_MAX_LENGTH: Final = 128
_PLATFORMS_MAX: Final = 16

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedImage:
    """What a tag stood for when it was asked for."""

    asked: ImageReference
    pinned: str
    """registry/repository@sha256:…"""
    platforms: tuple[Platform, ...]
    """The images of an index, sorted by ``os/architecture``; empty for a single manifest, which does not say."""


async def resolve_image(reference: ImageReference, access: RegistryAccess, *, seconds: float | None = None) -> ResolvedImage:
    """Ask which digest the reference stands for now, and check it against the bytes of the manifest.

    With a digest in the reference, the registry or one of its mirrors has to have it; each may take so many `seconds`.

    Raises:
        RegistryError: one of its kinds; every failure is one of them.
    """

    async def ask(exchange: Exchange) -> ResolvedImage:
        computed, manifest = await _verified_manifest(exchange, reference)
        return ResolvedImage(
            asked=reference,
            pinned=f"{reference.registry}/{reference.repository}@{computed}",
            platforms=_platforms(manifest, reference),
        )

    return await _first(reference, access, ask, seconds)


async def read_manifest(reference: ImageReference, access: RegistryAccess) -> bytes:
    """Return the bytes of the manifest that a reference with a digest names.

    Raises:
        RegistryError: one of its kinds; every failure is one of them.
    """

    async def ask(exchange: Exchange) -> bytes:
        return (await _verified_manifest(exchange, reference))[1]

    return await _first(reference, access, ask)


async def read_small_blob(reference: ImageReference, digest: str, access: RegistryAccess, *, max_bytes: int) -> bytes:
    """Return the bytes of a blob of a repository, checked against its digest.

    Raises:
        RegistryError: one of its kinds; every failure is one of them.
    """

    async def ask(exchange: Exchange) -> bytes:
        content = await exchange.blob(digest, max_bytes)
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            raise RegistryUnavailableError(f"the registry {exchange.address.registry} sent other bytes than {digest}")
        return content

    return await _first(reference, access, ask)


async def authorize(reference: ImageReference, address: Address, challenge: str, access: RegistryAccess) -> str:
    """Return the Authorization header for what an address asked with its ``WWW-Authenticate`` header.

    Raises:
        RegistryError: one of its kinds; every failure is one of them.
    """
    async with open_session() as session:
        exchange = Exchange(session, reference, address, access)
        return await _asked(address, exchange.authorize(challenge), None)


async def _first(
    reference: ImageReference,
    access: RegistryAccess,
    ask: Callable[[Exchange], Awaitable[_T]],
    seconds: float | None = None,
) -> _T:
    """Return the first good answer of those who may have it; what a mirror lacks or says wrongly is asked of the next."""
    *mirrors, last = access.addresses(reference)
    async with open_session() as session:
        for address in mirrors:
            try:
                return await _asked(address, ask(Exchange(session, reference, address, access)), seconds)
            except RegistryError as error:
                logger.warning(
                    "a mirror of a registry does not help",
                    extra={"mirror": address.registry, "image": str(reference), "error": str(error)[:512]},
                )
        try:
            return await _asked(last, ask(Exchange(session, reference, last, access)), seconds)
        except RegistryError as error:
            raise (type(error)(f"{error}; its mirrors do not show it either") if mirrors else error) from error


async def _asked(address: Address, answer: Awaitable[_T], seconds: float | None) -> _T:
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise RegistryUnavailableError(f"the registry {address.registry} was not reached: {_said(error)}") from error


async def _verified_manifest(exchange: Exchange, reference: ImageReference) -> tuple[str, bytes]:
    """Return the digest, computed here, and the bytes of the manifest that the reference stands for now."""
    promised = reference.digest or await exchange.promised_digest()
    manifest = await exchange.manifest(promised or reference.tag or "")
    computed = f"sha256:{await asyncio.to_thread(lambda: hashlib.sha256(manifest).hexdigest())}"
    if promised is not None and computed != promised:
        raise RegistryUnavailableError(
            f"the registry {exchange.address.registry} promised {promised} for {reference} and sent {computed}; "
            "something between here and the registry changes what it sends"
        )
    return computed, manifest


def _platforms(manifest: bytes, reference: ImageReference) -> tuple[Platform, ...]:
    try:
        document = json.loads(manifest)
    except (ValueError, RecursionError) as error:
        raise RegistryUnavailableError(f"the registry {reference.registry} sent no manifest for {reference}") from error
    entries = document.get("manifests") if isinstance(document, dict) else None
    found: dict[str, str] = {}
    for entry in entries if isinstance(entries, list) else []:
        platform = entry.get("platform") if isinstance(entry, dict) else None
        if not isinstance(platform, dict) or platform.get("os") == "unknown":  # attestations are listed as unknown/unknown
            continue
        name = "/".join(str(platform[key]) for key in ("os", "architecture", "variant") if platform.get(key))
        digest = entry.get("digest")
        if isinstance(digest, str) and DIGEST.fullmatch(digest) and len(name) <= _PLATFORM_MAX_LENGTH:
            found.setdefault(name, digest)
    return tuple(Platform(platform=name, digest=digest) for name, digest in sorted(found.items()))[:_PLATFORMS_MAX]


def _said(error: BaseException) -> str:
    return str(error) or ("it did not answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
