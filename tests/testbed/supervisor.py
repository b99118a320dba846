"""The one process that owns all others of a bed; run as a script with the bed's directory as its only argument.

In a full bed it is PID 1 of a PID namespace whose mount and network namespaces live as long as it does, so that its
death, however it comes, takes every process, mount and interface of the bed with it: the kernel does the cleaning.
In a control-plane-only bed it runs on the host, and its children die with it by PR_SET_PDEATHSIG.

It listens on `supervisor.sock` in the bed's directory: one JSON object per connection is the request, one is the
answer. Only the owner of the directory can reach it. The file imports nothing but the standard library, because it
runs as long as the bed and should cost little memory.

Requests (`do`): `start` (name, argv, env, log), `stop` (name, signal), `resume` (name), `list`, and `stay`, after which
the bed no longer ends with the process that started it.
A program that ends by itself is started again after a second, and its restarts are counted.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESTART_AFTER_SECONDS = 1.0
STOP_WITHIN_SECONDS = 10.0
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


_supervisor = os.getpid()


def _die_with_the_supervisor() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # It may have died before the line above, and then no signal comes.
    if os.getppid() != _supervisor:
        os._exit(1)


@dataclass(slots=True)
class Program:
    """A program that the supervisor keeps running."""

    name: str
    argv: list[str]
    env: dict[str, str]
    log: str
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = True
    restarts: int = 0
    start_at: float | None = None
    exit_code: int | None = None

    def describe(self) -> dict[str, Any]:
        running = self.process is not None
        return {
            "name": self.name,
            "pid": self.process.pid if self.process else None,
            "running": running,
            "wanted": self.wanted,
            "restarts": self.restarts,
            "exit_code": self.exit_code,
            "log": self.log,
        }


@dataclass(slots=True)
class Supervisor:
    """The programs of one bed, and the loop that answers requests and reaps the dead."""

    directory: Path
    owner: int | None
    programs: dict[str, Program] = field(default_factory=dict)

    def run(self) -> None:
        """Serve until killed, or until the process behind the descriptor `owner` (a pidfd) has ended."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        listener = self._listen()
        with selectors.DefaultSelector() as selector:
            selector.register(wake_read, selectors.EVENT_READ, "wake")
            selector.register(listener, selectors.EVENT_READ, "request")
            while True:
                self._watch_owner(selector)
                for key, _events in selector.select(self._next_start()):
                    if key.data == "wake":
                        os.read(wake_read, 4096)
                    elif key.data == "owner":
                        os._exit(0)
                    else:
                        self._serve(listener)
                self._reap()
                self._restart()

    def _watch_owner(self, selector: selectors.BaseSelector) -> None:
        watched = {key.fd for key in selector.get_map().values() if key.data == "owner"}
        if self.owner is not None and not watched:
            selector.register(self.owner, selectors.EVENT_READ, "owner")
        if self.owner is None:
            for descriptor in watched:
                selector.unregister(descriptor)
                os.close(descriptor)

    def _listen(self) -> socket.socket:
        """Bind under another name and rename: whoever sees the socket can connect to it at once."""
        path = self.directory / "supervisor.sock"
        fresh = self.directory / "supervisor.sock.new"
        fresh.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listener.bind(str(fresh))
        fresh.chmod(0o600)
        listener.listen(16)
        fresh.rename(path)
        return listener

    def _serve(self, listener: socket.socket) -> None:
        connection, _address = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            with connection.makefile("rwb") as stream:
                line = stream.readline()
                if not line:
                    return
                try:
                    answer = {"ok": self._answer(json.loads(line))}
                except (OSError, KeyError, ValueError) as error:
                    answer = {"error": f"{type(error).__name__}: {error}"}
                stream.write(json.dumps(answer).encode() + b"\n")

    def _answer(self, request: dict[str, Any]) -> object:
        match request["do"]:
            case "start":
                name = request["name"]
                if name in self.programs and self.programs[name].process is not None:
                    raise ValueError(f"{name} is running")
                program = Program(name=name, argv=request["argv"], env=request["env"], log=request["log"])
                self._spawn(program)
                self.programs[name] = program
                return program.describe()
            case "stop":
                self._stop(self.programs[request["name"]], signal.Signals[request.get("signal", "SIGTERM")])
                return None
            case "resume":
                program = self.programs[request["name"]]
                program.wanted = True
                if program.process is None:
                    self._spawn(program)
                return program.describe()
            case "stay":
                self.owner = None
                return None
            case "list":
                return [program.describe() for program in self.programs.values()]
            case other:
                raise ValueError(f"unknown request {other!r}")

    def _spawn(self, program: Program) -> None:
        program.start_at = None
        with Path(program.log).open("ab") as log:
            # The supervisor has one thread, so a preexec_fn is safe.
            program.process = subprocess.Popen(
                program.argv,
                env=program.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
                preexec_fn=_die_with_the_supervisor,  # noqa: PLW1509
            )

    def _stop(self, program: Program, number: signal.Signals) -> None:
        program.wanted = False
        program.start_at = None
        process = program.process
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        program.exit_code, program.process = process.returncode, None

    def _reap(self) -> None:
        """Collect every dead child: ours, and as PID 1 the orphans that were given to us (containerd's shims)."""
        ours = {program.process.pid: program for program in self.programs.values() if program.process is not None}
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            program = ours.get(found.si_pid)
            if program is None or program.process is None:
                os.waitpid(found.si_pid, 0)
                continue
            program.exit_code = program.process.wait()
            program.process = None
            if program.wanted:
                program.start_at = time.monotonic() + RESTART_AFTER_SECONDS

    def _next_start(self) -> float | None:
        due = [program.start_at for program in self.programs.values() if program.start_at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _restart(self) -> None:
        for program in self.programs.values():
            if program.start_at is not None and program.start_at <= time.monotonic():
                program.restarts += 1
                try:
                    self._spawn(program)
                except OSError:
                    program.start_at = time.monotonic() + RESTART_AFTER_SECONDS


def main(arguments: list[str]) -> None:
    """Run with `DIRECTORY PIDFD`: the bed ends when the process behind that inherited descriptor ends."""
    directory, owner = Path(arguments[0]), int(arguments[1])
    os.set_inheritable(owner, False)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    Supervisor(directory=directory, owner=owner).run()


if __name__ == "__main__":
    main(sys.argv[1:])
