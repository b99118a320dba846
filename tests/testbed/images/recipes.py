"""What each image is made of: the files of its build context, and what of it is made on the host."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from testbed.images import debian, vllm
from testbed.images.errors import ImageError
from testbed.progress import Progress

HERE = Path(__file__).parent
TESTBED = HERE.parent
ENGINES = TESTBED / "engines"
REPOSITORY = HERE.parents[2]


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """How to build one image.

    `files` maps a path in the build context to the file or folder that is copied there; the context is all that the build
    sees. `make` adds what is too large to be committed: it gets the folder of the context. `made_by` are the files of its code:
    when they change, the image does. `keep_steps` is False where the steps of a build are not worth their room on the disk.
    """

    name: str
    files: Mapping[str, Path]
    base: str | None = "base"
    make: Callable[[Path, Progress], None] | None = None
    made_by: tuple[Path, ...] = ()
    keep_steps: bool = True


def _recipe(name: str, files: Mapping[str, Path]) -> Recipe:
    requirements = f"requirements-{name}.txt"
    common = {"Containerfile": HERE / name / "Containerfile", requirements: HERE / requirements}
    return Recipe(name=name, files=MappingProxyType({**common, **files}))


def _product() -> Recipe:
    """Return the recipe of the file that users build, with the context that `.dockerignore` admits."""
    admitted = [line[1:].strip() for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    files = {"Containerfile": REPOSITORY / "Dockerfile", ".dockerignore": REPOSITORY / ".dockerignore"}
    return Recipe(name="holdfast", files=MappingProxyType(files | {path: REPOSITORY / path for path in admitted}))


_BASE = Recipe(
    name="base",
    base=None,
    files=MappingProxyType({"Containerfile": HERE / "base" / "Containerfile"}),
    make=debian.make,
    made_by=(HERE / "debian.py",),
)

NAMES = ("base", "holdfast", "envoy", "llamacpp", "fake-engine", "hub", "vllm")
"""The images that `ensure` knows. `vllm` is large (2 GB, minutes) and built only when asked for."""


def recipe(name: str) -> Recipe:
    """Return the recipe of an image; raises ImageError for an unknown name."""
    match name:
        case "base":
            return _BASE
        case "holdfast":
            return _product()
        case "envoy":
            return _recipe("envoy", {})
        case "llamacpp":
            return _recipe("llamacpp", {"llama_server.py": ENGINES / "llama_server.py"})
        case "fake-engine":
            return _recipe("fake-engine", {"fake_engine": ENGINES / "fake_engine"})
        case "hub":
            return _recipe("hub", {"hub": TESTBED / "hub", "models": TESTBED / "models"})
        case "vllm":
            code = (HERE / "vllm.py", HERE / "cuda_stubs.py")
            return dataclasses.replace(_recipe("vllm", {}), make=vllm.make, made_by=code, keep_steps=False)
        case _:
            raise ImageError(f"there is no image {name!r}; there are {', '.join(NAMES)}")
