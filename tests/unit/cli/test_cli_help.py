"""Help, reference, completion and start of the command line."""

import importlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import holdfast
from holdfast.cli import reference
from holdfast.cli.exits import MEANINGS, ExitCode
from holdfast.cli.main import app, program_name
from unit.cli.api_stand_in import ApiStandIn
from unit.cli.conftest import Cli, deployed

ROOT = Path(__file__).parents[3]
GROUP: Any = typer.main.get_command(app)
COMMANDS = list(GROUP.commands)


def test_the_committed_reference_is_the_generated_one() -> None:
    assert (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8") == reference.text(), (
        "write it anew: python -m holdfast.cli.reference --write docs/reference/cli.md"
    )


def test_every_command_of_the_product_is_there() -> None:
    assert sorted(COMMANDS) == [
        "abort",
        "approve",
        "diff",
        "fallback",
        "history",
        "pin",
        "propose",
        "reject",
        "render",
        "resume",
        "status",
        "verify",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_page_has_examples_that_the_command_understands(bare_cli: Cli, command: str) -> None:
    result = bare_cli(command, "--help")
    assert result.code == 0
    _, _, examples = result.out.partition("Examples:\n")
    lines = [line.strip() for line in examples.splitlines()]
    assert lines
    for line in lines:
        program, name, *arguments = shlex.split(line.partition(" | ")[0])
        assert (program, name) == ("holdfast", command)
        GROUP.commands[name].make_context(name, arguments)


def test_usage_brackets_what_may_be_left_out_once(bare_cli: Cli) -> None:
    assert bare_cli("status", "--help").out.splitlines()[0] == "Usage: holdfast status [OPTIONS] [NAME]"


def test_help_without_a_terminal_has_no_escape_sequences(bare_cli: Cli) -> None:
    assert "\x1b" not in bare_cli("--help").out


def test_every_exit_code_is_explained() -> None:
    assert set(MEANINGS) == set(ExitCode)


def test_the_version_is_printed(bare_cli: Cli) -> None:
    assert bare_cli("--version").out == f"holdfast {holdfast.__version__}\n"


def test_the_start_loads_nothing_that_help_does_not_need() -> None:
    heavy = ("kubernetes", "huggingface_hub", "aiohttp", "pydantic", "ruamel.yaml", "yaml", "kopf")
    for name in heavy:
        importlib.import_module(name)  # it exists, so that its absence below means something
    code = f"import sys, holdfast.cli.main; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("path", "name"),
    [("/usr/bin/holdfast", "holdfast"), ("/opt/kubectl-holdfast", "kubectl holdfast"), ("holdfast/cli/main.py", "holdfast")],
)
def test_messages_name_the_program_as_it_was_called(path: str, name: str) -> None:
    assert program_name(path) == name


def _installed(program: str) -> str:
    """Return the installed program beside this Python."""
    found = shutil.which(program, path=str(Path(sys.executable).parent))
    assert found is not None
    return found


@pytest.mark.parametrize("program", ["holdfast", "kubectl-holdfast"])
def test_the_installed_programs_start(program: str) -> None:
    done = subprocess.run([_installed(program), "approve", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Usage: {program.replace('-', ' ')} approve [OPTIONS]")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ap"], ["approve"]),
        (["approve", "--ga"], ["--gate"]),
        (["approve", "x", "--gate", ""], ["auto", "Start", "Promote"]),
        (["approve", "support"], ["support-chat"]),
        (["status", "-n", "elsewhere", ""], []),
    ],
)
def test_kubectl_completes_commands_options_and_names(
    api: ApiStandIn, cli: Cli, tmp_path: Path, words: list[str], expected: list[str]
) -> None:
    """The program that the reference gives, called as kubectl calls it: the words, the last one unfinished."""
    deployed(api)
    deployed(api, name="other")
    script = tmp_path / "kubectl_complete-holdfast"
    script.write_text(reference.KUBECTL_COMPLETION)
    script.chmod(0o755)
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "KUBECONFIG": cli.environ["KUBECONFIG"]}
    done = subprocess.run([script, *words], capture_output=True, text=True, check=True, env=environ)
    *found, directive = done.stdout.split()
    assert (found, directive, done.stderr) == (expected, ":4", "")


def test_completion_without_a_cluster_is_silent(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "COMP_WORDS": "holdfast approve s", "COMP_CWORD": "2"}
    done = subprocess.run(
        [_installed("holdfast")],
        capture_output=True,
        text=True,
        check=True,
        env={**environ, "_HOLDFAST_COMPLETE": "complete_bash"},
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")
