"""The bed's own use of kubectl: what it sets up in its cluster and what it waits for."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError


class Kubectl:
    """kubectl with one kubeconfig."""

    def __init__(self, program: Path, kubeconfig: Path) -> None:
        self._command = [str(program), f"--kubeconfig={kubeconfig}"]

    def command(self, *arguments: str) -> list[str]:
        """The command line, for who talks to the process."""
        return [*self._command, *arguments]

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 120.0) -> str:
        """Its output; raises TestbedError with its message if it fails."""
        result = self._run(arguments, stdin, timeout)
        if result.returncode != 0:
            raise TestbedError(f"kubectl {' '.join(arguments)} failed: {result.stderr.strip()}")
        return result.stdout

    def try_run(self, *arguments: str) -> bool:
        """Whether it succeeds within ten seconds."""
        try:
            return self._run(arguments, None, 10.0).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def get(self, *arguments: str) -> Any:
        """`kubectl get … -o json`, parsed."""
        return json.loads(self.run("get", *arguments, "--output=json"))

    def apply(self, objects: Sequence[Mapping[str, object]]) -> None:
        """Server-side apply of objects."""
        content = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.run("apply", "--server-side", "--force-conflicts", "--field-manager=testbed", "--filename=-", stdin=content)

    def create(self, objects: Sequence[Mapping[str, object]]) -> None:
        """Create objects that must not exist yet."""
        content = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.run("create", "--filename=-", stdin=content, timeout=600.0)

    def _run(self, arguments: Sequence[str], stdin: str | None, timeout: float) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self._command, *arguments],
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
