"""An engine that begins anew in its pod may be ready only if it reads the files that were verified when the pod began."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.identity.main import MISMATCH_EXIT_CODE
from holdfast.identity.rehash import Answer, Outcome
from holdfast.identity.unchanged import Look, Unchanged, statuses
from unit.engines.fake import Start
from unit.identity.test_program import prepared, run
from unit.identity.test_rehash import PROGRAM
from unit.identity.test_verifying import EnoughError, weights
from unit.identity.watching import FLAGS

__all__ = ["weights"]
RIGHT = Look(right=True)


class Scene:
    """A folder of files, and what hashes them."""

    def __init__(self, folder: Path) -> None:
        self.files = folder / "model"
        (self.files / "nested").mkdir(parents=True)
        self.file = self.files / "nested" / "model.bin"
        self.file.write_bytes(b"right")
        self.memory = folder / "memory"
        self.ran = folder / "ran"
        self.code = 0

    def made(self) -> Unchanged:
        """A start of the container."""
        program = [sys.executable, "-c", PROGRAM, "said", str(self.code), str(self.ran)]
        return Unchanged(folders=[self.files], memory=self.memory, commands=[program])

    @property
    def runs(self) -> int:
        return len(self.ran.read_text().splitlines()) if self.ran.exists() else 0


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def settled(unchanged: Unchanged) -> Look:
    """Look until nothing is being hashed any more."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = unchanged.look()
        if found != Look():
            return found
        time.sleep(0.01)
    raise AssertionError("it does not come to an end")


def in_place(scene: Scene) -> None:
    """Other bytes of the same length, with the old time of modification."""
    status = scene.file.stat()
    scene.file.write_bytes(b"wrong")
    os.utime(scene.file, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced(scene: Scene) -> None:
    other = scene.file.with_name("other")
    other.write_bytes(b"wrong")
    other.rename(scene.file)


def linked(scene: Scene) -> None:
    scene.file.unlink()
    scene.file.symlink_to("/etc/hostname")


CHANGES: dict[str, Callable[[Scene], object]] = {
    "in place": in_place,
    "replaced": replaced,
    "truncated": lambda scene: os.truncate(scene.file, 1),
    "missing": lambda scene: scene.file.unlink(),
    "extra": lambda scene: (scene.files / "extra.py").touch(),
    "a link": linked,
}
changes = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


def test_what_is_as_it_was_is_not_hashed(scene: Scene) -> None:
    assert scene.made().look() == RIGHT
    assert scene.made().look() == RIGHT
    assert scene.runs == 0


@changes
def test_what_changed_is_hashed_before_it_is_right(scene: Scene, change: Callable[[Scene], object]) -> None:
    unchanged = scene.made()
    time.sleep(0.02)  # file times step by the kernel's clock tick
    change(scene)
    assert unchanged.look() == Look()
    assert unchanged.busy
    assert settled(unchanged).answer == Answer(word="restart", outcome=Outcome.VERIFIED, message="said")
    assert unchanged.look() == RIGHT
    assert scene.runs == 1


def test_what_changed_between_two_starts_of_the_container_is_hashed(scene: Scene) -> None:
    scene.made()
    replaced(scene)
    assert settled(scene.made()).answer is not None


def test_what_changes_while_it_is_hashed_is_hashed_again(scene: Scene) -> None:
    unchanged = scene.made()
    replaced(scene)
    unchanged.look()
    (scene.files / "late.py").touch()
    assert settled(unchanged).answer is not None
    assert settled(unchanged).answer is not None
    assert unchanged.look() == RIGHT
    assert scene.runs == 2


def test_other_bytes_are_looked_at_by_one_more_start_which_may_see_another_mount(scene: Scene) -> None:
    scene.made()
    scene.code = 3
    replaced(scene)
    found = settled(scene.made())
    assert (found.right, found.again) == (False, True)
    found = settled(scene.made())
    assert (found.right, found.again) == (False, False)
    assert found.answer is not None
    assert found.answer.outcome is Outcome.MISMATCH


def test_a_mount_that_was_repaired_is_right_at_the_next_start(scene: Scene) -> None:
    scene.made()
    scene.code = 3
    replaced(scene)
    assert settled(scene.made()).again
    scene.code = 0
    unchanged = scene.made()
    assert settled(unchanged).answer is not None
    assert unchanged.look() == RIGHT
    scene.code = 3
    replaced(scene)
    assert settled(scene.made()).again, "the doubt of long ago still counts"


def test_files_that_cannot_be_read_are_tried_again(scene: Scene) -> None:
    unchanged = scene.made()
    scene.code = 4
    replaced(scene)
    unchanged = scene.made()
    for _ in range(2):
        found = settled(unchanged)
        assert found.answer is not None
        assert (found.right, found.answer.outcome) == (False, Outcome.UNAVAILABLE)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', '{"a": [1, 2]}'])
def test_a_memory_that_is_none_trusts_nothing(scene: Scene, content: str) -> None:
    scene.made()
    (scene.memory / "files.json").write_text(content)
    assert settled(scene.made()).answer is not None


def test_without_files_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    assert Unchanged(folders=[], memory=tmp_path / "memory", commands=[]).look() == RIGHT
    assert not (tmp_path / "memory").exists()


def test_names_that_are_no_text_are_seen(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).touch()
    assert len(statuses([tmp_path])) == 1


async def test_an_engine_that_comes_back_to_other_files_gets_no_request(
    start: Start, model: Path, tmp_path: Path, weights: Callable[[int], None]
) -> None:
    weights(3)
    files = tmp_path / "served"
    files.mkdir()
    (files / "model.bin").write_bytes(b"right")
    async with start("vllm", *FLAGS["vllm"]) as fake:
        container = prepared(fake, "vllm", model, tmp_path)
        container.arguments += [f"--folder=model={files}", "--artifacts-digest=sha256:1"]
        seen: list[int] = []

        def first(_seconds: float) -> None:
            seen.append(container.get("/ready")[0])
            raise EnoughError

        with pytest.raises(EnoughError):
            await run(container, first)
        assert seen == [200]
        (files / "model.bin").write_bytes(b"wrong")

        def later(_seconds: float) -> None:
            seen.append(container.get("/ready")[0])
            assert seen[-1] == 503

        assert await run(container, later) == 1, "this start may see a mount of before"
        assert await run(container, later) == MISMATCH_EXIT_CODE
        assert container.message == {"reason": "WeightsMismatch", "message": "model: a.gguf: what was found"}
        assert set(seen[1:]) == {503}
