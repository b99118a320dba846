"""Which bytes the engine was pointed at."""

import dataclasses
import hashlib
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    """The files of a model: `files` maps the path below the model's folder to the hex sha256 of its bytes."""

    files: dict[str, str]

    @property
    def digest(self) -> str:
        """`sha256:` and the hash of the lines that `sha256sum` would print for the files in the order of their paths."""
        lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(self.files.items()))
        return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def read(model: Path) -> Content:
    """Hash a folder, or the only file when the model is one; raises OSError if one cannot be read."""
    if model.is_file():
        return Content({model.name: _sha256(model)})
    if not model.is_dir():
        raise FileNotFoundError(f"{model} does not exist")
    return Content({str(path.relative_to(model)): _sha256(path) for path in sorted(model.rglob("*")) if path.is_file()})


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
