"""``python -m testbed.hub`` as a process."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from huggingface_hub import HfApi

from testbed.hub import HubAdmin


class Program:
    """A running hub program."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.process = process
        self.ready: dict[str, str] = json.loads(process.stdout.readline())
        self.url = self.ready["url"]
        self.admin_token = Path(self.ready["admin_token_file"]).read_text()
        self.admin = HubAdmin(self.url, self.admin_token)

    def stop(self) -> tuple[int, str]:
        """End it and return exit status and standard error."""
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=10)
        return self.process.returncode, err


@contextmanager
def run(*arguments: str) -> Iterator[Program]:
    command = [sys.executable, "-m", "testbed.hub", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield Program(process)
        finally:
            process.kill()


def test_it_keeps_repositories_and_accounts_over_a_crash(tmp_path: Path) -> None:
    with run("--root", str(tmp_path)) as hub:
        hub.admin.create_repo("lab/model", gated="manual")
        hub.admin.add_account("alice", "hf_alice")
        hub.admin.grant_access("lab/model", "alice")
        hub.admin.rename("lab/model", "lab/renamed")
        head = hub.admin.commit("lab/renamed", {"a.bin": b"\0large", "a.txt": b"plain"})
        hub.process.kill()
    with run("--root", str(tmp_path)) as again:
        api = HfApi(endpoint=again.url, token="hf_alice")
        info = api.model_info("lab/model", files_metadata=True)
        assert (info.id, info.sha, info.gated) == ("lab/renamed", head, "manual")
        path = api.hf_hub_download("lab/renamed", "a.bin")
        assert Path(path).read_bytes() == b"\0large"
        assert again.stop() == (0, "")


def test_its_secrets_are_readable_by_the_owner_only(tmp_path: Path) -> None:
    with run("--root", str(tmp_path)) as hub:
        hub.admin.add_account("alice", "hf_alice")
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir() if p.is_file()}
    assert modes == {"admin-token": 0o600, "state.json": 0o600}


def test_it_keeps_nothing_without_a_root(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with run("--admin-token-file", str(token)) as hub:
        hub.admin.create_repo("lab/model")
    with run("--admin-token-file", str(token)) as again:
        assert again.admin.repos().repos == []


def test_it_can_be_filled_with_the_demo(tmp_path: Path) -> None:
    with run("--root", str(tmp_path), "--seed-demo") as hub:
        names = [r.repo for r in hub.admin.repos().repos]
        assert "holdfast/tiny-chat-GGUF" in names
        hub.stop()
    with run("--root", str(tmp_path), "--seed-demo") as again:
        assert [r.repo for r in again.admin.repos().repos] == names


def test_it_listens_on_loopback_as_well_for_a_port_forward(tmp_path: Path) -> None:
    with run("--listen", "127.0.0.2:0", "--loopback", "--root", str(tmp_path)) as hub:
        assert hub.url.startswith("http://127.0.0.2:")
        HubAdmin(hub.url.replace("127.0.0.2", "127.0.0.1"), hub.admin_token).health()


def test_it_exits_with_3_when_something_unexpected_came_in(tmp_path: Path) -> None:
    with run("--root", str(tmp_path)) as hub:
        with pytest.raises(OSError, match="501"):
            urlopen(f"{hub.url}/strange")  # noqa: S310
        assert hub.stop() == (3, "unexpected: GET /strange: no such route on the Hub stand-in\n")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--root", "{root}", "--listen", "0.0.0.0:0"], 2, "is every interface of this machine"),
        (["--root", "{root}", "--listen", "here"], 2, "is not ADDRESS:PORT"),
        ([], 2, "give --root DIR, or --admin-token-file FILE"),
        (["--root", "{root}", "--listen", "192.0.2.1:0"], 1, "error: cannot listen on 192.0.2.1"),
    ],
)
def test_wrong_arguments_get_an_answer_and_no_traceback(tmp_path: Path, arguments: list[str], status: int, message: str) -> None:
    command = [sys.executable, "-m", "testbed.hub", *(a.format(root=tmp_path) for a in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env={**os.environ, "COLUMNS": "500"})
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
