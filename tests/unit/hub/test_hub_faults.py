"""Each fault, as the real client meets it."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import HfApi, get_session, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils._http import parse_ratelimit_headers

from testbed.hub import (
    Drop,
    ExtraFile,
    Gone,
    HubAdmin,
    HubAdminError,
    HubServer,
    OtherBytes,
    RateLimited,
    Slow,
    Stall,
    Status,
    Truncate,
)

REPO = "lab/model"
Download = Callable[..., bytes]
LARGE = "weights/model.bin"


def test_an_error_status_is_answered_as_often_as_asked_and_the_client_retries(
    api: HfApi, admin: HubAdmin, head: str, waits: list[float]
) -> None:
    admin.add_fault(Status(match="/tree/", status=503, times=2))
    assert len(list(api.list_repo_tree(REPO))) == 4
    assert [r.status for r in admin.requests("/tree/")] == [503, 503, 200]
    assert waits == [1, 2]


def test_model_info_does_not_retry_an_error(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.add_fault(Status(match="/api/models/", status=500))
    with pytest.raises(HfHubHTTPError) as failed:
        api.model_info(REPO)
    assert failed.value.response.status_code == 500
    assert api.model_info(REPO).sha == head


def test_a_rate_limit_tells_the_client_how_long_to_wait(api: HfApi, admin: HubAdmin, head: str, waits: list[float]) -> None:
    admin.add_fault(RateLimited(match="/tree/", reset_seconds=7))
    assert len(list(api.list_repo_tree(REPO))) == 4
    assert waits == [8]


def test_a_rate_limit_has_the_headers_of_the_hub(hub: HubServer, api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.add_fault(RateLimited(reset_seconds=30, retry_after=True))
    with pytest.raises(HfHubHTTPError) as limited:
        api.model_info(REPO)
    response = limited.value.response
    limit = parse_ratelimit_headers(response.headers)
    assert limit is not None
    assert (response.status_code, limit.remaining, limit.reset_in_seconds) == (429, 0, 30)
    assert response.headers["Retry-After"] == "30"


def test_a_real_quota_is_enforced_per_caller(hub: HubServer, api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.add_account("alice", "hf_alice")
    admin.change_settings(quotas={"api": 2})
    api.model_info(REPO)
    api.model_info(REPO)
    with pytest.raises(HfHubHTTPError) as limited:
        api.model_info(REPO)
    assert limited.value.response.status_code == 429
    assert api.model_info(REPO, token="hf_alice").sha == head


def test_a_quota_is_full_again_after_its_window() -> None:
    now = [1000.0]
    with HubServer(clock=lambda: now[0]) as hub:
        hub.admin.change_settings(quotas={"api": 1}, rate_limit_window_seconds=60)
        hub.admin.add_account("alice", "hf_alice")
        api = HfApi(endpoint=hub.url, token="hf_alice")
        api.whoami()
        now[0] += 59
        with pytest.raises(HfHubHTTPError):
            api.whoami()
        now[0] += 1
        assert api.whoami()["name"] == "alice"


def test_a_dropped_download_is_resumed_by_range(
    admin: HubAdmin, download: Download, head: str, weights: bytes, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client resumes in steps of its chunk size: small chunks make the step visible.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    admin.add_fault(Drop(match="/cdn/.*model.bin", after_bytes=70_500))
    assert download(LARGE) == weights
    first, second = admin.requests("GET /cdn/")
    assert (first.bytes, first.fault) == (70_500, ("drop",))
    assert (second.range, second.status, second.fault) == ("bytes=70000-", 206, ())


def test_a_connection_can_be_dropped_before_the_first_byte_every_time(
    admin: HubAdmin, download: Download, head: str, waits: list[float]
) -> None:
    admin.add_fault(Drop(match="/cdn/", times=None))
    with pytest.raises(Exception, match="peer closed connection"):
        download(LARGE)
    assert len(admin.requests("GET /cdn/")) == 6


def test_a_connection_can_be_reset(admin: HubAdmin, download: Download, head: str) -> None:
    admin.add_fault(Drop(match="/cdn/", after_bytes=10, reset=True))
    with pytest.raises(Exception, match=r"reset by peer|Connection reset"):
        download(LARGE)


@pytest.mark.parametrize(("path", "match"), [(LARGE, "/cdn/"), ("weights/notes/a.txt", "/resolve-cache/.*a.txt")])
def test_other_bytes_of_the_same_size_pass_the_client(
    admin: HubAdmin, download: Download, head: str, weights: bytes, path: str, match: str
) -> None:
    """What the product exists to notice: huggingface_hub compares sizes only."""
    truth = weights if path == LARGE else b"about the weights"
    admin.add_fault(OtherBytes(match=match))
    changed = download(path)
    assert [i for i, (a, b) in enumerate(zip(changed, truth, strict=True)) if a != b] == [len(truth) // 2]


def test_other_bytes_can_be_put_anywhere_and_survive_a_resumed_download(
    admin: HubAdmin, download: Download, head: str, weights: bytes, waits: list[float]
) -> None:
    admin.add_fault(OtherBytes(match="/cdn/", offset=150_001, times=None))
    admin.add_fault(Drop(match="/cdn/", after_bytes=100_000))
    changed = download(LARGE)
    assert [i for i, (a, b) in enumerate(zip(changed, weights, strict=True)) if a != b] == [150_001]
    assert waits == [1]


def test_a_truncated_file_is_noticed_by_the_client(admin: HubAdmin, download: Download, head: str, weights: bytes) -> None:
    admin.add_fault(Truncate(match="/cdn/", keep_bytes=1000))
    with pytest.raises(OSError, match="should be of size 200000 but has size 1000"):
        download(LARGE)
    assert download(LARGE) == weights


def test_a_truncated_answer_of_the_api_is_not_json(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.add_fault(Truncate(match="/tree/"))
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        list(api.list_repo_tree(REPO))


def test_a_slow_download_takes_its_time_and_arrives_whole(admin: HubAdmin, download: Download, head: str) -> None:
    admin.add_fault(Slow(match="/resolve-cache/", bytes_per_second=50))
    begun = time.monotonic()
    assert download("weights/notes/a.txt") == b"about the weights"
    assert time.monotonic() - begun >= 17 / 50


def test_an_extra_file_shows_everywhere_under_the_same_commit(
    hub: HubServer, api: HfApi, admin: HubAdmin, head: str, tmp_path: Path
) -> None:
    admin.add_fault(ExtraFile(match=REPO, path="code/modeling.py", content="import os\n"))
    info = api.model_info(REPO)
    assert info.sha == head
    assert "code/modeling.py" in [s.rfilename for s in info.siblings or []]
    assert "code/modeling.py" in [e.path for e in api.list_repo_tree(REPO, recursive=True)]
    assert [e.path for e in api.get_paths_info(REPO, "code/modeling.py")] == ["code/modeling.py"]
    folder = snapshot_download(REPO, revision=head, endpoint=hub.url, token=False, local_dir=tmp_path / "snapshot")
    assert (Path(folder) / "code" / "modeling.py").read_text() == "import os\n"


def test_a_commit_can_be_gone_for_a_while(api: HfApi, admin: HubAdmin, download: Download, head: str) -> None:
    gone = admin.add_fault(Gone(match=head, times=None))
    with pytest.raises(RevisionNotFoundError):
        list(api.list_repo_tree(REPO, revision=head))
    with pytest.raises(RevisionNotFoundError):
        download("config.json", revision=head)
    assert api.model_info(REPO).sha == head
    admin.remove_fault(gone)
    assert len(list(api.list_repo_tree(REPO, revision=head))) == 4


def test_a_stalled_request_waits_until_the_client_gives_up(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.add_fault(Stall(match="/api/models/"))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(api.model_info, REPO, timeout=0.5)
        (stalled,) = admin.wait_for_requests("GET /api/models/")
        assert (stalled.status, stalled.fault) == (None, ("stall",))
        assert not asked.done()
        assert "timed out" in str(asked.exception(timeout=10))
    assert api.model_info(REPO).sha == head


def test_a_client_that_leaves_in_the_middle_is_nothing_unexpected(hub: HubServer, admin: HubAdmin, head: str) -> None:
    admin.add_fault(Slow(match="/cdn/", bytes_per_second=200_000))
    redirect = get_session().head(f"{hub.url}/{REPO}/resolve/main/{LARGE}", follow_redirects=False)
    with get_session().stream("GET", redirect.headers["Location"]) as download:
        next(download.iter_raw())
    (left,) = admin.wait_for_requests("GET /cdn/")
    assert left.bytes < 200_000
    assert hub.unexpected == []


def test_a_hub_with_a_stalled_request_can_be_stopped() -> None:
    with ThreadPoolExecutor(1) as pool:
        with HubServer() as hub:
            hub.admin.add_fault(Stall())
            asked = pool.submit(HfApi(endpoint=hub.url, token=False).model_info, REPO)
            hub.admin.wait_for_requests("GET /api/models/")
        assert asked.exception(timeout=10) is not None


def test_the_metadata_of_a_download_can_fail(admin: HubAdmin, download: Download, head: str, waits: list[float]) -> None:
    admin.add_fault(Status(match="/resolve/", method="HEAD", status=502, times=None))
    with pytest.raises(LocalEntryNotFoundError):
        download("config.json")
    assert waits == [1, 2, 4, 8, 8]


def test_a_fault_can_let_the_first_requests_pass(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.add_fault(Status(match="/api/models/", status=500, skip=2))
    assert api.model_info(REPO).sha == api.model_info(REPO).sha == head
    with pytest.raises(HfHubHTTPError):
        api.model_info(REPO)


def test_a_fault_can_be_for_one_method_only(hub: HubServer, admin: HubAdmin, head: str) -> None:
    admin.add_fault(Status(match="config.json", method="HEAD"))
    url = f"{hub.url}/{REPO}/resolve/main/config.json"
    assert [get_session().get(url).status_code, get_session().head(url).status_code] == [200, 500]


def test_faults_tell_how_often_they_were_met_and_struck(api: HfApi, admin: HubAdmin, head: str) -> None:
    fault = Status(match="/refs$", skip=1)
    admin.add_fault(fault)
    api.list_repo_refs(REPO)
    with pytest.raises(HfHubHTTPError):
        api.list_repo_refs(REPO)
    api.list_repo_refs(REPO)
    (report,) = admin.faults()
    assert (report.fault, report.seen, report.hits) == (fault, 2, 1)
    admin.clear_faults()
    assert admin.faults() == []


def test_a_fault_that_does_not_exist_cannot_be_removed(admin: HubAdmin) -> None:
    with pytest.raises(HubAdminError, match="there is no fault 7"):
        admin.remove_fault(7)


def test_a_fault_with_a_broken_expression_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="is not a regular expression"):
        Status(match="(")
