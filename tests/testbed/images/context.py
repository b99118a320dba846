"""The folder that a build sees, and the key that names its content."""

import hashlib
import platform
import shutil
from pathlib import Path

from testbed.images.errors import ImageError
from testbed.images.recipes import Recipe

# Raised when images must be built anew although none of their files changed.
_FORMAT = "1"
_LEFT_OUT = ("__pycache__", ".mypy_cache", ".ruff_cache")


def architecture() -> str:
    """Name the processor of this machine as the OCI image specification does (as Go does)."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def files(recipe: Recipe) -> dict[str, Path]:
    """Map each path in the build context to the file that is copied there; raises ImageError if one does not exist."""
    found: dict[str, Path] = {}
    for target, source in recipe.files.items():
        if source.is_file():
            found[target] = source
        elif source.is_dir():
            inside = (path for path in source.rglob("*") if path.is_file() and not set(path.parts) & set(_LEFT_OUT))
            found |= {f"{target}/{path.relative_to(source)}": path for path in inside}
        else:
            raise ImageError(f"the image {recipe.name} is made of {source}, which does not exist")
    return dict(sorted(found.items()))


def copy(content: dict[str, Path], folder: Path) -> dict[str, Path]:
    """Copy the files into the new folder and return where they are now; modes do not depend on the caller's umask."""
    folder.mkdir(parents=True)
    copied = {}
    for target, source in content.items():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
        path.chmod(0o755 if _executable(source) else 0o644)
        copied[target] = path
    for path in folder.rglob("*/"):
        path.chmod(0o755)
    return copied


def key(recipe: Recipe, content: dict[str, Path], base: str | None) -> str:
    """16 hex digits of a sha256 over all that the image depends on; `base` is the digest of the image it stands on."""
    digest = hashlib.sha256()

    def add(*parts: bytes) -> None:
        for part in parts:
            digest.update(len(part).to_bytes(8) + part)

    add(*(part.encode() for part in (_FORMAT, architecture(), recipe.name, base or "")))
    add(*(path.read_bytes() for path in recipe.made_by))
    for target, source in content.items():
        add(target.encode(), b"x" if _executable(source) else b"-", source.read_bytes())
    return digest.hexdigest()[:16]


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)
