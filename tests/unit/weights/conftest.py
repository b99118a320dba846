"""A hub with one model, and the program that fetches it, run as the pod runs it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from holdfast.api.manifest import manifest_bytes
from holdfast.weights.listing import ApprovedFile
from testbed.hub import HubServer

REPOSITORY = "lab/model"
CONTENT: dict[str, bytes] = {
    "config.json": b'{"architectures": ["Qwen2ForCausalLM"]}',
    "empty.txt": b"",
    "model.safetensors": b"".join(i.to_bytes(4, "big") for i in range(400_000)),
    "nested/deep/tokenizer.json": b'{"version": "1.0"}' * 100,
}


def approved(content: dict[str, bytes]) -> list[ApprovedFile]:
    return [
        ApprovedFile(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest()) for path, data in sorted(content.items())
    ]


@dataclass(frozen=True)
class Outcome:
    status: int
    log: list[dict[str, Any]]
    termination: dict[str, str]
    output: str

    @property
    def message(self) -> str:
        return self.termination["message"]


@dataclass(kw_only=True)
class Pod:
    """A pod's first container: its volume of weights, its ConfigMap and its termination log."""

    folder: Path
    endpoint: str
    commit: str
    repository: str = REPOSITORY
    content: dict[str, bytes] = field(default_factory=lambda: dict(CONTENT))
    prefix: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.cache = self.folder / "weights"
        self.cache.mkdir(parents=True, exist_ok=True)
        self.manifest = self.folder / "manifest.json"
        self.write_manifest(manifest_bytes(approved(self.content)))
        self.termination_log = self.folder / "termination-log"

    def write_manifest(self, content: bytes) -> None:
        self.manifest.write_bytes(content)
        self.digest = f"sha256:{hashlib.sha256(content).hexdigest()}"

    @property
    def entry(self) -> Path:
        return self.cache / self.digest.replace(":", "-")

    def command(self, *extra: str) -> list[str]:
        return [
            *self.prefix,
            sys.executable,
            "-m",
            "holdfast.weights.main",
            "fetch",
            f"--manifest={self.manifest}",
            f"--manifest-digest={self.digest}",
            f"--endpoint={self.endpoint}",
            f"--repository={self.repository}",
            f"--commit={self.commit}",
            f"--directory={self.cache}",
            f"--termination-log={self.termination_log}",
            *extra,
        ]

    def start(self, *extra: str) -> subprocess.Popen[str]:
        self.termination_log.write_text("")
        return subprocess.Popen(self.command(*extra), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self, process: subprocess.Popen[str]) -> Outcome:
        output, _ = process.communicate(timeout=60)
        left = self.termination_log.read_text()
        return Outcome(
            status=process.returncode,
            log=[json.loads(line) for line in output.splitlines()],
            termination=json.loads(left) if left else {},
            output=output,
        )

    def fetch(self, *extra: str) -> Outcome:
        return self.finish(self.start(*extra))

    def served(self) -> dict[str, bytes]:
        """What an engine would find."""
        return {str(path.relative_to(self.entry)): path.read_bytes() for path in sorted(self.entry.rglob("*")) if path.is_file()}

    def leftovers(self) -> list[str]:
        return [path.name for path in sorted(self.cache.iterdir()) if not path.name.startswith((".lock-", "sha256-"))]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as running:
        running.admin.create_repo(REPOSITORY)
        yield running


@pytest.fixture
def pod(hub: HubServer, tmp_path: Path) -> Iterator[Pod]:
    made = Pod(folder=tmp_path / "pod", endpoint=hub.url, commit=hub.admin.commit(REPOSITORY, dict(CONTENT)))
    yield made
    _make_deletable(made.cache)


@pytest.fixture
def filled(pod: Pod, hub: HubServer) -> Pod:
    """A pod whose cache holds the verified model; the hub has forgotten the requests."""
    assert pod.fetch().status == 0
    hub.admin.reset_journal()
    return pod


def _make_deletable(cache: Path) -> None:
    for root, _, _ in os.walk(cache):
        Path(root).chmod(0o700)
    shutil.rmtree(cache)
