"""Credentials for registries, from where container tools keep them: ``config.json`` and its credential helpers.

Format: docker/cli ``cli/config/configfile``, and containers/image ``docs/containers-auth.json.5.md`` for keys with a path, as Secrets
of type ``kubernetes.io/dockerconfigjson`` may have them too; protocol of the helpers: docker/docker-credential-helpers (``README.md``).
"""

import base64
import binascii
import json
import logging
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from holdfast.sources.registry_access import Credentials, RegistryAccess
from holdfast.sources.registry_errors import RegistryForbiddenError
from holdfast.sources.registry_reference import DOCKER_HUB

logger = logging.getLogger(__name__)

_HELPER_TIMEOUT: Final = 30
_HELPER = re.compile(r"[A-Za-z0-9_.-]+")


def access_of_user(environ: Mapping[str, str]) -> RegistryAccess:
    """Return how the user's container tools reach registries."""
    return RegistryAccess(
        credentials=lambda registry, repository: credentials_for(registry, repository, environ),
        advice="log in with a container tool that writes ~/.docker/config.json, or name an image by its digest",
    )


def credentials_for(registry: str, repository: str, environ: Mapping[str, str]) -> Credentials | None:
    """Return what the user logged in with, None if they did not.

    Raises:
        RegistryForbiddenError: the file or the credential helper does not work.
    """
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME", "~")).expanduser() / ".docker")
    path = folder / "config.json"
    document = _read(path)
    for server in _names_of_parts(registry, repository):
        found = _from_entry(document, server, path)
        if found is not None:
            return found
    for server in _names(registry):  # what helpers know is whole registries
        helpers = document.get("credHelpers")
        helper = helpers.get(server) if isinstance(helpers, dict) else None
        found = _from_helper(helper, server, environ) or _from_entry(document, server, path)
        found = found or _from_helper(document.get("credsStore"), server, environ)
        if found is not None:
            return found
    return None


def credentials_in(path: Path | None, registry: str, repository: str) -> Credentials | None:
    """Return what a mounted Secret has for a repository; None when it has nothing or is not there. No helper is run.

    It is read at each use, because Secrets are rotated.

    Raises:
        RegistryForbiddenError: the file cannot be read.
    """
    if path is None:
        return None
    document = _read(path)
    names = (*_names_of_parts(registry, repository), *_names(registry))
    entries = (_from_entry(document, server, path) for server in names)
    return next((found for found in entries if found is not None), None)


def operator_credentials(path: Path | None, registry: str, repository: str) -> Credentials | None:
    """Return what the operator's own Secret has, as `credentials_in` does.

    Raises:
        RegistryForbiddenError: the file cannot be read; the log says why, and whoever wrote a manifest does not learn it.
    """
    try:
        return credentials_in(path, registry, repository)
    except RegistryForbiddenError as error:
        logger.error("the credentials of registries cannot be used", extra={"error": str(error)})
        told = "the operator's credentials of registries cannot be read; its administrator finds why in its log"
        raise RegistryForbiddenError(told) from error


def _read(path: Path) -> dict[str, object]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise RegistryForbiddenError(f"the credentials in {path} cannot be read: {error}") from error
    return document if isinstance(document, dict) else {}


def _names_of_parts(registry: str, repository: str) -> tuple[str, ...]:
    """Return the keys under which tools store a part of a registry, the longest first."""
    parts = repository.split("/")
    return tuple("/".join((registry, *parts[:count])) for count in range(len(parts), 0, -1))


def _names(registry: str) -> tuple[str, ...]:
    """Return the keys under which tools store a whole registry; Docker Hub has its historical one."""
    if registry == DOCKER_HUB:
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
    except (binascii.Error, ValueError) as error:
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
