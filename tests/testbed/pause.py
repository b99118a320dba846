"""The image of the container that holds each pod's namespaces: one static program in one layer."""

import hashlib
import io
import platform
import subprocess
import tarfile
import tempfile
from pathlib import Path

from testbed import places
from testbed.errors import TestbedError

_SOURCE = Path(__file__).with_name("pause.c")


def push(crane: Path, registry: str) -> str:
    """Build it if the cache lacks it, push it, and return its reference by digest."""
    layer = _layer()
    reference = f"{registry}/testbed/pause:1"
    _run([str(crane), "append", "--new_layer", str(layer), "--new_tag", reference, "--oci-empty-base"])
    # crane keeps no platform for an image from nothing, and containerd picks images by platform.
    digest = _run(
        [
            str(crane),
            "mutate",
            reference,
            "--entrypoint=/pause",
            "--user=65535:65535",
            "--set-platform=linux/" + _architecture(),
            f"--tag={reference}",
        ]
    ).strip()
    return digest.splitlines()[-1]


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _layer() -> Path:
    key = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    path = places.cache() / "images" / f"pause-{_architecture()}-{key}.tar"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".pause-") as temporary:
        program = Path(temporary) / "pause"
        _run(["gcc", "-Os", "-static", "-s", "-Wall", "-Werror", "-o", str(program), str(_SOURCE)])
        content = program.read_bytes()
        entry = tarfile.TarInfo("pause")
        entry.mode, entry.size = 0o755, len(content)
        fresh = Path(temporary) / "layer.tar"
        with tarfile.open(fresh, "w", format=tarfile.USTAR_FORMAT) as archive:
            archive.addfile(entry, io.BytesIO(content))
        fresh.rename(path)
    return path


def _run(command: list[str]) -> str:
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise TestbedError(f"{' '.join(command)} failed: {result.stderr.strip()}")
    return result.stdout
