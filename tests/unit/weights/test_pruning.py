"""Copies that no revision names are deleted when the owner wants that, and never one that may be named."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.weights import pruning
from holdfast.weights.artifacts import Access, read_artifacts
from holdfast.weights.cache import Cache
from holdfast.weights.errors import WeightsUnavailableError
from holdfast.weights.fetch import Fetcher
from holdfast.weights.inspection import Inspector
from holdfast.weights.lease import Holder, Lease
from holdfast.weights.levels import Level
from holdfast.weights.options import parse
from holdfast.weights.pruning import Pruner
from testbed.hub import HubServer
from unit.weights.conftest import CONTENT, REPOSITORY, Pod, make_deletable

OWN = f"sha256:{'a' * 64}"
KEY = b"a key of sixteen bytes or more"
NEWER = dict(CONTENT) | {"config.json": b"{}"}


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "key"
    path.write_bytes(KEY)
    return f"--seal-key-file={path}"


@pytest.fixture
def old(pod: Pod, key: str) -> Pod:
    """Revision 1, whose copy is in the cache."""
    assert pod.fetch("--revision=1", key).status == 0
    return pod


@pytest.fixture
def new(old: Pod, hub: HubServer) -> Pod:
    """Revision 2 of the same deployment, which nobody fetched yet."""
    commit = hub.admin.commit(REPOSITORY, {"config.json": NEWER["config.json"]})
    hub.admin.reset_journal()
    made = Pod(folder=old.folder / "new", endpoint=hub.url, commit=commit, content=dict(NEWER))
    made.cache = old.cache
    return made


def listed(pod: Pod, revision: int, *named: Pod) -> str:
    """The option with a list of what these pods' revisions name."""
    path = pod.folder / "named.json"
    path.write_text(json.dumps({"revision": revision, "manifestDigests": [each.digest for each in named]}))
    return f"--named={path}"


def traces(pod: Pod) -> list[str]:
    """What the cache still has of a copy, but for its lock, which others may wait for."""
    found = [path.name for path in (*pod.cache.iterdir(), *(pod.cache / "seals").iterdir())]
    return sorted(name for name in found if pod.entry.name.removeprefix("sha256-") in name and not name.startswith(".lock-"))


def test_a_copy_that_no_revision_names_is_deleted_with_its_seal(old: Pod, new: Pod, key: str) -> None:
    outcome = new.fetch("--revision=2", listed(new, 2, new), key)
    assert outcome.status == 0
    assert "deleted 1 that no revision names" in outcome.message
    assert traces(old) == []
    assert new.served() == NEWER


def test_a_copy_that_is_named_stays(old: Pod, new: Pod, key: str) -> None:
    assert new.fetch("--revision=2", listed(new, 2, old, new), key).status == 0
    assert old.served() == CONTENT
    assert f"{old.entry.name.removeprefix('sha256-')}.json" in traces(old)


def test_without_a_list_nothing_is_deleted(old: Pod, new: Pod) -> None:
    assert new.fetch("--revision=2").status == 0
    assert old.served() == CONTENT


def test_the_list_is_asked_for_with_the_revision_that_asks(pod: Pod, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(pod.command("fetch", "--named=named.json")[3:])
    assert "--named needs the --revision" in capsys.readouterr().err


def test_nothing_is_deleted_for_a_fetch_that_fails(old: Pod, new: Pod, hub: HubServer) -> None:
    hub.admin.delete_repo(REPOSITORY)
    assert new.fetch("--revision=2", listed(new, 2, new)).status == 4
    assert old.served() == CONTENT


def test_deleting_works_without_the_rights_of_root(old: Pod, new: Pod) -> None:
    new.prefix = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    assert new.fetch("--revision=2", listed(new, 2, new)).status == 0
    assert not old.entry.exists()


@pytest.mark.parametrize("verb", ["fetch", "verify"])
def test_whoever_uses_a_copy_marks_it(old: Pod, verb: str) -> None:
    assert old.finish(old.start("--revision=3", verb=verb)).status == 0
    assert f"{old.entry.name.removeprefix('sha256-')}.3" in traces(old)


def test_a_copy_is_marked_before_it_is_looked_for(new: Pod) -> None:
    assert new.verify("--revision=7").status == 4
    assert [path.name for path in (new.cache / "seals").glob("*.7")] == [f"{new.digest.removeprefix('sha256:')}.7"]


def test_marks_that_cannot_be_written_keep_nobody_from_verifying(old: Pod, tmp_path: Path) -> None:
    elsewhere = tmp_path / "no folder"
    elsewhere.touch()
    assert old.verify("--revision=2", f"--seals={elsewhere}").status == 0


# In one process, to stop it where it hurts.


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """A cache with two copies, whose files are one name each."""
    made = tmp_path / "cache"
    (made / "seals").mkdir(parents=True)
    for digit in "ab":
        (made / f"sha256-{digit * 64}" / "nested").mkdir(parents=True)
        (made / f"sha256-{digit * 64}" / "nested" / digit).touch()
        (made / "seals" / f"{digit * 64}.json").touch()
    yield made
    make_deletable(made)


def holder() -> Holder:
    return Holder(unique="test", boot_id="boot")


def prune(cache: Path, *, named: str = "a", revision: int = 5) -> int:
    """Delete what is not named, as the Job of the revision that names the first."""
    listed = {"revision": revision, "manifestDigests": [f"sha256:{digit * 64}" for digit in named]}
    return prune_by(cache, json.dumps(listed), revision)


def prune_by(cache: Path, content: str, revision: int) -> int:
    path = cache.parent / "named.json"
    path.write_text(content)
    return Pruner(directory=cache, named=path, revision=revision, own=[OWN], holder=holder()).prune()


def there(cache: Path, digit: str) -> bool:
    return (cache / f"sha256-{digit * 64}" / "nested" / digit).exists()


def removed(cache: Path) -> list[Path]:
    return list(cache.glob(".removed-*"))


def mark(cache: Path, digit: str, revision: int) -> None:
    pruning.mark(cache / "seals", f"sha256:{digit * 64}", revision)


def test_only_what_is_not_named_goes(cache: Path) -> None:
    assert prune(cache) == 1
    assert (there(cache, "a"), there(cache, "b")) == (True, False)
    assert {path.name for path in (cache / "seals").iterdir()} == {f"{'a' * 64}.json"}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("null", id="null"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param(json.dumps({"revision": 5, "manifestDigests": []}), id="nothing is named"),
        pytest.param(json.dumps({"revision": "5", "manifestDigests": [OWN]}), id="no number"),
        pytest.param(json.dumps({"revision": True, "manifestDigests": [OWN]}), id="a truth for a number"),
        pytest.param(json.dumps({"revision": 5, "manifestDigests": [OWN, "../x"]}), id="no digest"),
        pytest.param(json.dumps({"revision": 5, "manifestDigests": [OWN, 7]}), id="no text"),
        pytest.param(json.dumps({"revision": 4, "manifestDigests": [OWN]}), id="older than the Job"),
        pytest.param(json.dumps({"revision": 6, "manifestDigests": [f"sha256:{'c' * 64}"]}), id="without the Job's own"),
    ],
)
def test_a_list_that_cannot_be_relied_on_deletes_nothing(cache: Path, content: str) -> None:
    assert prune_by(cache, content, 5) == 0
    assert there(cache, "b")


def test_a_missing_list_deletes_nothing(cache: Path) -> None:
    missing = cache.parent / "missing"
    assert Pruner(directory=cache, named=missing, revision=5, own=[OWN], holder=holder()).prune() == 0
    assert there(cache, "b")


@pytest.mark.parametrize(("later", "stays"), [(4, False), (5, True), (6, True)])
def test_what_a_revision_uses_of_which_the_list_cannot_know_stays(cache: Path, later: int, stays: bool) -> None:
    mark(cache, "b", later)
    assert prune(cache) == (not stays)
    assert there(cache, "b") == stays


def test_what_somebody_works_on_stays(cache: Path) -> None:
    with Lease(cache, "b" * 64, Holder(unique="another", boot_id="boot")).held():
        assert prune(cache) == 0
        assert there(cache, "b")
    assert prune(cache) == 1


def test_what_somebody_on_another_node_works_on_stays(cache: Path) -> None:
    """Locks may end at the node; the lease does not."""
    (cache / f".lease-{'b' * 64}").write_text(json.dumps({"beat": 1, "boot": "another", "holder": "another"}))
    assert prune(cache) == 0
    assert there(cache, "b")


def test_a_mark_that_comes_while_a_copy_is_moved_away_brings_it_back(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def marked(self: Path, target: Path) -> Path:
        moved = rename(self, target)
        mark(cache, "b", 6)
        return moved

    monkeypatch.setattr(Path, "rename", marked)
    assert prune(cache) == 0
    assert there(cache, "b")
    assert removed(cache) == []


class Killed(BaseException):
    """As SIGKILL: nothing that follows is carried out."""


@pytest.fixture(params=["before anything is deleted", "in the middle"])
def cut_short(request: pytest.FixtureRequest, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache in which deleting was killed."""

    def kill(path: Path) -> None:
        if request.param == "in the middle":
            for root, _, _ in os.walk(path):
                Path(root).chmod(0o700)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(pruning, "remove", kill)
        with pytest.raises(Killed):
            prune(cache)
    assert not there(cache, "b")
    assert len(removed(cache)) == 1
    return cache


def test_the_next_one_deletes_what_a_killed_one_moved_away(cut_short: Path) -> None:
    assert prune(cut_short) == 1
    assert removed(cut_short) == []
    assert not there(cut_short, "b")


def test_what_a_killed_one_moved_away_comes_back_once_it_is_named(cut_short: Path) -> None:
    assert prune(cut_short, named="ab") == 0
    assert there(cut_short, "b")
    assert removed(cut_short) == []
    assert (cut_short / f"sha256-{'b' * 64}").stat().st_mode & 0o777 == 0o555


def test_what_a_killed_one_moved_away_comes_back_once_it_is_marked(cut_short: Path) -> None:
    mark(cut_short, "b", 5)
    assert prune(cut_short) == 0
    assert there(cut_short, "b")


def test_what_a_killed_one_moved_away_does_not_replace_what_was_fetched_since(cut_short: Path) -> None:
    (cut_short / f"sha256-{'b' * 64}").mkdir()
    assert prune(cut_short, named="ab") == 0
    assert list((cut_short / f"sha256-{'b' * 64}").iterdir()) == []
    assert removed(cut_short) == []


def test_what_a_killed_one_moved_away_is_put_back_and_not_fetched_when_it_is_asked_for(old: Pod, hub: HubServer) -> None:
    old.entry.rename(old.cache / f".removed-{old.entry.name.removeprefix('sha256-')}-killed")
    hub.admin.delete_repo(REPOSITORY)
    assert old.fetch("--revision=2").status == 0
    assert old.served() == CONTENT
    assert removed(old.cache) == []


def test_room_is_made_before_a_fetch_that_needs_it(old: Pod, new: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Cache._free_bytes
    monkeypatch.setattr(Cache, "_free_bytes", lambda self: 0 if old.entry.exists() else room(self))
    (artifact,) = read_artifacts(new.artifacts, new.artifacts_digest)
    path = Path(listed(new, 2, new).removeprefix("--named="))
    pruner = Pruner(directory=new.cache, named=path, revision=2, own=[new.digest], holder=holder())
    fetcher = Fetcher(
        directory=new.cache,
        access=Access(),
        inspector=Inspector(level=Level.ALWAYS, seals=None, boot_id=""),
        holder=holder(),
    )
    with pytest.raises(WeightsUnavailableError, match="0 bytes left"):
        fetcher.fetch(artifact)
    replace(fetcher, pruner=pruner).fetch(artifact)
    assert new.served() == NEWER
    assert traces(old) == []
