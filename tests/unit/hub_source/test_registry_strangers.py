"""The operator asks the registries that strangers name: what its credentials are used for, and what never leaves."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.api.found import Question, Taking
from holdfast.api.model import ModelSource
from holdfast.sources.hub import HubResolver
from holdfast.sources.registry import resolve_image
from holdfast.sources.registry_errors import RegistryForbiddenError, RegistryUnavailableError
from holdfast.sources.registry_reference import parse_reference
from unit.hub_source.registries import SECRET, Secret, Start, access, reference, refusal
from unit.registry import RegistryStandIn, basic

LOGIN = basic(*SECRET)


@pytest.mark.parametrize("protocol", ["token", "basic"])
async def test_the_operators_secret_opens_a_private_registry(private: RegistryStandIn, secret: Secret, protocol: str) -> None:
    private.access = protocol
    digest = private.push("lab/engine", "v1", platforms=("linux/amd64", "linux/arm64"))
    resolver = HubResolver("http://127.0.0.1:1", registries=access(secret(private.host)))
    found = await resolver.platforms(reference(private.host, digest))
    assert [one.platform for one in found] == ["linux/amd64", "linux/arm64"]
    await resolver.close()


async def test_a_model_in_a_private_registry_is_resolved(private: RegistryStandIn, secret: Secret) -> None:
    digest = private.push_artifact("models/chat", {"config.json": b"{}", "model.safetensors": b"weights"})
    source = ModelSource.parse({"oci": {"reference": f"{private.host}/models/chat@{digest}"}})
    resolver = HubResolver("http://127.0.0.1:1", registries=access(secret(private.host)))
    found = await resolver.resolve(Question(source=source, taking=Taking.SAFETENSORS))
    assert [file.path for file in found.source.files or ()] == ["config.json", "model.safetensors"]
    assert found.texts == {"config.json": "{}"}
    await resolver.close()


async def test_a_secret_that_was_changed_is_used_at_once(private: RegistryStandIn, secret: Secret) -> None:
    digest = private.push("lab/engine", "v1")
    how = access(secret(private.host, login=("operator", "old")))
    assert isinstance(await refusal(reference(private.host, digest), how), RegistryForbiddenError)
    secret(private.host)
    assert (await resolve_image(parse_reference(reference(private.host, digest)), how)).platforms


@pytest.mark.parametrize("key", ["registry.example", "example", "*.example", "registry.example.evil", "xregistry.example", ""])
async def test_credentials_are_for_the_very_name_and_port(private: RegistryStandIn, secret: Secret, key: str) -> None:
    """The stand-in has another port than 443, so its bare name is another registry."""
    digest = private.push("lab/engine", "v1")
    await refusal(reference(private.host, digest), access(secret(key)))
    assert LOGIN not in private.authorizations


@pytest.mark.parametrize(("part", "opened"), [("lab", True), ("lab/engine", True), ("la", False), ("other", False)])
async def test_credentials_for_a_part_of_a_registry_open_that_part(
    private: RegistryStandIn, secret: Secret, part: str, opened: bool
) -> None:
    digest = private.push("lab/engine", "v1")
    how = access(secret(f"{private.host}/{part}"))
    if opened:
        assert (await resolve_image(parse_reference(reference(private.host, digest)), how)).platforms
    else:
        await refusal(reference(private.host, digest), how)
        assert LOGIN not in private.authorizations


async def test_no_other_registry_sees_them(start: Start, private: RegistryStandIn, secret: Secret) -> None:
    other = start("other.example")
    other.access, other.credentials = "basic", SECRET
    digest = other.push("lab/engine", "v1")
    await refusal(reference(other.host, digest), access(secret(private.host)))
    assert other.authorizations == []


@pytest.mark.parametrize("for_strangers", [True, False])
@pytest.mark.parametrize("protocol", ["basic", "token"])
async def test_a_redirect_takes_neither_credentials_nor_a_challenge_along(
    start: Start, private: RegistryStandIn, secret: Secret, protocol: str, for_strangers: bool
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


async def test_a_redirect_after_the_login_takes_no_token_along(start: Start, private: RegistryStandIn, secret: Secret) -> None:
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
    start: Start, private: RegistryStandIn, secret: Secret
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
    start: Start, private: RegistryStandIn, secret: Secret
) -> None:
    """Somebody's own registry points to a token server that is declared for another one: its token would come to them."""
    tokens = start("tokens.example")
    digest = private.push("lab/engine", "v1")
    private.realm = f"{tokens.url}/token"
    how = access(secret("registry.corp.example", tokens.host), token_servers={"registry.corp.example": tokens.host})
    await refusal(reference(private.host, digest), how)
    assert tokens.authorizations == []


@pytest.mark.parametrize("realm", ["https://{host}/token", "https://{host}/token?account=x", "HTTPS://{upper}/token"])
async def test_a_token_server_at_the_registry_itself_gets_them(private: RegistryStandIn, secret: Secret, realm: str) -> None:
    digest = private.push("lab/engine", "v1")
    private.realm = realm.format(host=private.host, upper=private.host.upper())
    assert (await resolve_image(parse_reference(reference(private.host, digest)), access(secret(private.host)))).platforms


@pytest.mark.parametrize(
    "realm",
    [
        "https://{host}@tokens.example:{port}/token",
        "https://{host}.tokens.example:{port}/token",
        "https://tokens.example:{port}/token?{host}",
        "https://tokens.example:{port}\\@{host}/token",
        "https://{name}:{port}/token",
    ],
)
async def test_a_token_server_that_looks_like_the_registry_gets_nothing(
    start: Start, private: RegistryStandIn, secret: Secret, realm: str
) -> None:
    tokens = start("tokens.example")
    digest = private.push("lab/engine", "v1")
    name = private.host.partition(":")[0]
    private.realm = realm.format(host=private.host, name=name, port=tokens.port)
    await refusal(reference(private.host, digest), access(secret(private.host, tokens.host)))
    assert tokens.authorizations == []


@pytest.mark.parametrize(
    "realm", ["http://127.0.0.1:1/token", "http://tokens.example/token", "file:///etc/passwd", "https://[", "x"]
)
async def test_tokens_come_over_https_only(private: RegistryStandIn, secret: Secret, realm: str) -> None:
    digest = private.push("lab/engine", "v1")
    private.realm = realm
    for how in (access(), access(secret(private.host))):
        assert isinstance(await refusal(reference(private.host, digest), how), RegistryForbiddenError | RegistryUnavailableError)


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "\u202e", 7, None])
async def test_a_token_that_is_none_is_refused(private: RegistryStandIn, secret: Secret, token: object) -> None:
    digest = private.push("lab/engine", "v1")
    private.token_body = json.dumps({"token": token}).encode()
    told = await refusal(reference(private.host, digest), access(secret(private.host)))
    assert "answered without a token" in str(told)


async def test_what_is_not_there_sounds_like_what_is_not_open(private: RegistryStandIn, secret: Secret) -> None:
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


def test_docker_hubs_own_token_server_is_known() -> None:
    how = access()
    (address,) = how.addresses(parse_reference(f"vllm/vllm-openai@sha256:{'1' * 64}"))
    assert address.url == "https://registry-1.docker.io/v2/vllm/vllm-openai"
    assert how.may_get_credentials("auth.docker.io", address)
    assert not how.may_get_credentials("auth.docker.io.evil.example", address)
    (other,) = how.addresses(parse_reference(f"ghcr.io/a/b@sha256:{'1' * 64}"))
    assert not how.may_get_credentials("auth.docker.io", other)
