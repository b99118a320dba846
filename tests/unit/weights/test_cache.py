"""The cache between pods: verified at each start, never trusted."""

import pytest

from testbed.hub import HubServer
from unit.weights.conftest import CONTENT, REPOSITORY, Pod
from unit.weights.damage import DAMAGE, Damage, other_byte


def test_a_filled_cache_needs_no_network(filled: Pod, hub: HubServer) -> None:
    outcome = filled.fetch()
    assert outcome.status == 0
    assert "in the cache" in outcome.message
    assert hub.admin.requests() == []


def test_a_filled_cache_serves_when_the_hub_is_gone(filled: Pod) -> None:
    filled.move_to("http://127.0.0.1:1")
    assert filled.fetch().status == 0


@pytest.mark.parametrize(("damage", "names"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_entry_is_replaced(filled: Pod, damage: Damage, names: str) -> None:
    damage(filled.entry)
    outcome = filled.fetch()
    assert outcome.status == 0
    assert "was replaced" in outcome.message
    assert names in outcome.message
    assert not filled.entry.is_symlink()
    assert filled.served() == CONTENT
    assert [name for name in filled.leftovers() if name.startswith(".")] == []


@pytest.mark.parametrize(("damage", "names"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_entry_is_not_served_when_the_hub_is_gone(filled: Pod, hub: HubServer, damage: Damage, names: str) -> None:
    damage(filled.entry)
    hub.admin.delete_repo(REPOSITORY)
    outcome = filled.fetch()
    assert (outcome.status, outcome.termination["reason"]) == (4, "WeightsUnavailable")
    assert names in outcome.message
    assert not filled.entry.exists()


def test_another_list_of_files_is_another_entry(filled: Pod, hub: HubServer) -> None:
    newer = dict(CONTENT) | {"config.json": b"{}"}
    other = Pod(
        folder=filled.folder, endpoint=hub.url, commit=hub.admin.commit(REPOSITORY, {"config.json": b"{}"}), content=newer
    )
    assert other.entry != filled.entry
    assert other.fetch().status == 0
    assert other.served() == newer
    assert filled.entry.is_dir()


def test_deleting_works_without_the_rights_of_root(filled: Pod) -> None:
    other_byte(filled.entry)
    (filled.entry / "nested").chmod(0o555)
    filled.prefix = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    assert filled.fetch().status == 0
    assert filled.leftovers() == []
