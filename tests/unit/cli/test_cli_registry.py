"""From a tag to a digest: only what was computed from the registry's own bytes is believed."""

from collections.abc import Iterator

import pytest

from holdfast.sources.registry import resolve_image
from holdfast.sources.registry_access import Credentials, RegistryAccess
from holdfast.sources.registry_errors import (
    ImageNotFoundError,
    ImageReferenceError,
    RegistryForbiddenError,
    RegistryUnavailableError,
)
from holdfast.sources.registry_reference import parse_reference
from unit.registry import RegistryStandIn

ANONYMOUS = RegistryAccess()
DIGEST = "sha256:" + "1" * 64


def offering(password: str) -> RegistryAccess:
    return RegistryAccess(credentials=lambda registry, repository: Credentials(username="me", password=password))


@pytest.fixture
def registry() -> Iterator[RegistryStandIn]:
    with RegistryStandIn() as running:
        yield running


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("vllm/vllm-openai:v0.11.0", "docker.io/vllm/vllm-openai:v0.11.0"),
        ("busybox:1", "docker.io/library/busybox:1"),
        ("docker.io/busybox:1", "docker.io/library/busybox:1"),
        ("ghcr.io/a/b/c:x_1.2-3", "ghcr.io/a/b/c:x_1.2-3"),
        ("localhost:5000/engine:1", "localhost:5000/engine:1"),
        ("localhost/engine:1", "localhost/engine:1"),
        (f"ghcr.io/a/b@{DIGEST}", f"ghcr.io/a/b@{DIGEST}"),
        (f"ghcr.io/a/b:v1@{DIGEST}", f"ghcr.io/a/b:v1@{DIGEST}"),
    ],
)
def test_a_reference_is_read_as_container_tools_do(text: str, full: str) -> None:
    assert str(parse_reference(text)) == full


@pytest.mark.parametrize(
    "text",
    [
        "",
        "busybox",
        "ghcr.io/a/b",
        "a/b:",
        "A/b:1",
        "a//b:1",
        "a/b:v 1",
        "a/b@sha256:12",
        f"a/b@{DIGEST.upper()}",
        "../a:1",
        "https://ghcr.io/a:1",
    ],
)
def test_what_names_no_version_or_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ImageReferenceError):
        parse_reference(text)


def test_a_digest_makes_the_tag_superfluous() -> None:
    assert parse_reference(f"ghcr.io/a/b:v1@{DIGEST}").pinned == f"ghcr.io/a/b@{DIGEST}"


async def test_a_tag_becomes_the_digest_of_the_index(registry: RegistryStandIn) -> None:
    digest = registry.push("lab/engine", "v1", platforms=("linux/arm64", "linux/amd64", "unknown/unknown"))
    found = await resolve_image(parse_reference(f"{registry.host}/lab/engine:v1"), ANONYMOUS)
    assert found.pinned == f"{registry.host}/lab/engine@{digest}"
    assert [one.platform for one in found.platforms] == ["linux/amd64", "linux/arm64"]
    assert [(method, path) for method, path, _ in registry.requests] == [
        ("HEAD", "/v2/lab/engine/manifests/v1"),
        ("GET", f"/v2/lab/engine/manifests/{digest}"),
    ]


async def test_without_the_header_the_digest_is_computed(registry: RegistryStandIn) -> None:
    digest = registry.push("lab/engine", "v1")
    registry.digest_header = None
    assert (await resolve_image(parse_reference(f"{registry.host}/lab/engine:v1"), ANONYMOUS)).pinned.endswith(digest)


async def test_bytes_that_are_not_what_the_header_promised_are_refused(registry: RegistryStandIn) -> None:
    registry.push("lab/engine", "v1")
    registry.body = b'{"manifests": []}'
    with pytest.raises(RegistryUnavailableError, match=r"promised sha256:.* and sent sha256:"):
        await resolve_image(parse_reference(f"{registry.host}/lab/engine:v1"), ANONYMOUS)


async def test_a_header_that_is_no_digest_is_not_believed(registry: RegistryStandIn) -> None:
    digest = registry.push("lab/engine", "v1")
    registry.digest_header = "md5:1234"
    assert (await resolve_image(parse_reference(f"{registry.host}/lab/engine:v1"), ANONYMOUS)).pinned.endswith(digest)


async def test_a_manifest_without_end_is_not_read(registry: RegistryStandIn) -> None:
    registry.push("lab/engine", "v1")
    registry.body = b"x" * (4 * 1024 * 1024 + 1)
    with pytest.raises(RegistryUnavailableError, match="is larger than 4194304 bytes"):
        await resolve_image(parse_reference(f"{registry.host}/lab/engine:v1"), ANONYMOUS)


async def test_what_is_no_manifest_is_refused(registry: RegistryStandIn) -> None:
    registry.push("lab/engine", "v1")
    registry.digest_header = None
    registry.body = b"<html>"
    with pytest.raises(RegistryUnavailableError, match="sent no manifest"):
        await resolve_image(parse_reference(f"{registry.host}/lab/engine:v1"), ANONYMOUS)


async def test_an_anonymous_token_is_fetched_for_pulling_this_repository_only(registry: RegistryStandIn) -> None:
    registry.push("lab/engine", "v1")
    registry.access = "token"
    await resolve_image(parse_reference(f"{registry.host}/lab/engine:v1"), ANONYMOUS)
    assert [path for _, path, _ in registry.requests if path.startswith("/token")] == [
        "/token?scope=repository:lab/engine:pull&service=stand-in"
    ]


@pytest.mark.parametrize("access", ["token", "basic"])
async def test_credentials_open_a_private_repository(registry: RegistryStandIn, access: str) -> None:
    digest = registry.push("lab/engine", "v1")
    registry.access, registry.credentials = access, ("me", "pass:word")
    reference = parse_reference(f"{registry.host}/lab/engine:v1")
    with pytest.raises(RegistryForbiddenError, match=r"without credentials \(HTTP 401\)"):
        await resolve_image(reference, ANONYMOUS)
    with pytest.raises(RegistryForbiddenError, match=r"with these credentials \(HTTP 401\)"):
        await resolve_image(reference, offering("wrong"))
    found = await resolve_image(reference, offering("pass:word"))
    assert found.pinned.endswith(digest)


async def test_credentials_are_not_sent_before_they_are_asked_for(registry: RegistryStandIn) -> None:
    registry.push("lab/engine", "v1")
    await resolve_image(parse_reference(f"{registry.host}/lab/engine:v1"), offering("p"))
    assert all("authorization" not in headers for _, _, headers in registry.requests)


async def test_credentials_do_not_go_to_a_realm_without_tls(registry: RegistryStandIn) -> None:
    registry.push("lab/engine", "v1")
    registry.access, registry.realm = "token", "http://tokens.example/token"
    with pytest.raises(RegistryForbiddenError, match=r"over http://tokens\.example/token, which is not https"):
        await resolve_image(parse_reference(f"{registry.host}/lab/engine:v1"), offering("p"))


async def test_a_token_does_not_follow_a_redirect_to_another_origin(registry: RegistryStandIn) -> None:
    registry.push("lab/engine", "v1")
    registry.access = "token"
    with RegistryStandIn() as elsewhere:
        digest = elsewhere.push("lab/engine", "v1")
        reference = parse_reference(f"{registry.host}/lab/engine:v1")
        await resolve_image(reference, ANONYMOUS)
        registry.redirect = f"http://{elsewhere.host}"
        assert (await resolve_image(reference, ANONYMOUS)).pinned.endswith(digest)
        assert all("authorization" not in headers for _, _, headers in elsewhere.requests)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"token": 7}', b"<html>"])
async def test_a_token_service_without_a_token_is_refused(registry: RegistryStandIn, body: bytes) -> None:
    registry.push("lab/engine", "v1")
    registry.access, registry.token_body = "token", body
    with pytest.raises(RegistryUnavailableError, match="answered without a token"):
        await resolve_image(parse_reference(f"{registry.host}/lab/engine:v1"), ANONYMOUS)


async def test_a_tag_that_is_not_there(registry: RegistryStandIn) -> None:
    with pytest.raises(ImageNotFoundError, match=r"lab/engine:v9 does not exist \(HTTP 404\); check the name and the tag"):
        await resolve_image(parse_reference(f"{registry.host}/lab/engine:v9"), ANONYMOUS)


@pytest.mark.parametrize(
    ("status", "retry_after", "said"),
    [(429, "17", "try again in 17 s"), (429, None, "try again later"), (500, None, "answered HTTP 500 for")],
)
async def test_a_registry_in_trouble(registry: RegistryStandIn, status: int, retry_after: str | None, said: str) -> None:
    registry.status, registry.retry_after = status, retry_after
    with pytest.raises(RegistryUnavailableError, match=said):
        await resolve_image(parse_reference(f"{registry.host}/lab/engine:v1"), ANONYMOUS)


async def test_a_registry_that_is_not_there() -> None:
    with pytest.raises(RegistryUnavailableError, match=r"the registry registry\.invalid was not reached"):
        await resolve_image(parse_reference("registry.invalid/lab/engine:v1"), ANONYMOUS)


async def test_plain_http_is_spoken_to_loopback_only(monkeypatch: pytest.MonkeyPatch, registry: RegistryStandIn) -> None:
    """A name that leads to the stand-in, but is not loopback by itself: TLS is tried, and fails."""
    import aiohttp

    asked: list[str] = []
    request = aiohttp.ClientSession.request

    def spy(self: aiohttp.ClientSession, method: str, url: str, **options: object) -> object:
        asked.append(url)
        return request(self, method, url, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(aiohttp.ClientSession, "request", spy)
    with pytest.raises(RegistryUnavailableError):
        await resolve_image(parse_reference("10.255.255.1.invalid:5000/lab/engine:v1"), ANONYMOUS)
    assert asked == ["https://10.255.255.1.invalid:5000/v2/lab/engine/manifests/v1"]


def test_credentials_are_never_shown() -> None:
    assert "pass" not in repr(Credentials(username="me", password="pass"))
