"""What is missing on a machine is said with what to do about it."""

import http.server
import os
import shutil
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.images import ImageError, build, debian, registry, sandbox
from testbed.images.__main__ import main
from testbed.progress import Progress


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))


def test_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ImageError, match=r"built as root .*: run it with sudo"):
        build("base", progress=Progress(quiet=True))


def test_without_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None if name in {"setpriv", "unshare", "debootstrap"} else f"/bin/{name}")
    with pytest.raises(ImageError, match=r"apt-get install --no-install-recommends debootstrap util-linux$"):
        sandbox.require("debootstrap", "setpriv", "unshare", "apt-get")


def test_without_a_repository_of_debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "apt-get"
    program.write_text("#!/bin/sh\n")
    program.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("HOLDFAST_DEBIAN_MIRROR", raising=False)
    with pytest.raises(ImageError, match=r"no repository of Debian bookworm .* set HOLDFAST_DEBIAN_MIRROR"):
        debian.mirror()


def test_a_mirror_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_DEBIAN_MIRROR", "http://mirror.example/debian")
    assert debian.mirror() == "http://mirror.example/debian"


def test_an_unknown_image_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nginx"]) == 1
    assert capsys.readouterr().err.startswith("error: there is no image 'nginx'")


def test_without_a_name_the_command_line_lists_the_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "llamacpp" in capsys.readouterr().out.split()


@pytest.fixture
def broken_registry() -> Iterator[str]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(500)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_registry_that_is_broken(broken_registry: str) -> None:
    with pytest.raises(ImageError, match=f"the registry {broken_registry} answers 500 to a look for the image envoy"):
        registry.has(broken_registry, "envoy", "sha256:0")


def test_a_registry_that_does_not_listen() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ImageError, match=f"the registry {address} cannot be reached: .*refused"):
            registry.has(address, "envoy", "sha256:0")
