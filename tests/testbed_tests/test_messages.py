"""What is wrong is said where the person sees it, with what to do about it."""

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from testbed import Testbed, TestbedError, machine, programs
from testbed.commands import main
from testbed.programs import FAMILIES, Programs
from testbed.progress import Progress


def test_without_go_it_says_which_programs_are_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TestbedError, match=r"programs etcd are built with Go, which is not on PATH; install Go 1\.26"):
        Programs().path("etcd")


def test_without_root_a_node_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    # pytest's own folders have names that are too long for a bed.
    with tempfile.TemporaryDirectory() as state:
        monkeypatch.setenv("XDG_STATE_HOME", state)
        with pytest.raises(TestbedError, match="run it with sudo, or start only the control plane"):
            Testbed("rootless").up()


def test_without_root_missing_packages_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(TestbedError, match="sudo apt-get install --yes --no-install-recommends no-such-package"):
        machine.ensure_packages(["bash", "no-such-package"], progress=Progress(quiet=True))


@pytest.mark.parametrize("name", ["Upper", "a/b", "..", "-a", "", "a" * 33])
def test_a_name_that_cannot_be_a_folder_of_its_own_is_refused(name: str) -> None:
    with pytest.raises(TestbedError, match="1 to 32 lower-case letters"):
        Testbed(name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "--name", "testbed-tests-absent"], "start it with: python -m testbed up"),
        (["logs", "--name", "testbed-tests-absent"], "has no logs"),
        (["build", "kubernets"], "unknown families kubernets; known: etcd, kubernetes"),
    ],
)
def test_a_command_that_cannot_be_done_ends_with_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_wrong_usage_says_what_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["up", "--nodes", "100"])
    assert ended.value.code == 2
    assert "such as kwok:100" in capsys.readouterr().err


def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "python -m testbed up --name api --control-plane-only" in capsys.readouterr().out


def test_programs_are_built_anew_when_their_sums_or_flags_change(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    family = FAMILIES["etcd"]
    before = family.key()
    assert dataclasses.replace(family, tags="other").key() != before
    shutil.copytree(family.module, tmp_path / family.name)
    monkeypatch.setattr(programs, "_MODULES", tmp_path)
    assert family.key() == before
    with (tmp_path / family.name / "go.sum").open("a") as sums:
        sums.write("more\n")
    assert family.key() != before
