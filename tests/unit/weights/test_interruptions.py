"""Fetching is killed, runs twice at once, or finds no room: an entry is published whole or not at all."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.weights.artifacts import Access, read_artifacts
from holdfast.weights.cache import Cache, Work
from holdfast.weights.errors import WeightsMismatchError, WeightsUnavailableError
from holdfast.weights.fetch import Fetcher
from holdfast.weights.inspection import Inspector
from holdfast.weights.lease import Holder, Pace
from holdfast.weights.levels import Level
from holdfast.weights.partial import PartialFile
from testbed.hub import Drop, HubServer, OtherBytes, Slow, Stall
from unit.weights.conftest import CONTENT, REPOSITORY, Pod

WEIGHTS = "model.safetensors"
STOPPED_AT = 600_000
UNHURRIED = Slow(match=r"^/cdn/", times=1, bytes_per_second=800_000)
"""Takes two seconds: time enough to stop the process in the middle."""


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def started(pod: Pod, least: int = 1) -> Callable[[], bool]:
    """Whether a part of the weights is on the disk and in the journal."""

    def check() -> bool:
        journals = list(pod.cache.glob(".incoming-*/journal"))
        # Of the files that are not empty, the weights are the last but one.
        return bool(journals) and int.from_bytes(journals[0].read_bytes()[-16:-8], "little") >= least

    return check


def start_and_get_stuck(pod: Pod, hub: HubServer) -> subprocess.Popen[str]:
    """Start a fetch that has everything but the end of the weights, and hears nothing more."""
    hub.admin.add_fault(Drop(match=r"^/cdn/", after_bytes=STOPPED_AT))
    hub.admin.add_fault(Stall(match=r"^/cdn/", skip=1, times=None))
    process = pod.start()
    wait_for(started(pod, STOPPED_AT))
    return process


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a fetch leaves that was killed in the middle of the weights."""
    with HubServer() as hub:
        hub.admin.create_repo(REPOSITORY)
        folder = tmp_path_factory.mktemp("interrupted")
        pod = Pod(folder=folder, endpoint=hub.url, commit=hub.admin.commit(REPOSITORY, dict(CONTENT)))
        process = start_and_get_stuck(pod, hub)
        process.kill()
        pod.finish(process)
        return pod.cache


@pytest.fixture
def killed(pod: Pod, interrupted: Path) -> Pod:
    """A pod whose predecessor on its volume was killed in the middle of the weights."""
    shutil.copytree(interrupted, pod.cache, dirs_exist_ok=True)
    return pod


@contextmanager
def standing_still(process: subprocess.Popen[str]) -> Iterator[None]:
    """While the block runs, the process neither goes on nor ends."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def wait_until_waiting(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert "waiting for another pod" in process.stdout.readline()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)])
def test_a_killed_fetch_publishes_nothing(pod: Pod, hub: HubServer, number: int, status: int) -> None:
    process = start_and_get_stuck(pod, hub)
    process.send_signal(number)
    assert pod.finish(process).status == status
    assert not pod.entry.exists()


def test_the_next_fetch_goes_on_at_the_byte_where_the_killed_one_stopped(killed: Pod, hub: HubServer) -> None:
    left = next(killed.cache.glob(f".incoming-*/files/{WEIGHTS}")).stat().st_size
    assert killed.fetch().status == 0
    (request,) = hub.admin.requests("GET /cdn/")
    assert request.range == f"bytes={left}-{len(CONTENT[WEIGHTS]) - 1}"
    assert killed.served() == CONTENT
    assert killed.leftovers() == []


def test_what_a_pod_on_another_node_left_is_copied_and_gone_on_with(killed: Pod, hub: HubServer) -> None:
    left = next(killed.cache.glob(f".incoming-*/files/{WEIGHTS}"))
    size = left.stat().st_size
    lease = next(killed.cache.glob(".lease-*"))
    lease.write_text(json.dumps(json.loads(lease.read_text()) | {"boot": "another"}))
    with left.open("r+b") as still_open:
        (artifact,) = read_artifacts(killed.artifacts, killed.artifacts_digest)
        fetcher(killed).fetch(artifact)
        still_open.seek(0)
        still_open.write(b"written by one that was thought dead")
    (request,) = hub.admin.requests("GET /cdn/")
    assert request.range == f"bytes={size}-{len(CONTENT[WEIGHTS]) - 1}"
    assert killed.served() == CONTENT
    assert killed.leftovers() == []


def test_files_that_a_killed_fetch_had_completed_are_not_asked_for_again(killed: Pod, hub: HubServer) -> None:
    assert killed.fetch().status == 0
    assert hub.admin.requests("GET /api/resolve-cache/") == []


@pytest.mark.parametrize("where", ["first byte", "last byte"])
def test_bytes_of_a_killed_fetch_that_were_changed_are_brought_again(killed: Pod, where: str) -> None:
    left = next(killed.cache.glob(f".incoming-*/files/{WEIGHTS}"))
    with left.open("r+b") as file:
        file.seek(0 if where == "first byte" else left.stat().st_size - 1)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    assert killed.fetch().status == 0
    assert killed.served() == CONTENT


def test_wrong_bytes_after_a_resumption_never_become_an_entry(killed: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(OtherBytes(match=r"^/cdn/", times=None, offset=len(CONTENT[WEIGHTS]) - 1))
    assert killed.fetch().status == 3
    assert not killed.entry.exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * 4096], ids=["empty", "nonsense", "too far"])
def test_a_journal_that_lies_does_no_harm(killed: Pod, content: bytes) -> None:
    journal = next(killed.cache.glob(".incoming-*/journal"))
    header = journal.read_bytes()[: -8 * 3]
    journal.write_bytes(header + b"\xff" * 24 if content.startswith(b"\xff") else content)
    assert killed.fetch().status == 0
    assert killed.served() == CONTENT


def test_a_link_that_stands_in_the_way_of_a_file_is_not_written_through(killed: Pod) -> None:
    victim = killed.folder / "victim"
    victim.write_bytes(b"precious")
    left = next(killed.cache.glob(f".incoming-*/files/{WEIGHTS}"))
    left.unlink()
    left.symlink_to(victim)
    assert killed.fetch().status == 0
    assert victim.read_bytes() == b"precious"
    assert not (killed.entry / WEIGHTS).is_symlink()
    assert killed.served() == CONTENT


def test_fetches_that_are_killed_again_and_again_come_to_an_end(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(Slow(match=r"^/cdn/", times=None, bytes_per_second=1_200_000))
    chance = random.Random(4)  # noqa: S311 # the same moments in each run
    kills = 0

    def present() -> int:
        return max((part.stat().st_size for part in pod.cache.glob(f".incoming-*/files/{WEIGHTS}")), default=0)

    while not pod.entry.exists():
        before = present()
        process = pod.start()
        wait_for(lambda before=before: present() > before or pod.entry.exists())  # type: ignore[misc]
        time.sleep(chance.uniform(0.0, 0.1))
        process.kill()
        pod.finish(process)
        kills += 1
        assert kills < 10, "nothing is kept between two fetches"
    assert pod.fetch().status == 0
    assert pod.served() == CONTENT
    assert kills > 2


def test_what_a_killed_fetch_of_another_model_left_is_kept_for_its_next_try(killed: Pod, hub: HubServer) -> None:
    other = another(killed)
    assert other.fetch().status == 0
    hub.admin.reset_journal()
    assert killed.fetch().status == 0
    (request,) = hub.admin.requests("GET /cdn/")
    assert request.range is not None


def test_what_nobody_went_on_with_for_a_day_is_deleted(killed: Pod) -> None:
    for path in (*killed.cache.glob(".incoming-*"), *killed.cache.glob(".incoming-*/journal")):
        os.utime(path, (time.time() - 90_000,) * 2)
    assert another(killed).fetch().status == 0
    assert [name for name in killed.leftovers() if name.startswith(".incoming")] == []


def test_a_fetch_of_another_model_leaves_running_ones_alone(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(UNHURRIED)
    process = pod.start()
    wait_for(started(pod))
    with standing_still(process):
        for path in (*pod.cache.glob(".incoming-*"), *pod.cache.glob(".incoming-*/journal")):
            os.utime(path, (time.time() - 90_000,) * 2)
        assert another(pod).fetch().status == 0
    assert pod.finish(process).status == 0
    assert pod.served() == CONTENT


def another(pod: Pod) -> Pod:
    """A pod with another model and the same volume."""
    content = {"config.json": CONTENT["config.json"]}
    made = Pod(folder=pod.folder / "other", endpoint=pod.endpoint, commit=pod.commit, content=content)
    made.cache = pod.cache
    return made


def test_two_pods_fetch_once(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(UNHURRIED)
    first = pod.start()
    wait_for(started(pod))
    with standing_still(first):
        second = pod.start()
        wait_until_waiting(second)
    assert {pod.finish(first).status, pod.finish(second).status} == {0}
    assert pod.served() == CONTENT
    assert len(hub.admin.requests("GET /cdn/")) == 1


def test_a_waiting_pod_takes_over_from_a_killed_one(pod: Pod, hub: HubServer) -> None:
    first = start_and_get_stuck(pod, hub)
    second = pod.start()
    wait_until_waiting(second)
    hub.admin.clear_faults()
    first.kill()
    pod.finish(first)
    assert pod.finish(second).status == 0
    assert pod.served() == CONTENT
    assert hub.admin.requests("GET /cdn/")[-1].range is not None


def fetcher(pod: Pod) -> Fetcher:
    inspector = Inspector(level=Level.ALWAYS, seals=None, boot_id="")
    holder = Holder(unique="test", boot_id="boot")
    return Fetcher(directory=pod.cache, access=Access(), inspector=inspector, holder=holder, pace=Pace(expire=0.2))


def in_process(pod: Pod) -> str:
    (artifact,) = read_artifacts(pod.artifacts, pod.artifacts_digest)
    return fetcher(pod).fetch(artifact)


def test_a_wrong_entry_that_another_pod_published_first_is_replaced(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    publish = Cache.publish

    def outrun(self: Cache, work: Work) -> bool:
        if not self.exists() and not (pod.folder / "done").exists():
            (pod.folder / "done").touch()
            pod.entry.mkdir()
            (pod.entry / "evil.py").write_text("print('evil')")
        return publish(self, work)

    monkeypatch.setattr(Cache, "publish", outrun)
    in_process(pod)
    assert pod.served() == CONTENT


def test_too_small_a_volume_is_said_before_anything_is_fetched(pod: Pod, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cache, "_free_bytes", lambda _: 1_000_000)
    with pytest.raises(WeightsUnavailableError, match="1000000 bytes left"):
        in_process(pod)
    assert hub.admin.requests() == []


def test_what_is_there_already_needs_no_room(killed: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    (artifact,) = read_artifacts(killed.artifacts, killed.artifacts_digest)
    total = sum(file.size for file in artifact.files or ())
    left = next(killed.cache.glob(f".incoming-*/files/{WEIGHTS}")).stat().st_size
    monkeypatch.setattr(Cache, "_free_bytes", lambda _: total - left + 16 * 1024 * 1024)
    in_process(killed)
    assert killed.served() == CONTENT


def test_unfinished_work_on_other_models_makes_room(killed: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    other = another(killed)
    room = Cache._free_bytes
    monkeypatch.setattr(
        Cache, "_free_bytes", lambda self: 0 if list(killed.cache.glob(".incoming-*/journal"))[1:] else room(self)
    )
    (artifact,) = read_artifacts(other.artifacts, other.artifacts_digest)
    with_boot = Fetcher(
        directory=other.cache,
        access=Access(),
        inspector=Inspector(level=Level.ALWAYS, seals=None, boot_id=""),
        holder=Holder(unique="test", boot_id=boot_id()),
    )
    with_boot.fetch(artifact)
    assert other.served() == {"config.json": CONTENT["config.json"]}


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_volume_that_fails_in_the_middle_is_said_to_have(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: PartialFile, *_: object) -> None:
        raise OSError(28, "No space left on device", str(self._path))

    monkeypatch.setattr(PartialFile, "write", full)
    with pytest.raises(OSError, match="No space left"):
        in_process(pod)
    assert not pod.entry.exists()


@pytest.mark.parametrize("what", ["a file", "a folder", "a link in the place of a file", "a link to a folder", "a pipe"])
def test_what_somebody_adds_to_an_interrupted_fetch_is_not_published(killed: Pod, what: str, tmp_path: Path) -> None:
    (left,) = killed.cache.glob(".incoming-*/files")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "other.bin").write_bytes(CONTENT[WEIGHTS])
    if what == "a file":
        (left / "extra.py").write_text("print('hello')\n")
    elif what == "a folder":
        (left / "more").mkdir()
        (left / "more" / "extra.py").write_text("print('hello')\n")
    elif what == "a link in the place of a file":
        (left / WEIGHTS).unlink()
        (left / WEIGHTS).symlink_to(elsewhere / "other.bin")
    elif what == "a link to a folder":
        (left / "more").symlink_to(elsewhere)
    else:
        os.mkfifo(left / "pipe")
    assert killed.fetch().status == 0
    found = {path.relative_to(killed.entry).as_posix() for path in killed.entry.rglob("*") if not path.is_dir()}
    assert found == set(CONTENT)
    assert not any(path.is_symlink() for path in killed.entry.rglob("*"))
    assert (elsewhere / "other.bin").read_bytes() == CONTENT[WEIGHTS]


@pytest.mark.parametrize("change", ["flipped", "replaced"])
def test_what_is_changed_between_the_last_byte_and_publishing_is_not_published(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    close = PartialFile.close

    def meddle(self: PartialFile) -> None:
        finished = self._descriptor is not None and self.file.path == WEIGHTS and self.observed is not None
        close(self)
        if finished:
            content = bytearray(self._path.read_bytes())
            content[1000] ^= 1
            if change == "replaced":
                self._path.unlink()
            else:
                self._path.chmod(0o644)
            self._path.write_bytes(content)

    monkeypatch.setattr(PartialFile, "close", meddle)
    with pytest.raises(WeightsMismatchError, match=f"'{WEIGHTS}': expected the file that was fetched"):
        in_process(pod)
    assert not pod.entry.exists()
