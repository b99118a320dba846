"""vLLM's own parser of arguments, in a process that answers line by line because importing vLLM takes ten seconds."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_PROGRAM = """
import contextlib, dataclasses, io, json, sys
from vllm import AsyncEngineArgs
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

parser = make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))
print("ready", flush=True)
for line in sys.stdin:
    said = io.StringIO()
    try:
        arguments = json.loads(line)
        if arguments == "flags":
            answer = {"parsed": {action.dest: action.option_strings for action in parser._actions}}
        else:
            with contextlib.redirect_stderr(said):
                found = parser.parse_args(arguments)
                AsyncEngineArgs.from_cli_args(found)
            answer = {"parsed": vars(found)}
    except SystemExit:
        answer = {"refused": said.getvalue().strip().splitlines()[-1]}
    except Exception as error:
        answer = {"refused": f"{type(error).__name__}: {error}"}
    print("answer " + json.dumps(answer, default=lambda value: getattr(value, "__dict__", None) or str(value)), flush=True)
"""


class RefusedError(Exception):
    """vLLM does not take the arguments. `str()` is what it says."""


@dataclass(frozen=True, slots=True)
class VllmParser:
    """The process."""

    process: subprocess.Popen[str]

    def parse(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Return what vLLM understood, by its own names; raises RefusedError."""
        return self._ask(list(arguments))

    def flags(self) -> dict[str, list[str]]:
        """Return the names of each flag."""
        return self._ask("flags")

    def _ask(self, question: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self._line("answer "))
        if "refused" in answer:
            raise RefusedError(answer["refused"])
        found: dict[str, Any] = answer["parsed"]
        return found

    def _line(self, begin: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:  # vLLM logs there too
            if line.startswith(begin):
                return line.removeprefix(begin)
        raise AssertionError(f"the parser ended with {self.process.wait()}")


@contextmanager
def running(python: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[VllmParser]:
    """Run the parser; `python` starts an interpreter that can import vLLM."""
    command = [*python, "-c", _PROGRAM]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        found = VllmParser(process)
        found._line("ready")
        try:
            yield found
        finally:
            assert process.stdin is not None
            process.stdin.close()
