"""Fetching is killed, runs twice at once, or finds no room: an entry is published whole or not at all."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
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
from testbed.hub import HubServer, OtherBytes, Slow
from unit.weights.conftest import CONTENT, Pod

SLOW = Slow(match=r"^/cdn/", times=1, bytes_per_second=250_000)
WEIGHTS = "model.safetensors"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def started(pod: Pod) -> Callable[[], bool]:
    """Whether a part of the weights is on the disk."""

    def check() -> bool:
        parts = list(pod.cache.glob(f".incoming-*/files/{WEIGHTS}"))
        return bool(parts) and parts[0].stat().st_size > 0

    return check


def killed(pod: Pod, hub: HubServer) -> None:
    """Leave a fetch that was killed in the middle of the weights."""
    hub.admin.add_fault(SLOW)
    process = pod.start()
    wait_for(started(pod))
    process.kill()
    pod.finish(process)
    hub.admin.reset_journal()


def wait_until_waiting(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert "waiting for another pod" in process.stdout.readline()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)])
def test_a_killed_fetch_publishes_nothing(pod: Pod, hub: HubServer, number: int, status: int) -> None:
    hub.admin.add_fault(SLOW)
    process = pod.start()
    wait_for(started(pod))
    process.send_signal(number)
    assert pod.finish(process).status == status
    assert not pod.entry.exists()


def test_the_next_fetch_goes_on_at_the_byte_where_the_killed_one_stopped(pod: Pod, hub: HubServer) -> None:
    killed(pod, hub)
    left = next(pod.cache.glob(f".incoming-*/files/{WEIGHTS}")).stat().st_size
    assert pod.fetch().status == 0
    (request,) = hub.admin.requests("GET /cdn/")
    assert request.range == f"bytes={left}-{len(CONTENT[WEIGHTS]) - 1}"
    assert pod.served() == CONTENT
    assert pod.leftovers() == []


def test_what_a_pod_on_another_node_left_is_copied_and_gone_on_with(pod: Pod, hub: HubServer) -> None:
    killed(pod, hub)
    left = next(pod.cache.glob(f".incoming-*/files/{WEIGHTS}"))
    size = left.stat().st_size
    lease = next(pod.cache.glob(".lease-*"))
    lease.write_text(json.dumps(json.loads(lease.read_text()) | {"boot": "another"}))
    with left.open("r+b") as still_open:
        (artifact,) = read_artifacts(pod.artifacts, pod.artifacts_digest)
        fetcher(pod).fetch(artifact)
        still_open.seek(0)
        still_open.write(b"written by one that was thought dead")
    (request,) = hub.admin.requests("GET /cdn/")
    assert request.range == f"bytes={size}-{len(CONTENT[WEIGHTS]) - 1}"
    assert pod.served() == CONTENT
    assert pod.leftovers() == []


def test_files_that_a_killed_fetch_had_completed_are_not_asked_for_again(pod: Pod, hub: HubServer) -> None:
    killed(pod, hub)
    assert pod.fetch().status == 0
    assert hub.admin.requests("GET /api/resolve-cache/") == []


@pytest.mark.parametrize("where", ["first byte", "last byte"])
def test_bytes_of_a_killed_fetch_that_were_changed_are_brought_again(pod: Pod, hub: HubServer, where: str) -> None:
    killed(pod, hub)
    left = next(pod.cache.glob(f".incoming-*/files/{WEIGHTS}"))
    with left.open("r+b") as file:
        file.seek(0 if where == "first byte" else left.stat().st_size - 1)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    assert pod.fetch().status == 0
    assert pod.served() == CONTENT


def test_wrong_bytes_after_a_resumption_never_become_an_entry(pod: Pod, hub: HubServer) -> None:
    killed(pod, hub)
    hub.admin.add_fault(OtherBytes(match=r"^/cdn/", times=None, offset=len(CONTENT[WEIGHTS]) - 1))
    assert pod.fetch().status == 3
    assert not pod.entry.exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * 4096], ids=["empty", "nonsense", "too far"])
def test_a_journal_that_lies_does_no_harm(pod: Pod, hub: HubServer, content: bytes) -> None:
    killed(pod, hub)
    journal = next(pod.cache.glob(".incoming-*/journal"))
    header = journal.read_bytes()[: -8 * 3]
    journal.write_bytes(header + b"\xff" * 24 if content.startswith(b"\xff") else content)
    assert pod.fetch().status == 0
    assert pod.served() == CONTENT


def test_a_link_that_stands_in_the_way_of_a_file_is_not_written_through(pod: Pod, hub: HubServer) -> None:
    killed(pod, hub)
    victim = pod.folder / "victim"
    victim.write_bytes(b"precious")
    left = next(pod.cache.glob(f".incoming-*/files/{WEIGHTS}"))
    left.unlink()
    left.symlink_to(victim)
    assert pod.fetch().status == 0
    assert victim.read_bytes() == b"precious"
    assert not (pod.entry / WEIGHTS).is_symlink()
    assert pod.served() == CONTENT


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


def test_what_a_killed_fetch_of_another_model_left_is_kept_for_its_next_try(pod: Pod, hub: HubServer) -> None:
    killed(pod, hub)
    other = another(pod)
    assert other.fetch().status == 0
    hub.admin.reset_journal()
    assert pod.fetch().status == 0
    (request,) = hub.admin.requests("GET /cdn/")
    assert request.range is not None


def test_what_nobody_went_on_with_for_a_day_is_deleted(pod: Pod, hub: HubServer) -> None:
    killed(pod, hub)
    for path in (*pod.cache.glob(".incoming-*"), *pod.cache.glob(".incoming-*/journal")):
        os.utime(path, (time.time() - 90_000,) * 2)
    assert another(pod).fetch().status == 0
    assert [name for name in pod.leftovers() if name.startswith(".incoming")] == []


def test_a_fetch_of_another_model_leaves_running_ones_alone(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(SLOW)
    process = pod.start()
    wait_for(started(pod))
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
    hub.admin.add_fault(SLOW)
    first = pod.start()
    wait_for(started(pod))
    second = pod.start()
    wait_until_waiting(second)
    assert {pod.finish(first).status, pod.finish(second).status} == {0}
    assert pod.served() == CONTENT
    assert len(hub.admin.requests("GET /cdn/")) == 1


def test_a_waiting_pod_takes_over_from_a_killed_one(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(SLOW)
    first = pod.start()
    wait_for(started(pod))
    second = pod.start()
    wait_until_waiting(second)
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


def test_what_is_there_already_needs_no_room(pod: Pod, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(pod, hub)
    (artifact,) = read_artifacts(pod.artifacts, pod.artifacts_digest)
    total = sum(file.size for file in artifact.files or ())
    left = next(pod.cache.glob(f".incoming-*/files/{WEIGHTS}")).stat().st_size
    monkeypatch.setattr(Cache, "_free_bytes", lambda _: total - left + 16 * 1024 * 1024)
    in_process(pod)
    assert pod.served() == CONTENT


def test_unfinished_work_on_other_models_makes_room(pod: Pod, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(pod, hub)
    other = another(pod)
    room = Cache._free_bytes
    monkeypatch.setattr(Cache, "_free_bytes", lambda self: 0 if list(pod.cache.glob(".incoming-*/journal"))[1:] else room(self))
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
def test_what_somebody_adds_to_an_interrupted_fetch_is_not_published(pod: Pod, hub: HubServer, what: str, tmp_path: Path) -> None:
    killed(pod, hub)
    (left,) = pod.cache.glob(".incoming-*/files")
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
    assert pod.fetch().status == 0
    found = {path.relative_to(pod.entry).as_posix() for path in pod.entry.rglob("*") if not path.is_dir()}
    assert found == set(CONTENT)
    assert not any(path.is_symlink() for path in pod.entry.rglob("*"))
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
