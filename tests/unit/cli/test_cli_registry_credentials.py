"""Credentials are found where container tools keep them."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.sources.registry_credentials import credentials_for, credentials_in
from holdfast.sources.registry_errors import RegistryForbiddenError


def _config(home: Path, content: dict[str, Any] | str) -> dict[str, str]:
    folder = home / ".docker"
    folder.mkdir()
    (folder / "config.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return {"HOME": str(home), "PATH": f"{home / 'bin'}:/usr/bin:/bin"}


def _auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def _helper(home: Path, name: str, script: str) -> None:
    path = home / "bin" / f"docker-credential-{name}"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("stored", "registry"),
    [
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("localhost:5000", "localhost:5000"),
    ],
)
def test_an_entry_is_found_by_the_registry(tmp_path: Path, stored: str, registry: str) -> None:
    found = credentials_for(registry, "lab/engine", _config(tmp_path, {"auths": {stored: _auth("me:pass:word")}}))
    assert found is not None
    assert (found.username, found.password) == ("me", "pass:word")


@pytest.mark.parametrize("content", [{}, {"auths": {"quay.io": _auth("me:p")}}, {"auths": {"ghcr.io": {}}}, {"auths": []}, []])
def test_without_an_entry_there_are_no_credentials(tmp_path: Path, content: Any) -> None:
    assert credentials_for("ghcr.io", "lab/engine", _config(tmp_path, content)) is None


def test_without_a_file_there_are_no_credentials(tmp_path: Path) -> None:
    assert credentials_for("ghcr.io", "lab/engine", {"HOME": str(tmp_path)}) is None


@pytest.mark.parametrize("content", ["{", {"auths": {"ghcr.io": {"auth": "%%%"}}}])
def test_a_malformed_file_is_named(tmp_path: Path, content: Any) -> None:
    with pytest.raises(RegistryForbiddenError, match=r"config\.json"):
        credentials_for("ghcr.io", "lab/engine", _config(tmp_path, content))


@pytest.mark.parametrize("content", [{"credHelpers": {"ghcr.io": "test"}}, {"credsStore": "test"}])
def test_a_helper_is_asked_for_this_registry(tmp_path: Path, content: dict[str, Any]) -> None:
    _helper(
        tmp_path, "test", 'test "$1" = get && server=$(cat) && echo "{\\"Username\\": \\"me\\", \\"Secret\\": \\"for $server\\"}"'
    )
    found = credentials_for("ghcr.io", "lab/engine", _config(tmp_path, content))
    assert found is not None
    assert (found.username, found.password) == ("me", "for ghcr.io")


def test_a_helper_that_knows_nothing_means_no_credentials(tmp_path: Path) -> None:
    _helper(tmp_path, "test", "echo 'credentials not found in native keychain'; exit 1")
    assert credentials_for("ghcr.io", "lab/engine", _config(tmp_path, {"credsStore": "test"})) is None


def test_a_helper_that_is_not_installed_means_no_credentials(tmp_path: Path) -> None:
    assert credentials_for("ghcr.io", "lab/engine", _config(tmp_path, {"credsStore": "absent"})) is None


def test_a_helper_that_answers_nonsense_is_named(tmp_path: Path) -> None:
    _helper(tmp_path, "test", "echo hello")
    with pytest.raises(RegistryForbiddenError, match="docker-credential-test gave an answer that cannot be read"):
        credentials_for("ghcr.io", "lab/engine", _config(tmp_path, {"credsStore": "test"}))


def test_a_helper_is_a_name_and_never_a_path(tmp_path: Path) -> None:
    _helper(tmp_path, "test", "touch " + str(tmp_path / "ran"))
    assert credentials_for("ghcr.io", "lab/engine", _config(tmp_path, {"credsStore": "x/../docker-credential-test"})) is None
    assert not (tmp_path / "ran").exists()


def test_an_entry_for_a_part_of_a_registry_comes_before_that_of_the_whole(tmp_path: Path) -> None:
    auths = {"ghcr.io": _auth("me:all"), "ghcr.io/lab": _auth("me:lab"), "ghcr.io/lab/engine": _auth("me:engine")}
    environ = _config(tmp_path, {"auths": auths})
    for repository, password in (("lab/engine", "engine"), ("lab/engine/x", "engine"), ("lab/other", "lab"), ("labs", "all")):
        found = credentials_for("ghcr.io", repository, environ)
        assert found is not None
        assert found.password == password


def test_a_mounted_secret_is_read_without_helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _helper(tmp_path, "test", "touch " + str(tmp_path / "ran"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    path = tmp_path / "secret.json"
    path.write_text(
        json.dumps({"credsStore": "test", "credHelpers": {"quay.io": "test"}, "auths": {"ghcr.io": _auth("me:word")}})
    )
    assert credentials_in(path, "quay.io", "lab/engine") is None
    assert not (tmp_path / "ran").exists()
    found = credentials_in(path, "ghcr.io", "lab/engine")
    assert found is not None
    assert found.password == "word"


def test_without_a_secret_there_are_no_credentials(tmp_path: Path) -> None:
    assert credentials_in(None, "ghcr.io", "lab/engine") is None
    assert credentials_in(tmp_path / "absent.json", "ghcr.io", "lab/engine") is None
