"""llama.cpp's own parser of arguments, in a process inside the image that answers line by line."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

PYTHON: Final = "/opt/llamacpp/bin/python"
_PROGRAM: Final = """
import functools, json, os, sys, tempfile
sys.path.insert(0, "/opt/llamacpp")
import xllamacpp
from llama_server import parameters

print("ready", flush=True)
for line in sys.stdin:
    question = json.loads(line)
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as parsed:
        child = os.fork()  # the parser ends the process that asks for its help
        if child == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            found = parameters(question["arguments"], xllamacpp)
            values = {name: functools.reduce(getattr, name.split("."), found) for name in question["fields"]}
            parsed.write(json.dumps(values, default=list))
            parsed.flush()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        parsed.seek(0)
        answer = {"code": os.waitstatus_to_exitcode(status), "said": said.read(), "parsed": parsed.read()}
    print("answer " + json.dumps(answer), flush=True)
"""


class RefusedError(Exception):
    """llama.cpp does not take the arguments. `str()` is what it says."""


@dataclass(frozen=True, slots=True)
class LlamaParser:
    """The process."""

    process: subprocess.Popen[str]

    def parse(self, arguments: Sequence[str], *fields: str) -> dict[str, Any]:
        """Return what llama.cpp understood: these fields of its parameters, by its own names; raises RefusedError."""
        answer = self._ask(arguments, fields)
        if answer["code"] != 0:
            raise RefusedError(answer["said"].strip())
        found: dict[str, Any] = json.loads(answer["parsed"])
        return found

    def help(self) -> str:
        """Return the text that describes all flags."""
        return str(self._ask(["--help"], ())["said"])

    def _ask(self, arguments: Sequence[str], fields: Sequence[str]) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"arguments": list(arguments), "fields": list(fields)}) + "\n")
        self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self._line("answer "))
        return found

    def _line(self, begin: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(begin):
                return line.removeprefix(begin)
        raise AssertionError(f"the parser ended with {self.process.wait()}")


@contextmanager
def running(python: Sequence[str]) -> Iterator[LlamaParser]:
    """Run the parser; `python` starts the interpreter of the image."""
    command = [*python, "-c", _PROGRAM]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        found = LlamaParser(process)
        found._line("ready")
        try:
            yield found
        finally:
            assert process.stdin is not None
            process.stdin.close()
