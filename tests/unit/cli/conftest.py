"""The command line in this process, against a stand-in of the API server."""

import io
import itertools
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

import builders
from holdfast.api.deployment import ModelDeploymentStatus
from holdfast.api.model import Model
from holdfast.cli.main import main
from holdfast.cli.session import Session
from holdfast.cli.terminal import Terminal
from unit.cli.api_stand_in import ApiStandIn, Object

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Result:
    """What one run left behind."""

    code: int
    out: str
    err: str


class Cli:
    """Runs commands as a person on this machine would."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        self.environ = {"HOME": str(home), "PATH": ""}
        self.monotonic: Callable[[], float] = itertools.count(0.0, 0.05).__next__
        self.naps: list[float] = []
        self.unique: Callable[[int], str] = secrets.token_hex

    def __call__(self, *arguments: str, typed: str | None = None, program: str = "holdfast") -> Result:
        """Run one command; `typed` is what the person types, on a terminal; without it stdin is none."""
        stdin = io.StringIO(typed or "")
        if typed is not None:
            stdin.isatty = lambda: True  # type: ignore[method-assign]
        self._monkeypatch.setattr(sys, "stdin", stdin)
        self._capsys.readouterr()
        session = Session(
            terminal=Terminal(),
            environ=self.environ,
            program=program,
            now=lambda: NOW,
            monotonic=self.monotonic,
            sleep=self.naps.append,
            unique=self.unique,
        )
        code = main(arguments, session=session)
        captured = self._capsys.readouterr()
        return Result(int(code), captured.out, captured.err)


@pytest.fixture
def api() -> Iterator[ApiStandIn]:
    with ApiStandIn() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def bare_cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path) -> Cli:
    """The command line on a machine without kubeconfig."""
    monkeypatch.setenv("COLUMNS", "100")
    return Cli(capsys, monkeypatch, home)


@pytest.fixture
def cli(bare_cli: Cli, api: ApiStandIn, home: Path) -> Cli:
    """The command line of a person whose kubeconfig leads to the stand-in, into the namespace team-a."""
    bare_cli.environ["KUBECONFIG"] = str(write_kubeconfig(home / "kubeconfig", api.url))
    return bare_cli


def write_kubeconfig(path: Path, server: str, **user: Any) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": user or {"token": "not-a-secret"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "team-a"}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def deployed(api: ApiStandIn, status: ModelDeploymentStatus | None = None, *, name: str = builders.NAME, **spec: Any) -> Object:
    """Put a ModelDeployment into the stand-in."""
    wire = status.wire() if status is not None else {}
    if status is not None and "observedGeneration" not in wire:
        wire["observedGeneration"] = 1
    return api.put("modeldeployments", name, spec=builders.spec(**spec).wire(), status=wire)


def revised(api: ApiStandIn, number: int, letter: str, *, status: Object | None = None, **changes: Any) -> str:
    """Put a ModelRevision into the stand-in and return its digest; `changes` are fields of the declared model."""
    spec = builders.revision_spec(Model.parse(builders.model(letter, **changes)), number)
    api.put(
        "modelrevisions",
        f"{builders.NAME}-{number}",
        metadata={"labels": {"holdfast.dev/deployment": builders.NAME}},
        spec=spec.wire(),
        status=status or {},
    )
    return spec.digest
