"""The operator's settings, from the environment; the Helm chart sets them from its values."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from holdfast.api.model import PinnedImage

_PREFIX: Final = "HOLDFAST_"
_REGISTRY: Final = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?"
_Registry = Annotated[str, Field(pattern=rf"^{_REGISTRY}$")]
_Mirror = Annotated[str, Field(pattern=rf"^https?://{_REGISTRY}(/[^\s?#]*)?$")]
_NAMESPACE: Final = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")


class SettingsError(Exception):
    """The environment is not what the operator needs. The message names each variable and what it has to be."""


class OperatorSettings(BaseModel):
    """What an administrator decides about the operator. Each field is the variable ``HOLDFAST_`` and its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights_image: PinnedImage = Field(description="Image that fetches and verifies weights, by digest; new revisions fix it.")
    gateway_image: PinnedImage = Field(description="Image of the gateway (Envoy), by digest.")
    hub_endpoint: str = Field(
        default="https://huggingface.co", pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$", description="URL of the Hub."
    )
    hub_token_file: Path | None = Field(default=None, description="File with a token of the Hub; it is read at each use.")
    registry_credentials_file: Path | None = Field(
        default=None, description="File of the form of config.json, with credentials for registries; it is read at each use."
    )
    registry_mirrors: dict[_Registry, tuple[_Mirror, ...]] = Field(
        default_factory=dict, description="JSON: URLs that are asked before a registry, by its name."
    )
    registry_token_servers: dict[_Registry, _Registry] = Field(
        default_factory=dict, description="JSON: the host that gives tokens for a registry, where that is another one."
    )
    namespaces: tuple[str, ...] = Field(default=(), description="Namespaces to look after, separated by commas; empty for all.")
    listen_address: str = Field(default="0.0.0.0", description="Address of the two ports.")  # noqa: S104 - kubelet and Prometheus come from outside of the pod
    metrics_port: Annotated[int, Field(ge=1, le=65535)] = 8081
    health_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    log_format: Literal["json", "text"] = "json"

    @field_validator("registry_mirrors", "registry_token_servers", mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            raise ValueError("it is no JSON") from error

    @field_validator("namespaces", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("namespaces")
    @classmethod
    def _check(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _NAMESPACE.match(name):
                raise ValueError(f"{name!r} is no name of a namespace")
        return value

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "OperatorSettings":
        """Read the settings. An empty variable counts as absent, as an empty Helm value means.

        Raises:
            SettingsError: a variable is missing or malformed.
        """
        given: dict[str, Any] = {
            name: environment[_PREFIX + name.upper()]
            for name in cls.model_fields
            if environment.get(_PREFIX + name.upper(), "").strip()
        }
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise SettingsError("; ".join(_explain(item) for item in error.errors(include_url=False))) from None


def _explain(item: Mapping[str, Any]) -> str:
    variable = _PREFIX + str(item["loc"][0]).upper()
    if item["type"] == "missing":
        return f"{variable} is not set"
    if "image" in variable.lower() and item["type"] == "string_pattern_mismatch":
        return f"{variable} is {item['input']!r}; it must be registry/name@sha256:<64 hex digits>, without a tag"
    return f"{variable} is {item['input']!r}: {item['msg']}"
