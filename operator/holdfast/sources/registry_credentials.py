"""Credentials for registries, from where container tools keep them: ``config.json`` and its credential helpers.

Format: docker/cli ``cli/config/configfile``; protocol of the helpers: docker/docker-credential-helpers (``README.md``).
"""

import base64
import binascii
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from holdfast.sources.registry import Credentials, RegistryForbiddenError

_HELPER_TIMEOUT: Final = 30
_HELPER = re.compile(r"[A-Za-z0-9_.-]+")


def credentials_for(registry: str, environ: Mapping[str, str]) -> Credentials | None:
    """Return what the user logged in with, None if they did not.

    Raises:
        RegistryForbiddenError: the file or the credential helper does not work.
    """
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME", "~")).expanduser() / ".docker")
    return credentials_in(folder / "config.json", registry, environ)


def credentials_in(path: Path, registry: str, environ: Mapping[str, str]) -> Credentials | None:
    """Return what a file in the format of ``config.json`` has for a registry; None when it has nothing or is not there.

    Raises:
        RegistryForbiddenError: the file or the credential helper does not work.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RegistryForbiddenError(f"the credentials in {path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        return None
    for server in _server_names(registry):
        helpers = document.get("credHelpers")
        helper = helpers.get(server) if isinstance(helpers, dict) else None
        found = _from_helper(helper, server, environ) or _from_entry(document, server, path)
        found = found or _from_helper(document.get("credsStore"), server, environ)
        if found is not None:
            return found
    return None


def _server_names(registry: str) -> tuple[str, ...]:
    """Return the keys under which tools store a registry; Docker Hub has its historical one."""
    if registry == "docker.io":
        return ("https://index.docker.io/v1/", "docker.io", "index.docker.io")
    return (registry, f"https://{registry}", f"https://{registry}/v1/", f"https://{registry}/v2/")


def _from_entry(document: dict[str, object], server: str, path: Path) -> Credentials | None:
    entries = document.get("auths")
    entry = entries.get(server) if isinstance(entries, dict) else None
    if not isinstance(entry, dict):
        return None
    encoded, username, password = (entry.get(name) for name in ("auth", "username", "password"))
    if not encoded and isinstance(username, str) and isinstance(password, str) and username:
        return Credentials(username=username, password=password)  # as Secrets of type dockerconfigjson may have it
    if not isinstance(encoded, str) or not encoded:
        return None
    try:
        username, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise RegistryForbiddenError(f"the entry {server} in {path} is malformed; log in again") from error
    return Credentials(username=username, password=password) if colon else None


def _from_helper(helper: object, server: str, environ: Mapping[str, str]) -> Credentials | None:
    if not isinstance(helper, str) or not _HELPER.fullmatch(helper):
        return None
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"],
            input=server,
            capture_output=True,
            text=True,
            timeout=_HELPER_TIMEOUT,
            check=False,
            env=dict(environ),
        )
    except FileNotFoundError:  # a configuration copied from a machine that has it; the image may well be public
        return None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RegistryForbiddenError(f"the credential helper {program} did not run: {error}") from error
    if done.returncode != 0:  # helpers say "credentials not found" this way: ask without credentials
        return None
    try:
        answer = json.loads(done.stdout)
        username, secret = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryForbiddenError(f"the credential helper {program} gave an answer that cannot be read") from error
    if not isinstance(username, str) or not isinstance(secret, str) or username == "<token>":
        return None
    return Credentials(username=username, password=secret)
