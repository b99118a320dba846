"""How files reach the real client, byte for byte."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi, get_session, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError, RevisionNotFoundError

from testbed.hub import HubAdmin, HubServer, objects

REPO = "lab/model"
Download = Callable[..., bytes]


def test_a_plain_file_arrives_through_the_resolve_cache(hub: HubServer, download: Download, head: str) -> None:
    assert download("weights/notes/a.txt") == b"about the weights"
    asked = [(r.method, r.route, r.status) for r in hub.admin.requests()]
    assert asked == [("HEAD", "resolve", 307), ("HEAD", "resolve-cache", 200), ("GET", "resolve-cache", 200)]


def test_a_large_file_arrives_through_the_cdn(hub: HubServer, download: Download, head: str, weights: bytes) -> None:
    assert download("weights/model.bin") == weights
    asked = [(r.method, r.route, r.status) for r in hub.admin.requests()]
    assert asked == [("HEAD", "resolve", 302), ("GET", "cdn", 200)]


def test_the_redirect_tells_commit_digest_and_size_and_the_cdn_does_not(hub: HubServer, head: str, weights: bytes) -> None:
    digest = hashlib.sha256(weights).hexdigest()
    redirect = get_session().head(f"{hub.url}/{REPO}/resolve/main/weights/model.bin", follow_redirects=False)
    assert redirect.headers["X-Repo-Commit"] == head
    assert redirect.headers["X-Linked-Etag"] == f'"{digest}"'
    assert redirect.headers["X-Linked-Size"] == str(len(weights))
    assert redirect.headers["Location"].startswith(f"{hub.cdn_url}/cdn/")
    served = get_session().get(redirect.headers["Location"])
    assert "X-Repo-Commit" not in served.headers
    assert served.headers["ETag"].strip('"') != digest


def test_a_snapshot_holds_every_file_and_passes_the_clients_own_check(
    hub: HubServer, api: HfApi, tmp_path: Path, head: str, weights: bytes
) -> None:
    folder = Path(snapshot_download(REPO, revision=head, endpoint=hub.url, token=False, local_dir=tmp_path / "snapshot"))
    assert (folder / "weights" / "model.bin").read_bytes() == weights
    verified = api.verify_repo_checksums(REPO, revision=head, local_dir=folder)
    assert (verified.checked_count, verified.mismatches, verified.missing_paths) == (5, [], [])


def test_the_cache_of_a_snapshot_is_named_by_the_commit(hub: HubServer, admin: HubAdmin, head: str) -> None:
    folder = Path(snapshot_download(REPO, endpoint=hub.url, token=False))
    assert folder.name == head
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        ".gitattributes",
        "README.md",
        "config.json",
        "weights/model.bin",
        "weights/notes/a.txt",
    ]


def test_a_file_of_an_older_commit_stays_available(download: Download, admin: HubAdmin, head: str) -> None:
    admin.commit(REPO, {"weights/notes/a.txt": b"other words"})
    assert download("weights/notes/a.txt", revision=head) == b"about the weights"
    assert download("weights/notes/a.txt") == b"other words"


def test_names_with_spaces_and_umlauts_survive_the_way(download: Download, admin: HubAdmin, head: str) -> None:
    admin.commit(REPO, {"größe #1/a b%.txt": b"plain", "größe #1/a b%.bin": b"large"})
    assert download("größe #1/a b%.txt") == b"plain"
    assert download("größe #1/a b%.bin") == b"large"


def test_a_missing_file_or_revision_is_not_found(download: Download, head: str) -> None:
    with pytest.raises(RemoteEntryNotFoundError) as missing:
        download("nothing.txt")
    assert missing.value.response.headers["X-Repo-Commit"] == head
    with pytest.raises(RevisionNotFoundError):
        download("config.json", revision="v9")


def test_an_empty_file_arrives_empty(download: Download, admin: HubAdmin, head: str) -> None:
    admin.commit(REPO, {"empty.txt": b"", "empty.bin": b""})
    assert download("empty.txt") == download("empty.bin") == b""


def test_the_client_reads_the_header_of_a_safetensors_file_by_range(
    hub: HubServer, api: HfApi, admin: HubAdmin, head: str
) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    admin.commit(REPO, {"model.safetensors": len(header).to_bytes(8, "little") + header + bytes(24)})
    metadata = api.get_safetensors_metadata(REPO)
    assert metadata.weight_map == {"w": "model.safetensors"}
    assert metadata.parameter_count == {"F32": 6}
    assert [r.range for r in hub.admin.requests("GET /cdn/")] == ["bytes=0-100000"]
    info = api.model_info(REPO)
    assert info.safetensors == {"parameters": {"F32": 6}, "total": 6}


@pytest.mark.parametrize(
    ("asked", "status", "told", "start", "end"),
    [
        ("bytes=0-9", 206, "bytes 0-9/200000", 0, 10),
        ("bytes=199990-", 206, "bytes 199990-199999/200000", 199990, 200000),
        ("bytes=199990-999999", 206, "bytes 199990-199999/200000", 199990, 200000),
        ("bytes=-5", 206, "bytes 199995-199999/200000", 199995, 200000),
        ("bytes=200000-", 416, "bytes */200000", 0, 0),
    ],
)
def test_ranges_are_served(
    hub: HubServer, head: str, weights: bytes, asked: str, status: int, told: str, start: int, end: int
) -> None:
    got = get_session().get(f"{hub.url}/{REPO}/resolve/main/weights/model.bin", headers={"Range": asked})
    assert (got.status_code, got.headers["Content-Range"]) == (status, told)
    assert got.content == weights[start:end]


def test_long_text_comes_gzipped_without_a_length_to_clients_that_accept_it(
    hub: HubServer, download: Download, admin: HubAdmin, head: str
) -> None:
    text = b"the same words again and again " * 100
    admin.commit(REPO, {"long.txt": text})
    assert download("long.txt") == text
    served = hub.admin.requests("GET /api/resolve-cache")[-1]
    assert served.bytes == len(gzip.compress(text, mtime=0)) < len(text)
    answer = get_session().get(f"{hub.url}/{REPO}/resolve/main/long.txt")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "Content-Length" not in answer.headers
    whole = get_session().get(f"{hub.url}/{REPO}/resolve/main/long.txt", headers={"Accept-Encoding": "identity"})
    assert (whole.headers["Content-Length"], whole.content) == (str(len(text)), text)


def test_the_hub_token_never_reaches_the_cdn(hub: HubServer, download: Download, admin: HubAdmin, head: str) -> None:
    admin.add_account("alice", "hf_alice")
    download("weights/model.bin", token="hf_alice")
    assert [(r.route, r.caller) for r in admin.requests()] == [("resolve", "alice"), ("cdn", "anonymous")]


def test_a_cdn_link_expires(download: Download, admin: HubAdmin, head: str) -> None:
    admin.change_settings(cdn_link_seconds=0)
    with pytest.raises(HfHubHTTPError) as refused:
        download("weights/model.bin")
    assert refused.value.response.status_code == 403
    assert "Request has expired" in refused.value.response.text


@pytest.mark.parametrize("change", [("Expires=", "Expires=9"), ("Signature=", "Signature=0"), ("/model.bin", "/other.bin")])
def test_a_cdn_link_cannot_be_changed(hub: HubServer, head: str, change: tuple[str, str]) -> None:
    redirect = get_session().head(f"{hub.url}/{REPO}/resolve/main/weights/model.bin", follow_redirects=False)
    assert get_session().get(redirect.headers["Location"]).status_code == 200
    assert get_session().get(redirect.headers["Location"].replace(*change)).status_code == 403


def test_a_file_is_stored_large_by_suffix_or_binary_content_unless_told_otherwise(api: HfApi, admin: HubAdmin, head: str) -> None:
    admin.commit(
        REPO,
        {"a.safetensors": b"x", "b.dat": b"\0x", "c.json": b"x", "d.json": b"x", "e.bin": b"x"},
        lfs={"d.json": True, "e.bin": False},
    )
    stored = {s.rfilename: s.lfs is not None for s in api.model_info(REPO, files_metadata=True).siblings or []}
    assert {n: stored[n] for n in ("a.safetensors", "b.dat", "c.json", "d.json", "e.bin")} == {
        "a.safetensors": True,
        "b.dat": True,
        "c.json": False,
        "d.json": True,
        "e.bin": False,
    }
    content = {s.rfilename: s.blob_id for s in api.model_info(REPO, files_metadata=True).siblings or []}
    assert content["c.json"] == content["e.bin"] == objects.blob_id(b"x") != content["d.json"]


@pytest.mark.parametrize("disable_xet", ["0", "1"])
def test_the_client_uses_plain_http_with_and_without_xet(hub: HubServer, tmp_path: Path, head: str, disable_xet: str) -> None:
    """Through HF_ENDPOINT in a fresh process, where the switches are read."""
    program = (
        "from huggingface_hub import file_download, snapshot_download\n"
        f"print(file_download.is_xet_available(), snapshot_download({REPO!r}))\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": disable_xet,
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    available, path = done.stdout.split()
    assert available == ("False" if disable_xet == "1" else "True")
    assert Path(path).name == head
    assert {r.route for r in hub.admin.requests()} == {"model-info", "tree", "resolve", "resolve-cache", "cdn"}
    assert len(hub.admin.requests("GET /cdn/")) == 1
