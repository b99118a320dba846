"""The program as a container runs it: the probe, the exit status, the termination message, and what it costs."""

import asyncio
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.identity.main import MISMATCH_EXIT_CODE, main
from unit.engines.fake import Fake, Start
from unit.identity.watching import FLAGS, approved


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Container:
    """The arguments of a container, and where it leaves what."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.log = folder / "termination-log"
        self.log.write_text("")
        self.port = free_port()
        self.arguments = [
            *(f"--facts={folder / 'identity.json'}", f"--quarantine={folder / 'quarantine'}"),
            *(f"--memory={folder / 'memory.json'}", f"--termination-log={self.log}", "--listen=127.0.0.1"),
            *(f"--port={self.port}", f"--engine-port={engine.rpartition(':')[2]}", "--timeout=2"),
        ]

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    @property
    def message(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.log.read_text())
        return found


async def run(container: Container, wait: Callable[[float], None]) -> int:
    return await asyncio.to_thread(main, container.arguments, wait=wait)


def prepared(fake: Fake, flavor: str, model: Path, folder: Path) -> Container:
    (folder / "identity.json").write_text(json.dumps(approved(flavor, model)))
    return Container(folder, fake.url)


@pytest.mark.parametrize("flavor", FLAGS)
async def test_it_is_ready_with_the_approved_engine_and_ends_with_another(
    flavor: str, start: Start, model: Path, tmp_path: Path
) -> None:
    async with start(flavor, *FLAGS[flavor]) as fake:
        container = prepared(fake, flavor, model, tmp_path)
        loop = asyncio.get_running_loop()
        seen: list[tuple[int, str]] = []

        def wait(_seconds: float) -> None:
            seen.append(container.get("/ready"))
            asyncio.run_coroutine_threadsafe(fake.fault(version="9.9.9"), loop).result(timeout=10)

        assert await run(container, wait) == MISMATCH_EXIT_CODE
        assert seen == [(200, "the engine is what was approved\n")]
        assert container.message["reason"] == "EngineMismatch"
        assert "9.9.9" in container.message["message"]


async def test_it_is_not_ready_while_the_engine_loads(tmp_path: Path, start: Start, model: Path) -> None:
    async with start("vllm", *FLAGS["vllm"]) as fake:
        container = prepared(fake, "vllm", model, tmp_path)
        container.arguments.append(f"--engine-port={free_port()}")
        seen: list[tuple[int, str]] = []

        class EnoughError(Exception):
            pass

        def wait(_seconds: float) -> None:
            seen.extend([container.get("/ready"), container.get("/report"), container.get("/other")])
            raise EnoughError

        with pytest.raises(EnoughError):
            await run(container, wait)
        (code, text), (report_code, report), (other, _) = seen
        assert (code, report_code, other) == (503, 200, 404)
        assert text.startswith("GET /v1/models: ")
        assert json.loads(report) == {"ready": False, "message": text.strip(), "reported": {}}


async def test_the_engine_may_start_once_the_pods_way_out_is_closed(tmp_path: Path, start: Start, model: Path) -> None:
    async with start("vllm", *FLAGS["vllm"]) as fake:
        container = prepared(fake, "vllm", model, tmp_path)
        label = tmp_path / "fetching"
        label.write_text("true")
        container.arguments += [f"--fetching={label}", "--fetching-patience=600"]
        seen: list[int] = []

        class EnoughError(Exception):
            pass

        def wait(_seconds: float) -> None:
            seen.append(container.get("/started")[0])
            label.write_text("")
            seen.append(container.get("/started")[0])
            raise EnoughError

        with pytest.raises(EnoughError):
            await run(container, wait)
        assert seen == [503, 200]


@pytest.mark.parametrize(("name", "content"), [("identity.json", "{}"), ("memory.json", "[]")])
async def test_files_that_cannot_be_read_end_it(name: str, content: str, start: Start, model: Path, tmp_path: Path) -> None:
    async with start("vllm", *FLAGS["vllm"]) as fake:
        container = prepared(fake, "vllm", model, tmp_path)
        (tmp_path / name).write_text(content)
        assert await run(container, lambda _: None) == 1
        assert container.message["reason"] == "InternalError"
        assert name in container.message["message"]


async def test_a_taken_port_ends_it(start: Start, model: Path, tmp_path: Path) -> None:
    async with start("vllm", *FLAGS["vllm"]) as fake:
        container = prepared(fake, "vllm", model, tmp_path)
        container.arguments.append(f"--port={fake.url.rpartition(':')[2]}")
        assert await run(container, lambda _: None) == 1
        assert "Address already in use" in container.message["message"]


def test_it_needs_the_standard_library_only() -> None:
    """Its image has more, but each megabyte is paid for once for each pod."""
    script = "import sys, holdfast.identity.main; print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if not name.startswith(("_", "holdfast"))}
    assert {name for name in loaded if name not in sys.stdlib_module_names and "editable" not in name} == set()


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"], wait=lambda _: None)
    assert ended.value.code == 0
    assert "example:" in capsys.readouterr().out
