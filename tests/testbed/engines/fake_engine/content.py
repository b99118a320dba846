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
    paths = (path.relative_to(model) for path in model.rglob("*") if path.is_file())
    # In a ConfigMap's volume a hidden folder beside the links to its files has the same files once more.
    return Content({str(path): _sha256(model / path) for path in paths if not path.parts[0].startswith("..")})


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
