"""Builds are repeatable, kept, and leave nothing behind however they end."""

import contextlib
import ctypes
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from testbed.images import ImageError, builder, cuda_stubs, sandbox
from testbed.images.recipes import Recipe
from testbed.progress import Progress
from testbed_tests.leftovers import wait_until

TESTS = Path(__file__).parents[1]
Build = Callable[..., Path]

_CONTAINERFILE = 'FROM scratch\nCOPY hello /hello\nUSER 65532:65532\nENTRYPOINT ["/hello"]\n'


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Build an image of one file; `cache` names the folder of a cache."""

    def built(text: str = "hello", *, containerfile: str = _CONTAINERFILE, cache: str = "cache") -> Path:
        sources = tmp_path / "sources"
        sources.mkdir(exist_ok=True)
        files = {"hello": sources / "hello", "Containerfile": sources / "Containerfile"}
        files["hello"].write_text(text)
        files["Containerfile"].write_text(containerfile)
        monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / cache))
        monkeypatch.setattr(builder, "recipe", lambda name: Recipe(name=name, files=files, base=None))
        return builder.build("example", progress=Progress(quiet=True))

    return built


def _config(layout: Path) -> Mapping[str, object]:
    def blob(digest: str) -> Mapping[str, Mapping[str, str]]:
        found: Mapping[str, Mapping[str, str]] = json.loads((layout / "blobs" / digest.replace(":", "/")).read_text())
        return found

    return blob(blob(builder.digest(layout))["config"]["digest"])


def test_the_same_content_is_the_same_image_on_another_machine(build: Build) -> None:
    assert builder.digest(build(cache="one")) == builder.digest(build(cache="two"))


def test_other_content_is_another_image(build: Build) -> None:
    assert builder.digest(build("hello")) != builder.digest(build("good bye"))


def test_the_image_has_what_the_containerfile_says(build: Build) -> None:
    config = _config(build())["config"]
    assert isinstance(config, dict)
    assert (config["User"], config["Entrypoint"]) == ("65532:65532", ["/hello"])


def test_what_was_built_needs_no_program_the_next_time(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build()
    monkeypatch.setenv("PATH", "")
    assert build() == first


def test_an_image_stands_on_another_that_is_taken_from_its_layout_when_the_steps_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {"lower": "FROM scratch\nCOPY Containerfile /lower\n", "upper": "ARG BASE\nFROM ${BASE}\nCOPY Containerfile /upper\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    plans = {name: Recipe(name=name, files={"Containerfile": tmp_path / name}, base=None) for name in texts}
    plans["upper"] = dataclasses.replace(plans["upper"], base="lower")
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(builder, "recipe", plans.__getitem__)
    first = builder.build("upper", progress=Progress(quiet=True))
    expected = builder.digest(first)
    shutil.rmtree(tmp_path / "cache" / "images" / "buildah")
    shutil.rmtree(first)
    again = builder.build("upper", progress=Progress(quiet=True))
    assert builder.digest(again) == expected
    assert len(json.loads((again / "blobs" / expected.replace(":", "/")).read_text())["layers"]) == 2


def test_old_layouts_go_and_the_one_that_was_used_last_stays(build: Build) -> None:
    first = build("0")
    others = [build(text) for text in ("1", "2")]
    assert build("0") == first
    others.append(build("3"))
    assert first.exists()
    assert [layout.exists() for layout in others] == [False, True, True]


def test_a_failed_build_says_why_and_leaves_nothing(build: Build, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"(?s)buildah failed with exit code .*nowhere"):
        build(containerfile="FROM scratch\nCOPY nowhere /\n")
    left = {path.name for path in (tmp_path / "cache" / "images").iterdir()}
    assert left == {"buildah", "example.lock", "example.log"}


def test_the_storage_of_the_machines_owner_is_not_touched(build: Build) -> None:
    owner = Path("/var/lib/containers")

    def content() -> list[tuple[Path, float]]:
        return sorted((path, path.stat().st_mtime) for path in owner.rglob("*"))

    before = content()
    build()
    assert content() == before


@pytest.fixture
def interrupted(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process that mounts and waits in a sandbox, and the file that it then writes."""
    script = (
        "import sys; from pathlib import Path; from testbed.images import sandbox; folder = Path(sys.argv[1]);"
        "sandbox.run(['sh', '-c', f'mount -t tmpfs mark {folder}/mounted && touch {folder}/mounts && (sleep 4242 & sleep 4242)'],"
        " log=folder / 'log')"
    )
    (tmp_path / "mounted").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env=environment) as process:
        assert wait_until((tmp_path / "mounts").exists, within=20), (tmp_path / "log").read_text()
        yield process, tmp_path
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def _sleeping() -> bool:
    return subprocess.run(["pgrep", "--full", "sleep 4242"], capture_output=True, check=False).returncode == 0


def test_a_mount_of_a_build_is_not_seen_outside(interrupted: tuple[subprocess.Popen[bytes], Path]) -> None:
    _process, folder = interrupted
    assert str(folder) not in Path("/proc/mounts").read_text()


def test_nothing_outlives_a_caller_that_is_killed(interrupted: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, _folder = interrupted
    assert _sleeping()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert wait_until(lambda: not _sleeping(), within=5)


def test_what_a_killed_build_left_does_not_hinder_the_next(build: Build, tmp_path: Path) -> None:
    left = tmp_path / "cache" / "images" / ".work-example" / "context"
    left.mkdir(parents=True)
    (left / "hello").write_text("half a file")
    layout = build()
    assert layout.exists()
    assert not left.exists()


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"(?s)sh failed with exit code 3; the whole output is in .*log\n.*last words"):
        sandbox.run(["sh", "-c", "echo last words; exit 3"], log=tmp_path / "log")


def test_a_stub_stands_in_for_a_library_that_is_not_there(tmp_path: Path) -> None:
    """A library with versioned and with plain symbols, one that is linked to it, and then only the latter."""
    (tmp_path / "cuda.c").write_text('int cudaGetDevice(void){return 0;} const char *cudaGetErrorString(void){return "real";}')
    (tmp_path / "cuda.map").write_text("libcudart.so.13 { global: *; };")
    (tmp_path / "torch.c").write_text(
        "int cudaGetDevice(void); const char *cudaGetErrorString(void);"
        "int device(void){return cudaGetDevice();} const char *text(void){return cudaGetErrorString();}"
    )

    def compiled(name: str, source: str, *options: str) -> None:
        command = ["gcc", "-shared", "-fPIC", "-o", str(tmp_path / name), str(tmp_path / source), *options]
        subprocess.run(command, check=True)

    version = f"-Wl,--version-script={tmp_path / 'cuda.map'}"
    compiled("libcudart.so.13", "cuda.c", "-Wl,-soname,libcudart.so.13", version)
    for library in cuda_stubs.LOADED:
        compiled(library, "torch.c", f"-L{tmp_path}", "-l:libcudart.so.13", "-Wl,-rpath,$ORIGIN", "-Wl,--no-as-needed")
    (tmp_path / "libcudart.so.13").unlink()
    cuda_stubs.write(tmp_path)
    torch = ctypes.CDLL(str(tmp_path / "libtorch_cpu.so"))
    torch.text.restype = ctypes.c_char_p
    assert torch.device() == 100
    assert torch.text() == b"stub"
