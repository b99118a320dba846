"""People and bots: each with a kubeconfig of their own, speaking through the `holdfast` command or kubectl."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Everything that it printed, what it said on the way first."""
        return self.stderr + self.stdout


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a kubeconfig."""

    name: str
    kubeconfig: Path
    kubectl_program: Path
    tell: Callable[[str], None] | None = None
    """Called with each command line as a reader would type it."""
    environment: tuple[tuple[str, str], ...] = ()

    def holdfast(self, *arguments: str, stdin: str | None = None, timeout: float = 300.0) -> Outcome:
        """Run the `holdfast` command."""
        return self._run(["holdfast", *arguments], [str(Path(sys.executable).with_name("holdfast")), *arguments], stdin, timeout)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120.0) -> Outcome:
        """Run kubectl."""
        return self._run(["kubectl", *arguments], [str(self.kubectl_program), *arguments], stdin, timeout)

    def _run(self, shown: list[str], command: list[str], stdin: str | None, timeout: float) -> Outcome:
        if self.tell is not None:
            self.tell(" ".join(f"'{word}'" if " " in word or "{" in word else word for word in shown))
        result = subprocess.run(
            command,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), **dict(self.environment)},
        )
        return Outcome(result.returncode, result.stdout, result.stderr)
