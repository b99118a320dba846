"""The Python environment that makes the tiny models: numpy and its like stay out of the product's own."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[3] / "requirements" / "models.txt"
_COMPLETE = "complete"


def cache_folder() -> Path:
    """Return the folder for what can be made again: ``$HOLDFAST_CACHE``, else ``~/.cache/holdfast``."""
    return Path(os.environ.get("HOLDFAST_CACHE") or Path.home() / ".cache" / "holdfast")


def environment_digest() -> str:
    """Return what the environment depends on: the locked requirements and the Python version."""
    version = f"python {sys.version_info.major}.{sys.version_info.minor}\n".encode()
    return hashlib.sha256(version + REQUIREMENTS.read_bytes()).hexdigest()[:16]


def environment_python() -> Path:
    """Return the interpreter of the environment, installing it first if it is not in the cache.

    Raises ``RuntimeError`` with pip's words when the installation fails.
    """
    folder = cache_folder() / f"models-venv-{environment_digest()}"
    python = folder / "bin" / "python"
    with locked(folder):
        if not (folder / _COMPLETE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True)
            _install(python)
            (folder / _COMPLETE).touch()
    return python


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from making the same folder; the lock ends with the process."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(python: Path) -> None:
    options = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--quiet", "--requirement", str(REQUIREMENTS)]
    done = subprocess.run([str(python), "-m", "pip", "install", *options], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"cannot install {REQUIREMENTS.name} for the tiny models:\n{done.stdout}{done.stderr}")
