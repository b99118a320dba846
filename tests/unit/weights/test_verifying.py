"""``holdfast-weights verify``: compares a directory, by hand or in a test."""

import subprocess
import sys

import pytest

from unit.weights.conftest import Pod
from unit.weights.damage import DAMAGE, Damage


def verify(pod: Pod) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "holdfast.weights.main",
            "verify",
            f"--manifest={pod.manifest}",
            f"--manifest-digest={pod.digest}",
            f"--directory={pod.entry}",
            f"--termination-log={pod.termination_log}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_approved_files_are_verified(filled: Pod) -> None:
    result = verify(filled)
    assert result.returncode == 0
    assert "verified 4 files" in result.stdout


@pytest.mark.parametrize(("damage", "names"), DAMAGE.values(), ids=DAMAGE)
def test_each_difference_is_named(filled: Pod, damage: Damage, names: str) -> None:
    damage(filled.entry)
    result = verify(filled)
    assert result.returncode == 3
    assert names in result.stdout


def test_it_does_not_change_what_it_finds(filled: Pod) -> None:
    damage, _ = DAMAGE["extra-file"]
    damage(filled.entry)
    before = filled.served()
    verify(filled)
    assert filled.served() == before
