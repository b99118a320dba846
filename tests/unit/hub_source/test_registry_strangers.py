"""The operator asks the registries that strangers name: what its credentials and its mirrors are used for, and what never leaves."""

import json
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from holdfast.api.found import Question, Taking
from holdfast.api.model import ModelSource
from holdfast.sources import registry as registry_module
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_errors import HubError
from holdfast.sources.registry import read_manifest, resolve_image
from holdfast.sources.registry_access import RegistryAccess, mirror_address
from holdfast.sources.registry_credentials import operator_credentials
from holdfast.sources.registry_errors import RegistryError, RegistryForbiddenError, RegistryUnavailableError
from holdfast.sources.registry_exchange import open_session
from holdfast.sources.registry_reference import parse_reference
from unit.gateway.certificates import certificate
from unit.registry import RegistryStandIn, basic

SECRET = ("operator", "very-secret")
LOGIN = basic(*SECRET)
Start = Callable[[str], RegistryStandIn]


class _Names(AbstractResolver):
    """Every name leads to this machine."""

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        flags = socket.AI_NUMERICHOST
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=flags)]

    async def close(self) -> None: ...


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start registries that speak https under names of their own, which the operator's requests are led to."""
    trusted = ssl.create_default_context()

    def connector() -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(resolver=_Names(), ssl=trusted)

    monkeypatch.setattr(registry_module, "open_session", lambda: open_session(connector()))
    with ExitStack() as stack:

        def make(name: str) -> RegistryStandIn:
            folder = tmp_path / name
            folder.mkdir()
            authority, context = certificate(folder, name)
            trusted.load_verify_locations(authority)
            return stack.enter_context(RegistryStandIn(name=name, tls=context))

        yield make


@pytest.fixture
def private(start: Start) -> RegistryStandIn:
    """A registry that wants credentials."""
    made = start("registry.example")
    made.access, made.credentials = "token", SECRET
    return made


@pytest.fixture
def secret(tmp_path: Path) -> Callable[..., Path]:
    """Write the operator's Secret: credentials for these keys."""

    def write(*keys: str, login: tuple[str, str] = SECRET) -> Path:
        path = tmp_path / "config.json"
        auths = {key: {"username": login[0], "password": login[1]} for key in keys}
        path.write_text(json.dumps({"auths": auths}))
        return path

    return write


def access(secret: Path | None = None, **how: Any) -> RegistryAccess:
    return RegistryAccess(credentials=partial(operator_credentials, secret), for_strangers=True, **how)


def reference(host: str, digest: str) -> str:
    return f"{host}/lab/engine@{digest}"


async def refusal(name: str, how: RegistryAccess) -> RegistryError:
    with pytest.raises(RegistryError) as raised:
        await resolve_image(parse_reference(name), how)
    return raised.value


@pytest.mark.parametrize("protocol", ["token", "basic"])
async def test_the_operators_secret_opens_a_private_registry(
    private: RegistryStandIn, secret: Callable[..., Path], protocol: str
) -> None:
    private.access = protocol
    digest = private.push("lab/engine", "v1", platforms=("linux/amd64", "linux/arm64"))
    resolver = HubResolver("http://127.0.0.1:1", registries=access(secret(private.host)))
    found = await resolver.platforms(reference(private.host, digest))
    assert [one.platform for one in found] == ["linux/amd64", "linux/arm64"]
    await resolver.close()


async def test_a_model_in_a_private_registry_is_resolved(private: RegistryStandIn, secret: Callable[..., Path]) -> None:
    digest = private.push_artifact("models/chat", {"config.json": b"{}", "model.safetensors": b"weights"})
    source = ModelSource.parse({"oci": {"reference": f"{private.host}/models/chat@{digest}"}})
    resolver = HubResolver("http://127.0.0.1:1", registries=access(secret(private.host)))
    found = await resolver.resolve(Question(source=source, taking=Taking.SAFETENSORS))
    assert [file.path for file in found.source.files or ()] == ["config.json", "model.safetensors"]
    assert found.texts == {"config.json": "{}"}
    await resolver.close()


async def test_a_secret_that_was_changed_is_used_at_once(private: RegistryStandIn, secret: Callable[..., Path]) -> None:
    digest = private.push("lab/engine", "v1")
    how = access(secret(private.host, login=("operator", "old")))
    assert isinstance(await refusal(reference(private.host, digest), how), RegistryForbiddenError)
    secret(private.host)
    assert (await resolve_image(parse_reference(reference(private.host, digest)), how)).platforms


@pytest.mark.parametrize("key", ["registry.example", "example", "*.example", "registry.example.evil", "xregistry.example", ""])
async def test_credentials_are_for_the_very_name_and_port(
    private: RegistryStandIn, secret: Callable[..., Path], key: str
) -> None:
    """The stand-in has another port than 443, so its bare name is another registry."""
    digest = private.push("lab/engine", "v1")
    await refusal(reference(private.host, digest), access(secret(key)))
    assert LOGIN not in private.authorizations


@pytest.mark.parametrize(("part", "opened"), [("lab", True), ("lab/engine", True), ("la", False), ("other", False)])
async def test_credentials_for_a_part_of_a_registry_open_that_part(
    private: RegistryStandIn, secret: Callable[..., Path], part: str, opened: bool
) -> None:
    digest = private.push("lab/engine", "v1")
    how = access(secret(f"{private.host}/{part}"))
    if opened:
        assert (await resolve_image(parse_reference(reference(private.host, digest)), how)).platforms
    else:
        await refusal(reference(private.host, digest), how)
        assert LOGIN not in private.authorizations


async def test_no_other_registry_sees_them(start: Start, private: RegistryStandIn, secret: Callable[..., Path]) -> None:
    other = start("other.example")
    other.access, other.credentials = "basic", SECRET
    digest = other.push("lab/engine", "v1")
    await refusal(reference(other.host, digest), access(secret(private.host)))
    assert other.authorizations == []


@pytest.mark.parametrize("for_strangers", [True, False])
@pytest.mark.parametrize("protocol", ["basic", "token"])
async def test_a_redirect_takes_neither_credentials_nor_a_challenge_along(
    start: Start, private: RegistryStandIn, secret: Callable[..., Path], protocol: str, for_strangers: bool
) -> None:
    """Where the registry sends on to, somebody else may ask for the password."""
    other = start("other.example")
    other.access, other.credentials, private.access = protocol, SECRET, "open"
    private.redirect = other.url
    digest = other.push("lab/engine", "v1")
    how = replace(access(secret(private.host, other.host)), for_strangers=for_strangers)
    await refusal(reference(private.host, digest), how)
    assert other.requests
    assert other.authorizations == []


async def test_a_redirect_after_the_login_takes_no_token_along(
    start: Start, private: RegistryStandIn, secret: Callable[..., Path]
) -> None:
    other = start("other.example")
    digest = other.push("lab/engine", "v1")
    new_token = private.new_token

    def sent_on_from_now() -> str:
        private.redirect = other.url
        return new_token()

    private.new_token = sent_on_from_now  # type: ignore[method-assign]
    assert (await resolve_image(parse_reference(reference(private.host, digest)), access(secret(private.host)))).platforms
    assert LOGIN in private.authorizations
    assert other.requests
    assert other.authorizations == []


async def test_a_token_server_elsewhere_gets_them_only_where_it_is_declared(
    start: Start, private: RegistryStandIn, secret: Callable[..., Path]
) -> None:
    tokens = start("tokens.example")
    digest = private.push("lab/engine", "v1")
    private.realm = f"{tokens.url}/token"
    told = await refusal(reference(private.host, digest), access(secret(private.host)))
    assert f"sends for a token to {tokens.host}, which is not declared as its token server" in str(told)
    assert tokens.requests == []
    declared = access(secret(private.host), token_servers={private.host: tokens.host})
    await refusal(reference(private.host, digest), declared)  # its tokens are its own, so the registry does not take them
    assert tokens.authorizations == [LOGIN]


async def test_a_token_server_is_not_asked_with_what_another_registry_declared(
    start: Start, private: RegistryStandIn, secret: Callable[..., Path]
) -> None:
    """Somebody's own registry points to a token server that is declared for another one: its token would come to them."""
    tokens = start("tokens.example")
    digest = private.push("lab/engine", "v1")
    private.realm = f"{tokens.url}/token"
    how = access(secret("registry.corp.example", tokens.host), token_servers={"registry.corp.example": tokens.host})
    await refusal(reference(private.host, digest), how)
    assert tokens.authorizations == []


@pytest.mark.parametrize(
    "realm", ["http://127.0.0.1:1/token", "http://tokens.example/token", "file:///etc/passwd", "https://[", "x"]
)
async def test_tokens_come_over_https_only(private: RegistryStandIn, secret: Callable[..., Path], realm: str) -> None:
    digest = private.push("lab/engine", "v1")
    private.realm = realm
    for how in (access(), access(secret(private.host))):
        assert isinstance(await refusal(reference(private.host, digest), how), RegistryForbiddenError | RegistryUnavailableError)


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "\u202e", 7, None])
async def test_a_token_that_is_none_is_refused(private: RegistryStandIn, secret: Callable[..., Path], token: object) -> None:
    digest = private.push("lab/engine", "v1")
    private.token_body = json.dumps({"token": token}).encode()
    told = await refusal(reference(private.host, digest), access(secret(private.host)))
    assert "answered without a token" in str(told)


async def test_what_is_not_there_sounds_like_what_is_not_open(private: RegistryStandIn, secret: Callable[..., Path]) -> None:
    """Whoever writes a reference may not know what the operator's credentials open."""
    there = private.push("lab/engine", "v1")
    absent, other_repository = "sha256:" + "0" * 64, "lab/unknown"
    named = [
        (f"{private.host}/lab/engine@{there}", "wrong"),
        (f"{private.host}/lab/engine@{absent}", SECRET[1]),
        (f"{private.host}/{other_repository}@{absent}", SECRET[1]),
    ]
    told = [(name, await refusal(name, access(secret(private.host, login=(SECRET[0], word))))) for name, word in named]
    assert {str(error).replace(name, "NAME") for name, error in told} == {
        f"the registry {private.host} does not show NAME: it is private or does not exist"
    }
    assert {type(error) for _, error in told} == {RegistryForbiddenError}


async def test_a_secret_that_cannot_be_read_is_the_administrators_matter(
    private: RegistryStandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    digest = private.push("lab/engine", "v1")
    path = tmp_path / "config.json"
    path.write_text('{"auths": {"very-secret')
    told = await refusal(reference(private.host, digest), access(path))
    assert str(told) == "the operator's credentials of registries cannot be read; its administrator finds why in its log"
    assert [str(path) in str(vars(record)) for record in caplog.records if record.levelno == logging.ERROR] == [True]
    assert "very-secret" not in caplog.text


async def test_helpers_that_a_secret_names_are_not_run(
    private: RegistryStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "docker-credential-evil"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"credsStore": "evil", "credHelpers": {private.host: "evil"}}))
    await refusal(reference(private.host, private.push("lab/engine", "v1")), access(path))
    assert not (tmp_path / "ran").exists()


async def test_a_mirror_is_asked_first_and_the_registry_when_it_does_not_help(start: Start) -> None:
    registry, first, second = start("registry.example"), start("first.example"), start("second.example")
    how = access(mirrors={registry.host: (first.url, second.url)})
    digest = registry.push("lab/engine", "v1")
    assert (await resolve_image(parse_reference(reference(registry.host, digest)), how)).platforms
    assert [len(one.requests) for one in (first, second, registry)] == [1, 1, 1]
    second.push("lab/engine", "v1")
    await resolve_image(parse_reference(reference(registry.host, digest)), how)
    assert [len(one.requests) for one in (first, second, registry)] == [2, 2, 1]
    first.push("lab/engine", "v1")
    await resolve_image(parse_reference(reference(registry.host, digest)), how)
    assert [len(one.requests) for one in (first, second, registry)] == [3, 2, 1]


async def test_a_mirror_cannot_lie(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    registry, mirror = start("registry.example"), start("mirror.example")
    digest = registry.push("lab/engine", "v1", platforms=("linux/amd64",))
    mirror.push("lab/engine", "v1", platforms=("linux/amd64",))
    mirror.body = b'{"manifests": []}'
    found = await resolve_image(parse_reference(reference(registry.host, digest)), access(mirrors={registry.host: [mirror.url]}))
    assert [one.platform for one in found.platforms] == ["linux/amd64"]
    assert "a mirror of a registry does not help" in caplog.text


async def test_the_error_is_the_registrys_own_and_names_no_secret_of_a_mirror(start: Start) -> None:
    registry, mirror = start("registry.example"), start("mirror.example")
    mirror.status = 500
    name = reference(registry.host, "sha256:" + "0" * 64)
    told = await refusal(name, access(mirrors={registry.host: [mirror.url]}))
    assert str(told).endswith("check the name and the tag; its mirrors do not show it either")
    assert mirror.host not in str(told)


async def test_a_mirror_is_given_its_own_credentials_and_the_registry_its_own(
    start: Start, private: RegistryStandIn, secret: Callable[..., Path], tmp_path: Path
) -> None:
    mirror = start("mirror.example")
    mirror.access, mirror.credentials = "basic", ("mirror", "other-secret")
    digest = private.push("lab/engine", "v1")
    path = secret(private.host)
    document = json.loads(path.read_text())
    document["auths"][mirror.host] = {"username": "mirror", "password": "other-secret"}
    path.write_text(json.dumps(document))
    await resolve_image(parse_reference(reference(private.host, digest)), access(path, mirrors={private.host: [mirror.url]}))
    assert mirror.authorizations == [basic("mirror", "other-secret")]
    assert basic("mirror", "other-secret") not in private.authorizations


async def test_a_mirror_is_asked_without_tls_only_where_that_was_declared(start: Start) -> None:
    registry = start("registry.example")
    with RegistryStandIn(name="plain.example") as plain:
        digest = plain.push("lab/engine", "v1")
        await refusal(reference(plain.host, digest), access())
        assert plain.requests == []
        declared = access(mirrors={registry.host: [plain.url]})
        assert (await resolve_image(parse_reference(reference(registry.host, digest)), declared)).platforms
        assert registry.requests == []
        await refusal(reference(plain.host, digest), declared)
        assert len(plain.requests) == 1


async def test_a_mirror_without_tls_leads_nowhere_else_without_tls(start: Start) -> None:
    registry = start("registry.example")
    with RegistryStandIn(name="plain.example") as plain, RegistryStandIn(name="other.example") as other:
        plain.redirect = other.url
        digest = other.push("lab/engine", "v1")
        await refusal(reference(registry.host, digest), access(mirrors={registry.host: [plain.url]}))
        assert other.requests == []


async def test_a_mirror_without_tls_may_have_its_tokens_and_logins(start: Start, secret: Callable[..., Path]) -> None:
    registry = start("registry.example")
    with RegistryStandIn(name="plain.example") as plain:
        plain.access, plain.credentials = "token", SECRET
        digest = plain.push("lab/engine", "v1")
        how = access(secret(plain.host), mirrors={registry.host: [plain.url]})
        assert (await resolve_image(parse_reference(reference(registry.host, digest)), how)).platforms


async def test_a_tag_is_asked_of_the_registry_alone(start: Start) -> None:
    """A mirror could say of a tag what it likes."""
    registry, mirror = start("registry.example"), start("mirror.example")
    digest = registry.push("lab/engine", "v1")
    mirror.push("lab/engine", "v1", platforms=("linux/riscv64",))
    found = await resolve_image(parse_reference(f"{registry.host}/lab/engine:v1"), access(mirrors={registry.host: [mirror.url]}))
    assert found.pinned.endswith(digest)
    assert mirror.requests == []


async def test_files_of_a_model_come_from_a_mirror_too(start: Start) -> None:
    registry, mirror = start("registry.example"), start("mirror.example")
    digest = mirror.push_artifact("models/chat", {"config.json": b"{}", "model.safetensors": b"weights"})
    source = ModelSource.parse({"oci": {"reference": f"{registry.host}/models/chat@{digest}"}})
    resolver = HubResolver("http://127.0.0.1:1", registries=access(mirrors={registry.host: [mirror.url]}))
    found = await resolver.resolve(Question(source=source, taking=Taking.SAFETENSORS))
    assert found.source.oci is not None
    assert found.source.oci.reference == f"{registry.host}/models/chat@{digest}"
    assert registry.requests == []
    mirror.blobs = dict.fromkeys(mirror.blobs, b"[]")
    with pytest.raises(HubError):
        await resolver.resolve(Question(source=source, taking=Taking.SAFETENSORS))
    await resolver.close()


@pytest.mark.parametrize(
    ("mirror", "registry", "url"),
    [
        ("https://m.example", "m.example", "https://m.example/v2/lab/engine"),
        ("https://m.example/", "m.example", "https://m.example/v2/lab/engine"),
        ("http://m.example:5000/v2", "m.example:5000", "http://m.example:5000/v2/lab/engine"),
        ("https://m.example/prefix", "m.example", "https://m.example/prefix/v2/lab/engine"),
        ("https://m.example/v2/docker-hub", "m.example", "https://m.example/v2/docker-hub/lab/engine"),
        ("https://m.example/v2x", "m.example", "https://m.example/v2x/v2/lab/engine"),
    ],
)
def test_a_mirrors_url_is_read_as_containerd_reads_it(mirror: str, registry: str, url: str) -> None:
    address = mirror_address(mirror, "lab/engine")
    assert (address.registry, address.url) == (registry, url)
    assert address.plain is mirror.startswith("http:")


async def test_a_token_for_a_proxy_names_the_repository_as_the_proxy_does(start: Start) -> None:
    registry, mirror = start("registry.example"), start("mirror.example")
    mirror.access = "token"
    digest = mirror.push("docker-hub/lab/engine", "v1")
    how = access(mirrors={registry.host: [f"{mirror.url}/v2/docker-hub"]})
    await read_manifest(parse_reference(reference(registry.host, digest)), how)
    assert [path for path in mirror.paths if path.startswith("/token")] == [
        "/token?scope=repository:docker-hub/lab/engine:pull&service=stand-in"
    ]


def test_docker_hubs_own_token_server_is_known() -> None:
    how = access()
    (address,) = how.addresses(parse_reference(f"vllm/vllm-openai@sha256:{'1' * 64}"))
    assert address.url == "https://registry-1.docker.io/v2/vllm/vllm-openai"
    assert how.may_get_credentials("auth.docker.io", address)
    assert not how.may_get_credentials("auth.docker.io.evil.example", address)
    (other,) = how.addresses(parse_reference(f"ghcr.io/a/b@sha256:{'1' * 64}"))
    assert not how.may_get_credentials("auth.docker.io", other)
