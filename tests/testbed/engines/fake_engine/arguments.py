"""Read each engine's own command line, leniently: what has no meaning here is kept and shown, not refused.

Flags and defaults: vLLM 0.32 `vllm serve --help`, text-generation-inference 3.3 `text-generation-launcher --help`, SGLang 0.5
`python3 -m sglang.launch_server --help`, and llama.cpp's tools/server/README.md.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path, PurePosixPath


class ArgumentsError(Exception):
    """The command line cannot be used; the message says why."""


class Flavor(StrEnum):
    """The engine that is played."""

    VLLM = "vllm"
    TGI = "tgi"
    SGLANG = "sglang"
    LLAMACPP = "llamacpp"


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says. Times are in seconds; an empty `api_key` means that none is asked for."""

    flavor: Flavor
    model: Path
    served_name: str
    host: str
    port: int
    api_key: str
    context_length: int
    fingerprint: str | None
    metrics: bool
    drain_seconds: float
    weight_version: str
    argv: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Dialect:
    """How one engine names things. `values` and `switches` map a flag to a field, `environment` a field to a variable."""

    values: Mapping[str, str]
    environment: Mapping[str, str]
    defaults: Mapping[str, str]
    switches: Mapping[str, str] = dataclasses.field(default_factory=dict)


_DIALECTS = {
    Flavor.VLLM: _Dialect(
        values={
            "--model": "model",
            "--served-model-name": "served_name",
            "--host": "host",
            "--port": "port",
            "--api-key": "api_key",
            "--max-model-len": "context_length",
            "--fingerprint-mode": "fingerprint_mode",
            "--fingerprint-value": "fingerprint",
            "--shutdown-timeout": "drain_seconds",
        },
        environment={"api_key": "VLLM_API_KEY"},
        defaults={"host": "0.0.0.0", "port": "8000", "drain_seconds": "0", "metrics": "yes"},  # noqa: S104
    ),
    Flavor.TGI: _Dialect(
        values={
            "--model-id": "model",
            "--hostname": "host",
            "--port": "port",
            "-p": "port",
            "--api-key": "api_key",
            "--max-total-tokens": "context_length",
            "--graceful-termination-timeout": "drain_seconds",
        },
        environment={
            "model": "MODEL_ID",
            "port": "PORT",
            "api_key": "API_KEY",
            "context_length": "MAX_TOTAL_TOKENS",
            "drain_seconds": "GRACEFUL_TERMINATION_TIMEOUT",
        },
        defaults={"host": "0.0.0.0", "port": "3000", "drain_seconds": "90", "metrics": "yes"},  # noqa: S104
    ),
    Flavor.SGLANG: _Dialect(
        values={
            "--model-path": "model",
            "--model": "model",
            "--served-model-name": "served_name",
            "--host": "host",
            "--port": "port",
            "--api-key": "api_key",
            "--context-length": "context_length",
            "--weight-version": "weight_version",
        },
        environment={},
        defaults={"host": "127.0.0.1", "port": "30000", "drain_seconds": "inf"},
        switches={"--enable-metrics": "metrics"},
    ),
    Flavor.LLAMACPP: _Dialect(
        values={
            "-m": "model",
            "--model": "model",
            "-a": "served_name",
            "--alias": "served_name",
            "--host": "host",
            "--port": "port",
            "--api-key": "api_key",
            "-c": "context_length",
            "--ctx-size": "context_length",
        },
        environment={"model": "LLAMA_ARG_MODEL", "api_key": "LLAMA_API_KEY"},
        defaults={"host": "127.0.0.1", "port": "8080", "drain_seconds": "0"},
        switches={"--metrics": "metrics"},
    ),
}
_PROGRAMS = {
    "vllm": Flavor.VLLM,
    "text-generation-launcher": Flavor.TGI,
    "sglang": Flavor.SGLANG,
    "llama-server": Flavor.LLAMACPP,
}
_SIGNS = {"--model-id": Flavor.TGI, "--model-path": Flavor.SGLANG, "-m": Flavor.LLAMACPP, "--alias": Flavor.LLAMACPP}
_CONTEXT_LENGTH = "32768"


def parse(program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Read the command line of `program` (argv[0]); raises ArgumentsError when there is no model or a number is none."""
    rest, named = _take_flavor(list(arguments))
    flavor = named or _by_program(program) or _by_signs(rest)
    dialect = _DIALECTS[flavor]
    found = {"context_length": _CONTEXT_LENGTH, **dialect.defaults}
    found |= {field: environment[name] for field, name in dialect.environment.items() if environment.get(name)}
    found |= _scan(rest, dialect)
    if "model" not in found:
        raise ArgumentsError(f"no model is given to the fake {flavor}: {' '.join(arguments) or 'no arguments at all'}")
    return Settings(
        flavor=flavor,
        model=Path(found["model"]),
        served_name=found.get("served_name") or _default_name(flavor, found["model"]),
        host=found["host"],
        port=int(_number("port", found["port"])),
        api_key=found.get("api_key", ""),
        context_length=int(_number("context_length", found["context_length"])) or int(_CONTEXT_LENGTH),
        fingerprint=found.get("fingerprint") if found.get("fingerprint_mode") == "custom" else None,
        metrics="metrics" in found,
        drain_seconds=_number("drain_seconds", found["drain_seconds"]),
        weight_version=found.get("weight_version", "default"),
        argv=(program, *arguments),
    )


def _take_flavor(arguments: list[str]) -> tuple[list[str], Flavor | None]:
    if not arguments or arguments[0].partition("=")[0] != "--flavor":
        return arguments, None
    name = arguments[0].partition("=")[2] or (arguments[1] if len(arguments) > 1 else "")
    if name not in list(Flavor):
        raise ArgumentsError(f"--flavor is one of {', '.join(Flavor)}, not {name!r}")
    return arguments[1 if "=" in arguments[0] else 2 :], Flavor(name)


def _by_program(program: str) -> Flavor | None:
    """`vllm` is vLLM by its name, `…/sglang/launch_server.py` SGLang by its folder."""
    parts = set(PurePosixPath(program).parts)
    return next((flavor for name, flavor in _PROGRAMS.items() if name in parts), None)


def _by_signs(arguments: Sequence[str]) -> Flavor:
    """Tell the engine by its flags when the image's entry point got nothing but them."""
    for argument in arguments:
        if flavor := _SIGNS.get(argument.partition("=")[0]):
            return flavor
    return Flavor.VLLM


def _scan(arguments: Sequence[str], dialect: _Dialect) -> dict[str, str]:
    found: dict[str, str] = {}
    waiting = list(arguments)
    if waiting and waiting[0] == "serve":
        waiting.pop(0)
    if waiting and not waiting[0].startswith("-"):
        found["model"] = waiting.pop(0)
    while waiting:
        flag, equals, value = waiting.pop(0).partition("=")
        flag = "--" + flag[2:].replace("_", "-") if flag.startswith("--") else flag
        if flag in dialect.switches:
            found[dialect.switches[flag]] = "yes"
        elif flag in dialect.values:
            if not equals and not waiting:
                raise ArgumentsError(f"{flag} has no value")
            found[dialect.values[flag]] = value if equals else waiting.pop(0)
    return found


def _default_name(flavor: Flavor, model: str) -> str:
    """Without a name llama.cpp answers with the file's name, the others with the path."""
    return PurePosixPath(model).name if flavor is Flavor.LLAMACPP else model


def _number(field: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentsError(f"{field} is not a number: {text!r}") from None
