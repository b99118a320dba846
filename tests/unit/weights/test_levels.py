"""What each level of verification catches, and what it does not: the table of docs/weights.md, line by line."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from holdfast.api.manifest import manifest_digest
from holdfast.weights.artifacts import ApprovedFile
from holdfast.weights.errors import WeightsMismatchError, WeightsUnavailableError
from holdfast.weights.inspection import Inspector
from holdfast.weights.levels import Level
from holdfast.weights.progress import Progress
from holdfast.weights.seals import Seals, read_key
from holdfast.weights.tree import check_tree
from holdfast.weights.verification import verify_sha256
from unit.weights.conftest import CONTENT, approved, safetensors
from unit.weights.damage import DAMAGE, Damage

KEY = b"k" * 32
SHARD = "model.safetensors"
OTHER_SHARD = "other.safetensors"
FILES = CONTENT | {OTHER_SHARD: safetensors(b"".join(i.to_bytes(4, "little") for i in range(400_000)))}


@dataclass
class Node:
    """A node with a copy of the model, and the seals of the volume that it is on."""

    copy: Path
    seals: Path
    boot: str = "boot 1"
    key: bytes | None = KEY
    files: list[ApprovedFile] = field(default_factory=lambda: approved(FILES))

    @property
    def digest(self) -> str:
        return manifest_digest(self.files)

    @property
    def seal(self) -> Path:
        return self.seals / f"{self.digest.removeprefix('sha256:')}.json"

    def start(self, level: Level) -> str:
        """Start a pod; return how its copy was verified."""
        seals = Seals(self.seals, self.key) if self.key else None
        return Inspector(level=level, seals=seals, boot_id=self.boot).inspect(self.copy, self.digest, self.files)

    def rebooted(self) -> "Node":
        return replace(self, boot="boot 2")

    def flip(self, path: str = SHARD) -> None:
        """Change one bit, and give the file its old times back, as far as one can."""
        target = self.copy / path
        times = target.stat()
        target.chmod(0o644)
        with target.open("r+b") as file:
            file.seek(900_000)
            byte = file.read(1)
            file.seek(900_000)
            file.write(bytes([byte[0] ^ 1]))
        target.chmod(0o444)
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))

    def forge_times(self) -> None:
        """Let the seal say what the files' times are now, as storage would that sets change times at will."""
        store = Seals(self.seals, KEY)
        seal = store.read(self.digest)
        assert seal is not None
        files = []
        for file in seal.files:
            status = (self.copy / file.path).stat()
            files.append(replace(file, inode=status.st_ino, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns))
        store.write(replace(seal, files=tuple(files)))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    copy = tmp_path / "copy"
    for path, content in FILES.items():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes(content)
        (copy / path).chmod(0o444)
    yield Node(copy=copy, seals=tmp_path / "seals")
    for root, _, _ in os.walk(tmp_path):
        Path(root).chmod(0o700)


LEVELS = list(Level)


@pytest.mark.parametrize("level", LEVELS)
def test_the_first_look_is_at_every_byte(node: Node, level: Level) -> None:
    assert node.start(level) == "by sha256"


def test_always_means_every_byte_at_each_start(node: Node) -> None:
    assert [node.start(Level.ALWAYS) for _ in range(2)] == ["by sha256", "by sha256"]


@pytest.mark.parametrize("level", [Level.ON_NODE, Level.ON_FETCH])
def test_a_sealed_copy_is_not_read_again(node: Node, level: Level) -> None:
    node.start(level)
    assert node.start(level) == "by the seal"


def test_on_node_reads_every_byte_once_after_each_boot(node: Node) -> None:
    node.start(Level.ON_NODE)
    assert "by blake3" in node.rebooted().start(Level.ON_NODE)
    assert node.rebooted().start(Level.ON_NODE) == "by the seal"
    assert node.start(Level.ON_NODE) == "by the seal"


def test_on_fetch_does_not_read_again_after_a_boot(node: Node) -> None:
    node.start(Level.ON_FETCH)
    assert node.rebooted().start(Level.ON_FETCH) == "by the seal"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("damage", "names"), DAMAGE.values(), ids=DAMAGE)
def test_every_level_catches_what_is_done_to_a_sealed_copy(node: Node, level: Level, damage: Damage, names: str) -> None:
    node.start(level)
    damage(node.copy)
    with pytest.raises(WeightsMismatchError) as caught:
        node.start(level)
    assert names.replace("sha256-", "copy") in str(caught.value)


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_catches_a_flipped_bit_under_the_old_modification_time(node: Node, level: Level) -> None:
    node.start(level)
    node.flip()
    with pytest.raises(WeightsMismatchError, match=SHARD):
        node.start(level)


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_catches_two_shards_that_were_swapped(node: Node, level: Level) -> None:
    node.start(level)
    (node.copy / SHARD).rename(node.copy / "third")
    (node.copy / OTHER_SHARD).rename(node.copy / SHARD)
    (node.copy / "third").rename(node.copy / OTHER_SHARD)
    with pytest.raises(WeightsMismatchError, match="safetensors"):
        node.start(level)


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_names_what_it_expected_and_what_it_found(node: Node, level: Level) -> None:
    node.start(level)
    node.flip()
    expected = next(file for file in node.files if file.path == SHARD)
    with pytest.raises(
        WeightsMismatchError, match=rf"'{SHARD}': expected {expected.size} bytes, sha256 {expected.sha256}, found"
    ):
        node.start(level)


def test_sealing_anew_reads_every_byte_of_a_sealed_copy(node: Node) -> None:
    node.start(Level.ON_NODE)
    node.flip()
    node.forge_times()
    inspector = Inspector(level=Level.ON_NODE, seals=Seals(node.seals, KEY), boot_id=node.boot, anew=True)
    with pytest.raises(WeightsMismatchError, match=SHARD):
        inspector.inspect(node.copy, node.digest, node.files)


# Storage that changes bytes without the kernel of a node knowing: bit rot, a volume that is written to from behind, forged times.


def test_always_catches_storage_that_lies(node: Node) -> None:
    node.start(Level.ON_NODE)
    node.flip()
    node.forge_times()
    with pytest.raises(WeightsMismatchError, match=SHARD):
        node.start(Level.ALWAYS)


def test_on_node_catches_storage_that_lies_after_the_next_boot(node: Node) -> None:
    node.start(Level.ON_NODE)
    node.flip()
    node.forge_times()
    with pytest.raises(WeightsMismatchError, match=SHARD):
        node.rebooted().start(Level.ON_NODE)


def test_on_node_does_not_catch_storage_that_lies_before_the_next_boot(node: Node) -> None:
    node.start(Level.ON_NODE)
    node.flip()
    node.forge_times()
    assert node.start(Level.ON_NODE) == "by the seal"


def test_on_fetch_does_not_catch_storage_that_lies(node: Node) -> None:
    node.start(Level.ON_FETCH)
    node.flip()
    node.forge_times()
    assert node.rebooted().start(Level.ON_FETCH) == "by the seal"


# Who may say that a copy was verified.


@pytest.mark.parametrize("level", LEVELS)
def test_without_a_key_every_byte_is_read(node: Node, level: Level) -> None:
    node.start(level)
    assert replace(node, key=None).start(level) == "by sha256"


@pytest.mark.parametrize("level", LEVELS)
def test_a_seal_of_another_key_is_not_trusted(node: Node, level: Level) -> None:
    replace(node, key=b"another key of some length").start(level)
    assert node.start(level) == "by sha256"


def test_a_seal_cannot_be_given_another_boot_without_the_key(node: Node) -> None:
    node.start(Level.ON_NODE)
    content = json.loads(node.seal.read_text())
    content["sealed"] = content["sealed"].replace("boot 1", "boot 2")
    node.seal.write_text(json.dumps(content))
    assert node.rebooted().start(Level.ON_NODE) == "by sha256"


def test_a_seal_of_another_list_of_files_is_not_trusted(node: Node) -> None:
    node.start(Level.ON_FETCH)
    others = [replace(file, sha256="0" * 64) if file.path == SHARD else file for file in node.files]
    approved_since = replace(node, files=others)
    approved_since.seal.write_bytes(node.seal.read_bytes())
    with pytest.raises(WeightsMismatchError, match=SHARD):
        approved_since.start(Level.ON_FETCH)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b'{"hmac":"","sealed":""}', b"\xff", b"[" * 100_000])
def test_a_seal_that_is_nonsense_is_not_trusted(node: Node, content: bytes) -> None:
    node.start(Level.ON_FETCH)
    node.seal.write_bytes(content)
    assert node.start(Level.ON_FETCH) == "by sha256"


def test_a_seal_is_not_read_through_a_link(node: Node) -> None:
    node.start(Level.ON_FETCH)
    elsewhere = node.seals / "elsewhere"
    node.seal.rename(elsewhere)
    node.seal.symlink_to(elsewhere)
    assert node.start(Level.ON_FETCH) == "by sha256"


def test_a_copy_of_a_sealed_copy_is_read_again(node: Node, tmp_path: Path) -> None:
    node.start(Level.ON_FETCH)
    shutil.copytree(node.copy, tmp_path / "moved")
    assert replace(node, copy=tmp_path / "moved").start(Level.ON_FETCH) == "by sha256"


def test_seals_that_cannot_be_written_cost_another_look_only(node: Node) -> None:
    node.seals.write_bytes(b"not a folder")
    assert [node.start(Level.ON_NODE) for _ in range(2)] == ["by sha256", "by sha256"]


def test_a_key_that_proves_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(WeightsUnavailableError, match="16 are the least"):
        read_key(tmp_path / "key")


def test_a_key_that_is_not_there_is_no_key(tmp_path: Path) -> None:
    assert read_key(tmp_path / "key") is None


def test_many_boots_are_not_remembered_for_ever(node: Node) -> None:
    node.start(Level.ON_NODE)
    store = Seals(node.seals, KEY)
    seal = store.read(node.digest)
    assert seal is not None
    for number in range(600):
        seal = seal.on_boot(f"boot {number}")
    assert len(seal.boot_ids) == 512
    assert seal.boot_ids[-1] == "boot 599"


def test_a_file_that_is_written_to_while_it_is_read_is_refused(node: Node) -> None:
    class Touching(Progress):
        def add(self, count: int) -> None:
            super().add(count)
            os.utime(node.copy / SHARD)

    statuses = check_tree(node.copy, node.files)
    with pytest.raises(WeightsMismatchError, match=f"'{SHARD}': expected that nobody writes"):
        verify_sha256(node.copy, node.files, statuses, Touching("verifying", 1))


def test_a_file_that_changed_this_moment_is_read_after_the_clock_went_on(node: Node) -> None:
    newest = max((node.copy / path).stat().st_ctime for path in FILES)
    slept: list[float] = []
    seals = Seals(node.seals, KEY)
    inspector = Inspector(level=Level.ON_NODE, seals=seals, boot_id="boot", clock=lambda: newest + 0.01, sleep=slept.append)
    inspector.inspect(node.copy, node.digest, node.files)
    assert slept == [0.1]
