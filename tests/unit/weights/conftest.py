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
import rfc8785

from holdfast.api.manifest import manifest_digest
from holdfast.weights.artifacts import ApprovedFile
from testbed.hub import HubServer


def safetensors(data: bytes) -> bytes:
    """One tensor with these bytes."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}).encode()
    return len(header).to_bytes(8, "little") + header + data


REPOSITORY = "lab/model"
CONTENT: dict[str, bytes] = {
    "config.json": b'{"architectures": ["Qwen2ForCausalLM"]}',
    "empty.txt": b"",
    "model.safetensors": safetensors(b"".join(i.to_bytes(4, "big") for i in range(400_000))),
    "nested/deep/tokenizer.json": b'{"version": "1.0"}' * 100,
}


Json = dict[str, Any]


def artifact(content: dict[str, bytes], source: Json, *, name: str = "model") -> Json:
    """One entry of artifacts.json."""
    listed = approved(content)
    files = [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in listed]
    return {"name": name, "manifestDigest": manifest_digest(listed), "source": source, "files": files}


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
        self.artifacts = self.folder / "artifacts.json"
        self.digest = manifest_digest(approved(self.content))
        self.list_artifacts(artifact(self.content, self.source))
        self.termination_log = self.folder / "termination-log"

    @property
    def source(self) -> Json:
        return {"huggingFace": {"endpoint": self.endpoint, "repository": self.repository, "commit": self.commit}}

    def list_artifacts(self, *listed: Json) -> None:
        self.write_artifacts(rfc8785.dumps({"artifacts": list(listed)}))

    def write_artifacts(self, content: bytes) -> None:
        self.artifacts.write_bytes(content)
        self.artifacts_digest = f"sha256:{hashlib.sha256(content).hexdigest()}"

    def move_to(self, endpoint: str) -> None:
        """The same files at another address."""
        self.endpoint = endpoint
        self.list_artifacts(artifact(self.content, self.source))

    @property
    def entry(self) -> Path:
        return self.cache / self.digest.replace(":", "-")

    def command(self, verb: str, *extra: str) -> list[str]:
        return [
            *self.prefix,
            sys.executable,
            "-m",
            "holdfast.weights.main",
            verb,
            f"--artifacts={self.artifacts}",
            f"--artifacts-digest={self.artifacts_digest}",
            f"--termination-log={self.termination_log}",
            *([] if any(option.startswith("--folder") for option in extra) else [f"--directory={self.cache}"]),
            *extra,
        ]

    def start(self, *extra: str, verb: str = "fetch") -> subprocess.Popen[str]:
        self.termination_log.write_text("")
        return subprocess.Popen(self.command(verb, *extra), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self, process: subprocess.Popen[str]) -> Outcome:
        output, _ = process.communicate(timeout=180)
        left = self.termination_log.read_text()
        return Outcome(
            status=process.returncode,
            log=[json.loads(line) for line in output.splitlines()],
            termination=json.loads(left) if left else {},
            output=output,
        )

    def fetch(self, *extra: str) -> Outcome:
        return self.finish(self.start(*extra))

    def verify(self, *extra: str) -> Outcome:
        return self.finish(self.start(*extra, verb="verify"))

    def served(self) -> dict[str, bytes]:
        """What an engine would find."""
        return {str(path.relative_to(self.entry)): path.read_bytes() for path in sorted(self.entry.rglob("*")) if path.is_file()}

    def leftovers(self) -> list[str]:
        return [path.name for path in sorted(self.cache.iterdir()) if not path.name.startswith((".lock-", "sha256-", "seals"))]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as running:
        running.admin.create_repo(REPOSITORY)
        yield running


@pytest.fixture
def pod(hub: HubServer, tmp_path: Path) -> Iterator[Pod]:
    made = Pod(folder=tmp_path / "pod", endpoint=hub.url, commit=hub.admin.commit(REPOSITORY, dict(CONTENT)))
    yield made
    make_deletable(made.cache)


@pytest.fixture
def filled(pod: Pod, hub: HubServer) -> Pod:
    """A pod whose cache holds the verified model; the hub has forgotten the requests."""
    assert pod.fetch().status == 0
    hub.admin.reset_journal()
    return pod


def make_deletable(cache: Path) -> None:
    for root, _, _ in os.walk(cache):
        Path(root).chmod(0o700)
    shutil.rmtree(cache)
