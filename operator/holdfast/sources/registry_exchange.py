"""The requests about one image at one address: redirects, the token protocol, and who may see an Authorization header.

Facts from the OCI distribution specification 1.1 (``spec.md``: pulling manifests, ``Docker-Content-Digest``) and the token
protocol that registries share (distribution/distribution: ``docs/content/spec/auth/token.md``).
"""

import asyncio
import base64
import json
import re
from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp

from holdfast.sources.registry_access import Address, Credentials, RegistryAccess, is_loopback
from holdfast.sources.registry_errors import (
    ImageNotFoundError,
    RegistryError,
    RegistryForbiddenError,
    RegistryUnavailableError,
)
from holdfast.sources.registry_reference import DIGEST, ImageReference

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
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_REDIRECTS_MAX: Final = 5
_CHALLENGE: Final = re.compile(r'([a-zA-Z_]+)="([^"]*)"')


def open_session(connector: aiohttp.BaseConnector | None = None) -> aiohttp.ClientSession:
    """Return a session that keeps nothing between requests and goes through the usual proxies of the environment."""
    return aiohttp.ClientSession(
        connector=connector,
        timeout=_TIMEOUT,
        trust_env=True,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
    )


class Exchange:
    """The requests about one reference, with the authorization that the registry asked for."""

    def __init__(
        self, session: aiohttp.ClientSession, reference: ImageReference, address: Address, access: RegistryAccess
    ) -> None:
        self._session = session
        self._reference = reference
        self.address: Final = address
        self._access = access
        self._authorization: str | None = None
        self._offered = False

    async def promised_digest(self) -> str | None:
        """Return what the registry says that the tag stands for; the header is optional."""
        async with await self._request("HEAD", f"/manifests/{self._reference.tag or ''}") as response:
            digest = response.headers.get("Docker-Content-Digest", "")
        return digest if DIGEST.fullmatch(digest) else None

    async def manifest(self, version: str) -> bytes:
        """Return the bytes of the manifest."""
        async with await self._request("GET", f"/manifests/{version}") as response:
            return await _bounded(response, _MANIFEST_LIMIT, str(self._reference))

    async def blob(self, digest: str, max_bytes: int) -> bytes:
        """Return the bytes of a blob."""
        async with await self._request("GET", f"/blobs/{digest}") as response:
            return await _bounded(response, max_bytes, digest)

    async def authorize(self, challenge: str) -> str:
        """Return the Authorization header that a challenge of the address asks for."""
        scheme, _, rest = challenge.partition(" ")
        fields = dict(_CHALLENGE.findall(rest))
        realm = fields.get("realm", "")
        credentials = await asyncio.to_thread(self._access.credentials, self.address.registry, self.address.repository)
        self._offered = credentials is not None
        if scheme.lower() == "basic" and credentials is not None:
            self._check_scheme(self.address.url)
            return _basic(credentials)
        if scheme.lower() != "bearer" or not realm:
            raise self._refusal(401, None)
        self._check_token_server(realm, credentials)
        headers = {"Authorization": _basic(credentials)} if credentials is not None else {}
        query = {"scope": f"repository:{self.address.repository}:pull"}
        if "service" in fields:
            query["service"] = fields["service"]
        async with self._session.get(realm, params=query, headers=headers, allow_redirects=False) as response:
            if response.status != 200:
                raise self._refusal(response.status, response.headers.get("Retry-After"))
            body = await _bounded(response, _TOKEN_LIMIT, "a token")
        return f"Bearer {_token(body, self.address.registry)}"

    def _check_token_server(self, realm: str, credentials: Credentials | None) -> None:
        """Take or refuse what the registry names as its token server.

        Raises:
            RegistryForbiddenError: it is not to be asked, or not to be given these credentials.
        """
        target = urlsplit(realm)
        same = _origin(realm) == _origin(self.address.url)
        local = is_loopback(target.netloc) and not self._access.for_strangers
        if target.scheme != "https" and not (target.scheme == "http" and (local or (same and self.address.plain))):
            raise RegistryForbiddenError(
                f"the registry {self.address.registry} wants credentials over {ascii(realm)[1:-1]}, which is not https"
            )
        if credentials is not None and not same and not self._access.may_get_credentials(target.netloc, self.address):
            raise RegistryForbiddenError(
                f"the registry {self.address.registry} sends for a token to {ascii(target.netloc)[1:-1]}, which is not declared"
                " as its token server"
            )

    async def _request(self, method: str, path: str) -> aiohttp.ClientResponse:
        response, own = await self._send(method, path)
        if response.status == 401 and own and self._authorization is None:
            challenge = response.headers.get("WWW-Authenticate", "")
            response.release()
            self._authorization = await self.authorize(challenge)
            response, own = await self._send(method, path)
        if response.status == 200:
            return response
        status, headers = response.status, response.headers
        response.release()
        raise self._refusal(status, headers.get("Retry-After"))

    async def _send(self, method: str, path: str) -> tuple[aiohttp.ClientResponse, bool]:
        """Return the answer, and whether the address itself gave it. Nothing secret follows a redirect to another origin."""
        url, own = self.address.url + path, True
        for _ in range(_REDIRECTS_MAX + 1):
            self._check_scheme(url)
            headers = {"Accept": _ACCEPT}
            if own and self._authorization is not None:
                headers["Authorization"] = self._authorization
            response = await self._session.request(method, url, headers=headers, allow_redirects=False)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response, own
            response.release()
            url = urljoin(url, location)
            own = own and _origin(url) == _origin(self.address.url)
        raise RegistryUnavailableError(f"the registry {self.address.registry} redirects without end")

    def _check_scheme(self, url: str) -> None:
        if not self._access.for_strangers or urlsplit(url).scheme == "https":
            return
        if not self.address.plain or _origin(url) != _origin(self.address.url):
            raise RegistryForbiddenError("a registry is asked over https only")

    def _refusal(self, status: int, retry_after: str | None) -> RegistryError:
        name, registry = str(self._reference), self.address.registry
        if self._access.for_strangers and (status in (401, 403) or (status == 404 and self._offered)):
            # Whoever wrote the reference may not know what these credentials open: the same words, whatever there is.
            return RegistryForbiddenError(f"the registry {registry} does not show {name}: it is private or does not exist")
        if status == 404:
            return ImageNotFoundError(f"{name} does not exist (HTTP 404); check the name and the tag")
        if status in (401, 403):
            offered = "with these credentials" if self._offered else "without credentials"
            return RegistryForbiddenError(
                f"the registry {registry} does not show {name} {offered} (HTTP {status}): it is private or does "
                f"not exist; {self._access.advice}"
            )
        if status == 429:
            when = f"; try again in {retry_after} s" if retry_after and retry_after.isdecimal() else "; try again later"
            return RegistryUnavailableError(f"the registry {registry} limits requests (HTTP 429){when}")
        return RegistryUnavailableError(f"the registry {registry} answered HTTP {status} for {name}")


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


def _token(body: bytes, registry: str) -> str:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        token = answer.get("token") or answer.get("access_token")
        if isinstance(token, str) and token.isascii() and token.isprintable():
            return token
    raise RegistryUnavailableError(f"the token server of {registry} answered without a token")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
