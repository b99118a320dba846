"""Fetching is killed, runs twice at once, or finds no room: an entry is published whole or not at all."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast.weights import cache as cache_module
from holdfast.weights import fetch as fetch_module
from holdfast.weights.cache import Cache
from holdfast.weights.errors import WeightsUnavailableError
from holdfast.weights.fetch import Origin, fetch
from holdfast.weights.listing import ApprovedFile
from testbed.hub import HubServer, Slow
from unit.weights.conftest import CONTENT, Pod, approved

SLOW = Slow(match=r"^/cdn/", times=1, bytes_per_second=600_000)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def started(pod: Pod) -> Callable[[], bool]:
    """Whether a part of the weights is on the disk."""

    def check() -> bool:
        parts = list(pod.cache.glob(".incoming-*/model.safetensors"))
        return bool(parts) and parts[0].stat().st_size > 0

    return check


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
    assert len(pod.leftovers()) == 1


def test_the_next_fetch_after_a_kill_succeeds_and_cleans_up(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(SLOW)
    process = pod.start()
    wait_for(started(pod))
    process.kill()
    pod.finish(process)
    assert pod.fetch().status == 0
    assert pod.served() == CONTENT
    assert pod.leftovers() == []


def test_what_a_killed_fetch_of_another_model_left_is_deleted(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(SLOW)
    process = pod.start()
    wait_for(started(pod))
    process.kill()
    pod.finish(process)
    other = Pod(folder=pod.folder, endpoint=hub.url, commit=pod.commit, content={"config.json": CONTENT["config.json"]})
    assert other.fetch().status == 0
    assert other.leftovers() == []


def test_a_fetch_of_another_model_leaves_running_ones_alone(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(SLOW)
    process = pod.start()
    wait_for(started(pod))
    other = Pod(folder=pod.folder / "other", endpoint=hub.url, commit=pod.commit, content={"config.json": CONTENT["config.json"]})
    other.cache = pod.cache
    assert other.fetch().status == 0
    assert pod.finish(process).status == 0
    assert pod.served() == CONTENT


def test_two_pods_fetch_once(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(SLOW)
    first = pod.start()
    wait_for(started(pod))
    second = pod.start()
    wait_until_waiting(second)
    statuses = {pod.finish(first).status, pod.finish(second).status}
    assert statuses == {0}
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


def in_process(pod: Pod) -> str:
    return fetch(
        pod.cache,
        pod.digest,
        approved(pod.content),
        Origin(endpoint=pod.endpoint, repository=pod.repository, commit=pod.commit),
    )


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks, as some network file systems are."""
    monkeypatch.setattr(cache_module, "_lock", lambda _: None)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_both_fetch_and_one_publishes(pod: Pod) -> None:
    with ThreadPoolExecutor(2) as threads:
        results = [future.result() for future in [threads.submit(in_process, pod) for _ in range(2)]]
    assert all("4 files" in result for result in results)
    assert pod.served() == CONTENT
    assert pod.leftovers() == []


@pytest.mark.usefixtures("no_locks")
def test_without_locks_fresh_work_of_others_is_left_alone(pod: Pod) -> None:
    fresh = pod.cache / f".incoming-{'0' * 64}-other"
    fresh.mkdir()
    in_process(pod)
    assert pod.leftovers() == [fresh.name]


def test_a_wrong_entry_that_another_pod_published_first_is_replaced(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    download = fetch_module._download_all

    def outrun(incoming: Path, files: Sequence[ApprovedFile], total: int, origin: Origin) -> None:
        download(incoming, files, total, origin)
        pod.entry.mkdir()
        (pod.entry / "evil.py").write_text("print('evil')")

    monkeypatch.setattr(fetch_module, "_download_all", outrun)
    in_process(pod)
    assert pod.served() == CONTENT


def test_too_small_a_volume_is_said_before_anything_is_fetched(pod: Pod, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cache, "free_bytes", lambda _: 1_000_000)
    with pytest.raises(WeightsUnavailableError, match="1000000 bytes left"):
        in_process(pod)
    assert hub.admin.requests() == []
