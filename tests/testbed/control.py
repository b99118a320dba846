"""The caller's side of the supervisor: start it, talk to it, find it, end it."""

import contextlib
import dataclasses
import itertools
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError

_SCRIPT = Path(__file__).with_name("supervisor.py")
_START_WITHIN_SECONDS = 20.0
_DETACH = ("setsid", "--fork")
_NAMESPACES = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc")


@dataclasses.dataclass(frozen=True, slots=True)
class ProgramStatus:
    """One program of a bed, as its supervisor sees it; `pid` is that of the supervisor's PID namespace."""

    name: str
    pid: int | None
    running: bool
    wanted: bool
    restarts: int
    exit_code: int | None
    log: str


class Control:
    """A connection maker to the supervisor of one bed."""

    def __init__(self, directory: Path) -> None:
        self._socket = directory / "supervisor.sock"
        self._logs = directory / "logs"

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(30)
        try:
            # A socket's path is limited to 107 bytes; one relative to an open directory is short.
            with _open_directory(self._socket.parent) as parent:
                connection.connect(f"/proc/self/fd/{parent}/{self._socket.name}")
        except OSError:
            connection.close()
            raise
        return connection

    def alive(self) -> bool:
        """Whether a supervisor answers."""
        try:
            self._connect().close()
        except OSError:
            return False
        return True

    def pid(self) -> int:
        """Return the supervisor's process id in the caller's PID namespace."""
        with self._connect() as connection:
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, _uid, _gid = struct.unpack("3i", credentials)
        return int(pid)

    def _request(self, **request: object) -> Any:
        try:
            with self._connect() as connection, connection.makefile("rwb") as stream:
                stream.write(json.dumps(request).encode() + b"\n")
                stream.flush()
                line = stream.readline()
        except OSError as error:
            raise TestbedError(f"the bed's supervisor does not answer ({error}); see {self._logs}") from error
        answer = json.loads(line or b'{"error": "no answer"}')
        if "error" in answer:
            raise TestbedError(f"the bed's supervisor refused {request.get('name', request['do'])}: {answer['error']}")
        return answer["ok"]

    def start(self, name: str, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> None:
        """Start a program under the supervisor; it runs until stopped and writes to `logs/NAME.log`."""
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self._socket.parent), **(env or {})}
        self._request(
            do="start",
            name=name,
            argv=[str(part) for part in argv],
            env=environment,
            log=str(self._logs / f"{name}.log"),
        )

    def stop(self, name: str, *, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop a program until `resume`; one that does not end within 10 s is killed."""
        self._request(do="stop", name=name, signal=number.name)

    def resume(self, name: str) -> None:
        """Start a stopped program again as it was."""
        self._request(do="resume", name=name)

    def stay(self) -> None:
        """Let the bed outlive the process that started it."""
        self._request(do="stay")

    def list(self) -> "list[ProgramStatus]":
        """Every program that was started."""
        return [ProgramStatus(**entry) for entry in self._request(do="list")]


@contextlib.contextmanager
def _open_directory(path: Path) -> Any:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def launch(directory: Path, *, namespaces: bool, owner: int) -> Control:
    """Start a supervisor for `directory` and wait until it answers; raises TestbedError with its log if it does not.

    With `namespaces` it is PID 1 of its own PID, mount and network namespaces. The bed ends when the process
    behind `owner` (a pidfd) does, until `stay`. It is nobody's child, so that no caller has to collect it.
    """
    command = [*_DETACH, *(_NAMESPACES if namespaces else ()), sys.executable, "-I", str(_SCRIPT), str(directory)]
    command.append(str(owner))
    path = directory / "logs" / "supervisor.log"
    with path.open("ab") as log:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            pass_fds=(owner,),
            check=True,
        )
    control = Control(directory)
    deadline = time.monotonic() + _START_WITHIN_SECONDS
    while not control.alive():
        if time.monotonic() > deadline or path.stat().st_size:
            raise TestbedError(f"the bed's supervisor did not start: {path.read_text(errors='replace').strip()}")
        time.sleep(0.01)
    return control


def _is_supervisor(pid: int, directory: Path) -> bool:
    """Whether the process is a supervisor (or the `unshare` before it) of exactly this directory."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    wanted = [_SCRIPT.name, os.fsencode(directory)]
    return any([Path(os.fsdecode(script)).name, where] == wanted for script, where in itertools.pairwise(arguments))


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def end(directory: Path, *, within: float = 60.0) -> bool:
    """Kill the supervisor of `directory` and everything under it, and wait until all of it is gone.

    Finds it by its command line, not by a recorded number, so a reused process id is never hit: each process is held by
    a pidfd before its command line is read. Returns whether there was anything.
    """
    held: dict[int, int] = {}
    leaders: list[int] = []
    try:
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            descriptor = _hold(int(entry.name))
            if descriptor is None:
                continue
            if _is_supervisor(int(entry.name), directory):
                held[int(entry.name)] = descriptor
                leaders.append(int(entry.name))
            else:
                os.close(descriptor)
        for pid in leaders:
            for child in _descendants(pid):
                if child not in held and (descriptor := _hold(child)) is not None:
                    held[child] = descriptor
        for pid in leaders:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(held[pid], signal.SIGKILL)
        _wait_for_all(held, within)
    finally:
        for descriptor in held.values():
            os.close(descriptor)
    return bool(leaders)


def _hold(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _wait_for_all(held: Mapping[int, int], within: float) -> None:
    """Wait on pidfds: each becomes readable when its process has ended, even if nobody has collected it yet."""
    deadline = time.monotonic() + within
    poller = select.poll()
    waiting = dict(held)
    for descriptor in waiting.values():
        poller.register(descriptor, select.POLLIN)
    while waiting:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TestbedError(f"processes {sorted(waiting)} of the bed do not end; look at them with ps")
        ended = {descriptor for descriptor, _event in poller.poll(left * 1000)}
        for pid, descriptor in list(waiting.items()):
            if descriptor in ended:
                poller.unregister(descriptor)
                del waiting[pid]
