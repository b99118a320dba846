"""What tests of registries that strangers name have in common."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from holdfast.sources.registry import resolve_image
from holdfast.sources.registry_access import RegistryAccess
from holdfast.sources.registry_credentials import operator_credentials
from holdfast.sources.registry_errors import RegistryError
from holdfast.sources.registry_reference import parse_reference
from unit.registry import RegistryStandIn

SECRET = ("operator", "very-secret")
Start = Callable[[str], RegistryStandIn]
Secret = Callable[..., Path]


def access(secret: Path | None = None, **how: Any) -> RegistryAccess:
    return RegistryAccess(credentials=partial(operator_credentials, secret), for_strangers=True, **how)


def reference(host: str, digest: str) -> str:
    return f"{host}/lab/engine@{digest}"


async def refusal(name: str, how: RegistryAccess) -> RegistryError:
    with pytest.raises(RegistryError) as raised:
        await resolve_image(parse_reference(name), how)
    return raised.value
