"""Files of a hub that keeps them in a folder: sent by the kernel, with the same ranges and faults as from memory."""

from collections.abc import Iterator

import pytest
import urllib3

from testbed.hub import Drop, HubServer, OtherBytes, Slow

REPOSITORY = "lab/model"
CONTENT = b"".join(i.to_bytes(4, "big") for i in range(5_000_000))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    with HubServer(root=tmp_path_factory.mktemp("hub")) as running:
        running.admin.create_repo(REPOSITORY)
        running.admin.commit(REPOSITORY, {"model.bin": CONTENT})
        yield running


def get(hub: HubServer, **headers: str) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager() as pool:
        return pool.request(
            "GET", f"{hub.url}/{REPOSITORY}/resolve/main/model.bin", headers=headers, retries=urllib3.Retry(redirect=1, read=0)
        )


def test_the_whole_file_comes(hub: HubServer) -> None:
    answer = get(hub)
    assert (answer.status, answer.data) == (200, CONTENT)


@pytest.mark.parametrize(("first", "last"), [(0, 0), (1, 9_000_000), (8_388_607, 8_388_608), (19_999_999, 19_999_999)])
def test_a_range_comes(hub: HubServer, first: int, last: int) -> None:
    answer = get(hub, Range=f"bytes={first}-{last}")
    assert (answer.status, answer.data) == (206, CONTENT[first : last + 1])


def test_the_journal_counts_the_bytes(hub: HubServer) -> None:
    hub.admin.reset_journal()
    get(hub, Range="bytes=5-104")
    assert [request.bytes for request in hub.admin.requests("GET /cdn/")] == [100]


def test_a_connection_is_cut_where_it_was_said(hub: HubServer) -> None:
    hub.admin.add_fault(Drop(match="/cdn/", after_bytes=12_345_678))
    hub.admin.reset_journal()
    with pytest.raises(urllib3.exceptions.HTTPError):
        get(hub)
    assert [request.bytes for request in hub.admin.requests("GET /cdn/")] == [12_345_678]


@pytest.mark.parametrize("fault", [OtherBytes(match="/cdn/", offset=7), Slow(match="/cdn/", bytes_per_second=10**9)], ids=str)
def test_other_faults_strike_as_they_do_from_memory(hub: HubServer, fault: OtherBytes | Slow) -> None:
    hub.admin.add_fault(fault)
    answer = get(hub)
    assert (answer.data == CONTENT) is isinstance(fault, Slow)
    assert len(answer.data) == len(CONTENT)
