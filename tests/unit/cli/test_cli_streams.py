"""What becomes of the output when nobody reads it, or it cannot be written: an exit code and no traceback, as everywhere."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from unit.cli import states
from unit.cli.api_stand_in import ApiStandIn
from unit.cli.conftest import Cli

HOLDFAST = Path(sys.executable).with_name("holdfast")
SHOWN = [
    ("status",),
    ("status", "-o", "json"),
    ("status", states.NAME, "-o", "yaml"),
    ("status", "--watch", "-o", "json"),
    ("status", "--watch", "-o", "yaml"),
    ("diff", states.NAME),
    ("history", states.NAME),
]


class Program:
    """The installed program, with streams that a test chooses."""

    def __init__(self, cli: Cli) -> None:
        self._environ = {**os.environ, "KUBECONFIG": cli.environ["KUBECONFIG"]}

    def __call__(self, *arguments: str, redirect: str) -> tuple[int, str]:
        """Run it as a shell does with this redirection; return the exit code and what it said on stderr."""
        command = f'exec "$0" "$@" {redirect}'
        done = subprocess.run(
            ["/bin/sh", "-c", command, HOLDFAST, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=self._environ,
            timeout=60,
        )
        return done.returncode, done.stderr

    def unread(self, *arguments: str) -> tuple[int, str]:
        """Run it with a stdout whose reader is gone."""
        reader, writer = os.pipe()
        os.close(reader)
        try:
            done = subprocess.run(
                [HOLDFAST, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                env=self._environ,
                timeout=60,
            )
        finally:
            os.close(writer)
        return done.returncode, done.stderr


@pytest.fixture
def program(cli: Cli, api: ApiStandIn) -> Program:
    states.tried(api)
    states.accepts(api)
    return Program(cli)


@pytest.mark.parametrize("arguments", SHOWN, ids=" ".join)
def test_a_reader_that_ended_is_told_by_the_exit_code_and_by_nothing_else(program: Program, arguments: Sequence[str]) -> None:
    assert program.unread(*arguments) == (141, "")


def test_a_decision_that_nobody_read_about_is_not_reported_as_refused(program: Program, api: ApiStandIn) -> None:
    code, _ = program.unread("fallback", states.NAME, "--yes")
    assert (code, len(api.approvals())) == (141, 1)


@pytest.mark.parametrize(
    "arguments", [("status",), ("status", "-o", "json"), ("status", states.NAME, "-o", "yaml")], ids=" ".join
)
def test_a_full_disk_is_named(program: Program, arguments: Sequence[str]) -> None:
    assert program(*arguments, redirect=">/dev/full") == (1, "error: cannot write the output: No space left on device\n")


def test_data_for_a_closed_stdout_is_not_lost_in_silence(program: Program) -> None:
    assert program("status", "-o", "json", redirect=">&-") == (1, "error: cannot write the output: stdout is closed\n")


def test_an_error_that_cannot_be_said_keeps_its_exit_code(program: Program) -> None:
    assert program("status", "nobody", redirect="2>/dev/full") == (3, "")


def test_nobody_is_asked_on_a_closed_stdin(program: Program, api: ApiStandIn) -> None:
    code, said = program("approve", states.NAME, redirect="<&-")
    assert (code, said) == (2, "error: there is no terminal to ask on: read the diff, then give --yes\n")
    assert api.approvals() == []
