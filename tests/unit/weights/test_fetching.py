"""What the first container of a pod brings to the node, and what it refuses to bring."""

import hashlib
import stat
from pathlib import Path

import pytest

from testbed.hub import Drop, Gone, HubServer, OtherBytes, RateLimited, Status, Truncate
from unit.weights.conftest import CONTENT, REPOSITORY, Pod

WEIGHTS = "model.safetensors"
# A large file is asked for at the hub, which redirects to its CDN.
CDN = r"^/cdn/.*"


def sha256(path: str) -> str:
    return hashlib.sha256(CONTENT[path]).hexdigest()


def test_the_entry_holds_exactly_the_approved_bytes(pod: Pod) -> None:
    outcome = pod.fetch()
    assert (outcome.status, outcome.termination["reason"]) == (0, "Verified")
    assert pod.served() == CONTENT


def test_nothing_is_left_behind(filled: Pod) -> None:
    assert filled.leftovers() == []


def test_files_are_readable_for_every_user_and_writable_for_none(filled: Pod) -> None:
    modes = {stat.S_IMODE(path.stat().st_mode) for path in filled.entry.rglob("*") if path.is_file()}
    folders = {stat.S_IMODE(path.stat().st_mode) for path in (filled.entry, *filled.entry.rglob("*")) if path.is_dir()}
    assert (modes, folders) == ({0o444}, {0o555})


def test_files_that_were_not_approved_are_not_fetched(pod: Pod, hub: HubServer, tmp_path: Path) -> None:
    few = Pod(folder=tmp_path / "few", endpoint=hub.url, commit=pod.commit, content={"config.json": CONTENT["config.json"]})
    assert few.fetch().status == 0
    assert few.served() == {"config.json": CONTENT["config.json"]}


def test_other_bytes_of_the_same_size_never_become_an_entry(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(OtherBytes(match=CDN, times=None))
    outcome = pod.fetch()
    assert (outcome.status, outcome.termination["reason"]) == (3, "WeightsMismatch")
    assert not pod.entry.exists()


def test_the_message_names_the_file_what_was_approved_and_what_came(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(OtherBytes(match=CDN, times=None, offset=0))
    message = pod.fetch().message
    flipped = bytes([CONTENT[WEIGHTS][0] ^ 1]) + CONTENT[WEIGHTS][1:]
    assert WEIGHTS in message
    assert f"expected {len(CONTENT[WEIGHTS])} bytes, sha256 {sha256(WEIGHTS)}" in message
    assert f"found {len(flipped)} bytes, sha256 {hashlib.sha256(flipped).hexdigest()}" in message


def test_wrong_bytes_are_asked_for_once_more_and_then_no_more(pod: Pod, hub: HubServer) -> None:
    fault = hub.admin.add_fault(OtherBytes(match=CDN, times=None))
    pod.fetch()
    assert next(report.hits for report in hub.admin.faults() if report.id == fault) == 2


def test_bytes_that_are_wrong_once_are_replaced(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(OtherBytes(match=CDN, times=1))
    assert pod.fetch().status == 0
    assert pod.served() == CONTENT


@pytest.mark.parametrize("path", [WEIGHTS, "nested/deep/tokenizer.json"])
def test_a_file_that_is_cut_short_at_the_hub_is_refused(pod: Pod, hub: HubServer, path: str) -> None:
    match = CDN if path == WEIGHTS else "resolve-cache.*tokenizer"
    hub.admin.add_fault(Truncate(match=match, times=None, keep_bytes=10))
    outcome = pod.fetch()
    assert (outcome.status, outcome.termination["reason"]) == (3, "WeightsMismatch")
    assert f"'{path}'" in outcome.message
    assert "found 10 bytes" in outcome.message
    assert not pod.entry.exists()


def test_a_broken_connection_goes_on_where_it_broke(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(Drop(match=CDN, after_bytes=1_000_000))
    assert pod.fetch().status == 0
    first, second = (request.range for request in hub.admin.requests("GET /cdn/"))
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").split("-")[0]) <= 1_000_000
    assert pod.served() == CONTENT


def test_an_overloaded_hub_is_asked_again(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(Status(match="config.json", status=503))
    assert pod.fetch().status == 0


def test_a_rate_limit_is_waited_out(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(RateLimited(match="config.json", reset_seconds=2))
    outcome = pod.fetch()
    pauses = [line["pause"] for line in outcome.log if line["message"] == "trying again"]
    assert outcome.status == 0
    assert pauses == [3.0]  # the hub's two seconds, and one because its header is rounded down


def test_a_vanished_commit_is_said_to_be_gone(pod: Pod, hub: HubServer) -> None:
    hub.admin.add_fault(Gone(times=None))
    outcome = pod.fetch()
    assert (outcome.status, outcome.termination["reason"]) == (4, "WeightsUnavailable")
    assert "squashed" in outcome.message
    assert not pod.entry.exists()


def test_a_gated_repository_needs_a_token(pod: Pod, hub: HubServer) -> None:
    hub.admin.set_gated(REPOSITORY)
    outcome = pod.fetch()
    assert (outcome.status, outcome.termination["reason"]) == (4, "WeightsUnavailable")
    assert "gated" in outcome.message


def test_the_token_in_the_file_opens_the_gate_and_shows_nowhere(pod: Pod, hub: HubServer, tmp_path: Path) -> None:
    token = "hf_sometokensometokensometokensom"
    hub.admin.set_gated(REPOSITORY)
    hub.admin.add_account("team", token)
    hub.admin.grant_access(REPOSITORY, "team")
    (tmp_path / "token").write_text(token + "\n")
    outcome = pod.fetch(f"--token-file={tmp_path / 'token'}")
    assert outcome.status == 0
    assert token not in outcome.output


def test_the_token_does_not_go_to_the_cdn(pod: Pod, hub: HubServer, tmp_path: Path) -> None:
    hub.admin.add_account("team", "hf_sometokensometokensometokensom")
    (tmp_path / "token").write_text("hf_sometokensometokensometokensom")
    assert pod.fetch(f"--token-file={tmp_path / 'token'}").status == 0
    assert {request.caller for request in hub.admin.requests("GET /lab/model/resolve/")} == {"team"}
    assert {request.token for request in hub.admin.requests("GET /cdn/")} == {None}


def test_a_message_fits_the_kubelets_file(hub: HubServer, pod: Pod) -> None:
    path = "/".join(["\u6a21" * 80] * 6)  # shown with six characters for each
    long = Pod(folder=pod.folder, endpoint=hub.url, commit=pod.commit, content={path: b"not there"})
    outcome = long.fetch()
    assert outcome.status == 4
    assert len(outcome.message) == 1000
    assert long.termination_log.stat().st_size <= 4096


def test_without_a_kubelet_there_is_no_message(pod: Pod, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    process = pod.start(f"--termination-log={nowhere}")
    assert pod.finish(process).status == 0
    assert not nowhere.exists()


def test_progress_is_one_json_object_a_line(pod: Pod) -> None:
    log = pod.fetch().log
    assert {"time", "level", "message"} <= set(log[0])
    fetched = [line for line in log if line["message"] == "fetching model"]
    assert fetched[-1]["bytes"] == fetched[-1]["of"] == sum(map(len, CONTENT.values()))


def test_an_unwritable_volume_is_said_to_be_so(pod: Pod) -> None:
    pod.cache.rmdir()
    outcome = pod.fetch()
    assert (outcome.status, outcome.termination["reason"]) == (4, "WeightsUnavailable")
    assert "No such file or directory" in outcome.message
    pod.cache.mkdir()
