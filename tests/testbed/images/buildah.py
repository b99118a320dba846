"""Build with buildah, in a storage of our own below the cache, without a container engine."""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Self, TextIO

from testbed.images import sandbox

# The step cache grows with each change of a source; beyond this it is thrown away and filled again by the next build.
_MOST_LAYERS = 400
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_PIP_CONFIGURATION = Path("/etc/pip.conf")
_EVERYTHING = {"default": [{"type": "insecureAcceptAnything"}]}


@dataclasses.dataclass(frozen=True, slots=True)
class Buildah:
    """`folder` keeps the step cache, `work` is thrown away after the build, `log` gets the output."""

    folder: Path
    work: Path
    log: Path

    @contextlib.contextmanager
    def ready(self) -> Iterator[Self]:
        """Make the folders, and keep the step cache while it is used; forget it before if it has grown too large."""
        sandbox.require("buildah")
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a") as lock:
            self._forget(lock)
            fcntl.flock(lock, fcntl.LOCK_SH)
            for folder in (self.folder / "root", self.folder / "containers", self.work / "run"):
                folder.mkdir(parents=True, exist_ok=True)
            (self.work / "policy.json").write_text(json.dumps(_EVERYTHING))
            yield self

    def _forget(self, lock: TextIO) -> None:
        layers = self.folder / "root" / "overlay-layers" / "layers.json"
        if not layers.exists() or len(json.loads(layers.read_text())) <= _MOST_LAYERS:
            return
        with contextlib.suppress(BlockingIOError):  # another build uses it: the next one will forget it
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(self.folder / "root")

    def build(self, context: Path, tag: str, base: str | None) -> None:
        """Build `context`/Containerfile as `tag` on the local image `base`.

        All times are 0, so that the same input makes the same layers.
        """
        command = ["bud", *self._policy(), "--isolation", "chroot", "--layers", "--timestamp", "0", "--format", "oci"]
        command += ["--pull-never", "--quiet", "--tag", tag, "--file", str(context / "Containerfile")]
        if base is not None:
            command += ["--build-arg", f"BASE={base}", *_package_index()]
        self._run(*command, str(context))

    def export(self, tag: str, layout: Path) -> None:
        """Write the image as an OCI image layout."""
        self._run("push", *self._policy(), "--quiet", tag, f"oci:{layout}:latest")

    def remove(self, tag: str) -> None:
        """Remove an image and the steps that led to it."""
        self._run("rmi", tag)

    def load(self, layout: Path) -> str:
        """Take an image from an OCI image layout, unless it is there, and return its name."""
        # buildah names what it takes by the path that it was given, and not every path is a name.
        name = f"localhost/{layout.name}:latest"
        images = self.folder / "root" / "overlay-images" / "images.json"
        if not images.exists() or f'"{name}"' not in images.read_text():
            self._run("pull", *self._policy(), "--quiet", f"oci:{layout.name}:latest", directory=layout.parent)
        return name

    def _policy(self) -> tuple[str, str]:
        return "--signature-policy", str(self.work / "policy.json")

    def _run(self, *arguments: str, directory: Path | None = None) -> None:
        where = ["--root", str(self.folder / "root"), "--runroot", str(self.work / "run"), "--storage-driver", "overlay"]
        sandbox.run(
            ["buildah", *where, *arguments],
            log=self.log,
            directory=directory,
            environment={**os.environ, "TMPDIR": str(self.work)},
            # It keeps notes on blobs there whatever its --root is; they shall not mix with those of the machine's owner.
            bind=(self.folder / "containers", Path("/var/lib/containers")),
        )


def _package_index() -> list[str]:
    """Hand the machine's configuration of the package index and its certificate authority to pip in a build."""
    options = []
    authorities = Path(os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE") or _AUTHORITIES)
    if authorities.is_file():
        options += ["--build-arg", f"PIP_CERT={_AUTHORITIES}", "--volume", f"{authorities.resolve()}:{_AUTHORITIES}:ro"]
    if index := os.environ.get("PIP_INDEX_URL"):
        options += ["--build-arg", f"PIP_INDEX_URL={index}"]
    if _PIP_CONFIGURATION.is_file():
        options += ["--volume", f"{_PIP_CONFIGURATION}:{_PIP_CONFIGURATION}:ro"]
    return options
