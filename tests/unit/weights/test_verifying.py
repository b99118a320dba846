"""``holdfast-weights verify``: compares a directory, by hand or in a test."""

import pytest

from unit.weights.conftest import Pod
from unit.weights.damage import DAMAGE, Damage


def test_the_approved_files_are_verified(filled: Pod) -> None:
    outcome = filled.verify()
    assert outcome.status == 0
    assert "verified 4 files" in outcome.message


@pytest.mark.parametrize(("damage", "names"), DAMAGE.values(), ids=DAMAGE)
def test_each_difference_is_named(filled: Pod, damage: Damage, names: str) -> None:
    damage(filled.entry)
    outcome = filled.verify()
    assert (outcome.status, outcome.termination["reason"]) == (3, "WeightsMismatch")
    assert names in outcome.message


def test_it_does_not_change_what_it_finds(filled: Pod) -> None:
    damage, _ = DAMAGE["extra-file"]
    damage(filled.entry)
    before = filled.served()
    assert filled.verify().status == 3
    assert filled.served() == before
