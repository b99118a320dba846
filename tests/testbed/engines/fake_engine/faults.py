"""How the engine misbehaves: told by a file beside the weights, by environment variables, or while it runs."""

import json
from collections.abc import Mapping
from pathlib import Path

import pydantic

FILE = "fake-engine.json"
"""A file of this name in the model's folder sets faults: so a revision of a repository can be a bad one."""
PREFIX = "HOLDFAST_FAKE_"


class FaultsError(Exception):
    """Faults cannot be read; the message says where and why."""


class Faults(pydantic.BaseModel):
    """All faults; the defaults are none. Times are in seconds."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    load_seconds: float = pydantic.Field(default=0, ge=0)
    """Loading takes at least this long."""
    never_ready: bool = False
    """Loading does not end as long as this is set."""
    exit_on_load: int | None = None
    """The process ends with this code instead of loading."""
    exit_after_requests: int | None = pydantic.Field(default=None, ge=0)
    """After so many completions the next one ends the process, without an answer."""
    exit_code: int = 1
    """The code of that end."""
    error_ratio: float = pydantic.Field(default=0, ge=0, le=1)
    """This share of completions fails, evenly spread: with 0.25 each fourth one."""
    error_status: int = pydantic.Field(default=500, ge=400, le=599)
    """The status of a failing completion."""
    hang: bool = False
    """Completions are taken and not answered as long as this is set; health stays good."""
    unhealthy: bool = False
    """Health is bad as long as this is set; completions are answered."""
    close_after_tokens: int | None = pydantic.Field(default=None, ge=0)
    """The connection of an answer is cut after so many tokens."""
    error_after_tokens: int | None = pydantic.Field(default=None, ge=0)
    """A stream ends with an error after so many tokens, under the status 200 that it began with."""
    first_token_seconds: float = pydantic.Field(default=0, ge=0)
    """The first token takes this long."""
    token_seconds: float = pydantic.Field(default=0, ge=0)
    """Each later token takes this long."""
    served_name: str | None = None
    """The engine says that it serves this model, whatever its command line says."""
    version: str | None = None
    """The engine says that it is of this version."""


def initial(model: Path, environment: Mapping[str, str]) -> Faults:
    """Read the faults to start with: those of the file beside the weights, over them `HOLDFAST_FAKE_LOAD_SECONDS` and so on.

    Raises FaultsError for an unknown or unfit one.
    """
    found: dict[str, object] = {}
    path = (model if model.is_dir() else model.parent) / FILE
    if path.is_file():
        try:
            found |= json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, TypeError) as error:
            raise FaultsError(f"{path}: {error}") from None
    found |= {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and name != f"{PREFIX}CONTROL_PORT"
    }
    return changed(Faults(), found)


def changed(faults: Faults, changes: Mapping[str, object]) -> Faults:
    """Return `faults` with some of them set anew; raises FaultsError for an unknown or unfit one."""
    try:
        return Faults.model_validate({**faults.model_dump(), **changes})
    except pydantic.ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise FaultsError(said) from None
