"""From an image's tag to its digest, over the registry's own HTTP API.

Facts from the OCI distribution specification 1.1 (``spec.md``: pulling manifests, ``Docker-Content-Digest``) and the token
protocol that registries share (distribution/distribution: ``docs/content/spec/auth/token.md``). A digest is believed only when it
was computed here from the manifest's own bytes. Plain HTTP is spoken to loopback addresses only.
"""

import asyncio
import base64
import hashlib
import ipaddress
import json
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from holdfast.api.revision import Platform

_ACCEPT: Final = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_MANIFEST_LIMIT: Final = 4 * 1024 * 1024
"""Bytes. The specification lets registries refuse larger manifests; nothing honest is larger."""
_TOKEN_LIMIT: Final = 256 * 1024
_TIMEOUT: Final = aiohttp.ClientTimeout(total=60, connect=10)
_PLATFORM_MAX_LENGTH: Final = 128
_PLATFORMS_MAX: Final = 16
_DOCKER_HUB: Final = "docker.io"
_DOCKER_HUB_API: Final = "registry-1.docker.io"

_REGISTRY = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")
_REPOSITORY = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHALLENGE = re.compile(r'([a-zA-Z_]+)="([^"]*)"')


class RegistryError(Exception):
    """The registry did not give a digest. The text says what was asked, what came back and what to do."""


class ImageReferenceError(RegistryError):
    """The text is not a reference to an image."""


class ImageNotFoundError(RegistryError):
    """The registry has no such image or tag."""


class RegistryForbiddenError(RegistryError):
    """The registry wants other credentials than the ones that were offered."""


class RegistryUnavailableError(RegistryError):
    """The registry was not reached, or it is in trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """A reference in full: no part of it is implied."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def pinned(self) -> str | None:
        """The form for ``spec.model.engine.image``: registry, repository and digest, without the tag; None without a digest."""
        return f"{self.registry}/{self.repository}@{self.digest}" if self.digest else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedImage:
    """What a tag stood for when it was asked for."""

    asked: ImageReference
    pinned: str
    """registry/repository@sha256:…"""
    platforms: tuple[Platform, ...]
    """The images of an index, sorted by ``os/architecture``; empty for a single manifest, which does not say."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Credentials:
    """Name and password, or token, for one registry. Never shown."""

    username: str
    password: str


def parse_reference(text: str) -> ImageReference:
    """Read an image reference as container tools do: ``vllm/vllm-openai:v1`` is ``docker.io/vllm/vllm-openai:v1``.

    Raises:
        ImageReferenceError: it is malformed, or names neither tag nor digest (``latest`` is never implied).
    """
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ImageReferenceError(f"{text!r}: a digest is sha256: and 64 lower-case hex digits")
    first, slash, remainder = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, path = first, remainder
    else:
        registry, path = _DOCKER_HUB, rest
    path, colon, tag = path.partition(":")
    if registry == _DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    if not _REGISTRY.fullmatch(registry) or not _REPOSITORY.fullmatch(path) or (colon and not _TAG.fullmatch(tag)):
        raise ImageReferenceError(f"{text!r} is not an image; write registry/name:tag or registry/name@sha256:…")
    if not colon and not at:
        raise ImageReferenceError(f"{text!r} names no version; add the tag that was tested, such as {text}:v1.2.3, or a digest")
    return ImageReference(registry=registry, repository=path, tag=tag or None, digest=digest or None)


async def resolve_image(
    reference: ImageReference, *, credentials: Credentials | None = None, https_only: bool = False
) -> ResolvedImage:
    """Ask the registry which digest the reference stands for now, and check it against the bytes of the manifest.

    With a digest in the reference, the registry has to have it. `https_only` is for references that strangers wrote: no request
    goes anywhere without a certificate that holds, not even to loopback or by a redirect.

    Raises:
        RegistryError: one of its kinds above; every failure is one of them.
    """
    computed, manifest = await _verified_manifest(reference, credentials, None, https_only=https_only)
    return ResolvedImage(
        asked=reference,
        pinned=f"{reference.registry}/{reference.repository}@{computed}",
        platforms=_platforms(manifest, reference),
    )


async def read_manifest(
    reference: ImageReference, *, credentials: Credentials | None = None, mirror: str | None = None, https_only: bool = False
) -> bytes:
    """Return the bytes of the manifest that a reference with a digest names. `mirror` is the address of a registry to ask instead.

    Raises:
        RegistryError: one of its kinds above; every failure is one of them.
    """
    _, manifest = await _verified_manifest(reference, credentials, mirror, https_only=https_only)
    return manifest


async def read_small_blob(reference: ImageReference, digest: str, *, max_bytes: int, https_only: bool = False) -> bytes:
    """Return the bytes of a blob of a repository, checked against its digest.

    Raises:
        RegistryError: one of its kinds above; every failure is one of them.
    """
    async with _session(https_only=https_only) as session:
        try:
            content = await _Exchange(session, reference, None, None).blob(digest, max_bytes)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RegistryUnavailableError(f"the registry {reference.registry} was not reached: {_said(error)}") from error
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise RegistryUnavailableError(f"the registry {reference.registry} sent other bytes than {digest}")
    return content


async def authorize(
    reference: ImageReference, challenge: str, *, credentials: Credentials | None = None, mirror: str | None = None
) -> str:
    """Return the Authorization header for what a registry asked with its ``WWW-Authenticate`` header.

    Raises:
        RegistryError: one of its kinds above; every failure is one of them.
    """
    async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session:
        try:
            return await _Exchange(session, reference, credentials, mirror).authorize(challenge)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RegistryUnavailableError(f"the registry {reference.registry} was not reached: {_said(error)}") from error


def repository_url(reference: ImageReference, mirror: str | None = None) -> str:
    """Return the address below which the API has a repository's manifests and blobs, without a slash at its end."""
    host = _DOCKER_HUB_API if reference.registry == _DOCKER_HUB else reference.registry
    scheme = "http" if _is_loopback(host) else "https"
    return f"{mirror.rstrip('/') if mirror else f'{scheme}://{host}'}/v2/{reference.repository}"


async def _verified_manifest(
    reference: ImageReference, credentials: Credentials | None, mirror: str | None, *, https_only: bool = False
) -> tuple[str, bytes]:
    """Return the digest, computed here, and the bytes of the manifest that the reference stands for now."""
    async with _session(https_only=https_only) as session:
        exchange = _Exchange(session, reference, credentials, mirror)
        try:
            promised = reference.digest or await exchange.promised_digest()
            manifest = await exchange.manifest(promised or reference.tag or "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RegistryUnavailableError(f"the registry {reference.registry} was not reached: {_said(error)}") from error
    computed = f"sha256:{await asyncio.to_thread(lambda: hashlib.sha256(manifest).hexdigest())}"
    if promised is not None and computed != promised:
        raise RegistryUnavailableError(
            f"the registry {reference.registry} promised {promised} for {reference} and sent {computed}; "
            "something between here and the registry changes what it sends"
        )
    return computed, manifest


def _session(*, https_only: bool) -> aiohttp.ClientSession:
    async def before(_session: aiohttp.ClientSession, _context: object, start: aiohttp.TraceRequestStartParams) -> None:
        _refuse_plain(start.url.scheme)

    async def again(_session: aiohttp.ClientSession, _context: object, redirect: aiohttp.TraceRequestRedirectParams) -> None:
        target = redirect.response.headers.get("Location", "")
        _refuse_plain(urlsplit(target).scheme or redirect.url.scheme)

    traces = []
    if https_only:
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(before)
        trace.on_request_redirect.append(again)
        traces.append(trace)
    return aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True, trace_configs=traces)  # trust_env: the usual proxy variables


def _refuse_plain(scheme: str) -> None:
    if scheme.lower() != "https":
        raise RegistryForbiddenError("a registry is asked over https only")


class _Exchange:
    """The requests about one reference, with the authorization that the registry asked for."""

    def __init__(
        self, session: aiohttp.ClientSession, reference: ImageReference, credentials: Credentials | None, mirror: str | None
    ) -> None:
        self._session = session
        self._reference = reference
        self._credentials = credentials
        self._authorization: str | None = None
        self._base = repository_url(reference, mirror)

    async def promised_digest(self) -> str | None:
        """Return what the registry says that the tag stands for; the header is optional."""
        async with await self._request("HEAD", f"/manifests/{self._reference.tag or ''}") as response:
            digest = response.headers.get("Docker-Content-Digest", "")
        return digest if _DIGEST.fullmatch(digest) else None

    async def manifest(self, version: str) -> bytes:
        """Return the bytes of the manifest."""
        async with await self._request("GET", f"/manifests/{version}") as response:
            return await _bounded(response, _MANIFEST_LIMIT, str(self._reference))

    async def blob(self, digest: str, max_bytes: int) -> bytes:
        """Return the bytes of a blob."""
        async with await self._request("GET", f"/blobs/{digest}") as response:
            return await _bounded(response, max_bytes, digest)

    async def _request(self, method: str, path: str) -> aiohttp.ClientResponse:
        response = await self._send(method, path)
        if response.status == 401 and self._authorization is None:
            challenge = response.headers.get("WWW-Authenticate", "")
            response.release()
            self._authorization = await self.authorize(challenge)
            response = await self._send(method, path)
        if response.status == 200:
            return response
        status, headers = response.status, response.headers
        response.release()
        raise self._refusal(status, headers.get("Retry-After"))

    async def _send(self, method: str, path: str) -> aiohttp.ClientResponse:
        headers = {"Accept": _ACCEPT}
        if self._authorization is not None:
            headers["Authorization"] = self._authorization
        # aiohttp drops the Authorization header when a redirect leads to another origin.
        return await self._session.request(method, self._base + path, headers=headers, allow_redirects=True)

    async def authorize(self, challenge: str) -> str:
        """Return the Authorization header that a challenge asks for."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self._credentials is not None:
            return _basic(self._credentials)
        fields = dict(_CHALLENGE.findall(rest))
        realm = fields.get("realm", "")
        if scheme.lower() != "bearer" or not realm:
            raise self._refusal(401, None)
        target = urlsplit(realm)
        if target.scheme != "https" and not (target.scheme == "http" and _is_loopback(target.netloc)):
            raise RegistryForbiddenError(
                f"the registry {self._reference.registry} wants credentials over {realm}, which is not https"
            )
        query = {"scope": f"repository:{self._reference.repository}:pull"}
        if "service" in fields:
            query["service"] = fields["service"]
        headers = {}
        if self._credentials is not None:
            headers["Authorization"] = _basic(self._credentials)
        async with self._session.get(realm, params=query, headers=headers) as response:
            if response.status != 200:
                raise self._refusal(response.status, response.headers.get("Retry-After"))
            body = await _bounded(response, _TOKEN_LIMIT, realm)
        return f"Bearer {_token(body, realm)}"

    def _refusal(self, status: int, retry_after: str | None) -> RegistryError:
        name = str(self._reference)
        if status == 404:
            return ImageNotFoundError(f"{name} does not exist (HTTP 404); check the name and the tag")
        if status in (401, 403):
            offered = "with these credentials" if self._credentials else "without credentials"
            return RegistryForbiddenError(
                f"the registry {self._reference.registry} does not show {name} {offered} (HTTP {status}): it is private or does "
                "not exist; log in with a container tool that writes ~/.docker/config.json, or name the image by its digest"
            )
        if status == 429:
            when = f"; try again in {retry_after} s" if retry_after and retry_after.isdigit() else "; try again later"
            return RegistryUnavailableError(f"the registry {self._reference.registry} limits requests (HTTP 429){when}")
        return RegistryUnavailableError(f"the registry {self._reference.registry} answered HTTP {status} for {name}")


def _basic(credentials: Credentials) -> str:
    """RFC 7617."""
    return "Basic " + base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()


async def _bounded(response: aiohttp.ClientResponse, limit: int, what: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > limit:
            raise RegistryUnavailableError(f"the answer for {what} is larger than {limit} bytes")
    return bytes(body)


def _token(body: bytes, realm: str) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        token = answer.get("token") or answer.get("access_token")
        if isinstance(token, str):
            return token
    raise RegistryUnavailableError(f"{realm} answered without a token")


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
        if isinstance(digest, str) and _DIGEST.fullmatch(digest) and len(name) <= _PLATFORM_MAX_LENGTH:
            found.setdefault(name, digest)
    return tuple(Platform(platform=name, digest=digest) for name, digest in sorted(found.items()))[:_PLATFORMS_MAX]


def _is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
