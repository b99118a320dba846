"""Build an image if the cache lacks it. The cache has one OCI image layout for each content of its inputs."""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from testbed import places
from testbed.images import context
from testbed.images.buildah import Buildah
from testbed.images.recipes import Recipe, recipe
from testbed.progress import Progress

_KEPT = 3
"""How many layouts of one image stay in the cache."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Version:
    """An image as its inputs are now."""

    recipe: Recipe
    key: str
    base: "_Version | None"

    @property
    def layout(self) -> Path:
        return folder() / f"{self.recipe.name}-{self.key}"

    @property
    def tag(self) -> str:
        """Its name in buildah's storage."""
        return f"localhost/holdfast-testbed/{self.recipe.name}:{self.key}"


def folder() -> Path:
    """Where layouts and build caches are."""
    return places.cache() / "images"


def digest(layout: Path) -> str:
    """`sha256:` and the digest of the manifest of the layout's only image."""
    found: str = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    return found


def build(name: str, *, progress: Progress | None = None) -> Path:
    """Build an image and what it stands on, and return its OCI image layout; from the cache if nothing changed.

    Raises ImageError for an unknown name, if a build fails, or if the caller is not root or lacks a program and the image is not
    in the cache.
    """
    version = _version(name)
    if not version.layout.is_dir():
        version = _build(name, progress or Progress())
    os.utime(version.layout)
    return version.layout


def _version(name: str) -> _Version:
    plan = recipe(name)
    base = _version(plan.base) if plan.base is not None else None
    return _Version(plan, context.key(plan, context.files(plan), base.key if base else None), base)


@contextlib.contextmanager
def _locked(name: str, progress: Progress) -> Iterator[None]:
    """Hold off other builds of the same image."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / f"{name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step(f"wait for another build of the image {name}"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(name: str, progress: Progress) -> _Version:
    plan = recipe(name)
    base = _build(plan.base, progress) if plan.base is not None else None
    work = folder() / f".work-{name}"
    with _locked(name, progress):
        # A build that was killed left it; nobody else uses it, because we hold the lock.
        shutil.rmtree(work, ignore_errors=True)
        try:
            # The copy is what is built and what the key is of: the checkout may change meanwhile.
            place = work / "context"
            content = context.copy(context.files(plan), place)
            version = _Version(plan, context.key(plan, content, base.key if base else None), base)
            if not version.layout.is_dir():
                with progress.step(f"build the image {name}"):
                    _make(version, place, work, progress)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return version


def _make(version: _Version, place: Path, work: Path, progress: Progress) -> None:
    if version.recipe.make is not None:
        version.recipe.make(place, progress)
    log = folder() / f"{version.recipe.name}.log"
    log.unlink(missing_ok=True)
    with Buildah(folder=folder() / "buildah", work=work, log=log).ready() as buildah:
        if version.base is not None:
            buildah.load(version.base.layout, version.base.tag)
        buildah.build(place, version.tag, version.base.tag if version.base else None)
        buildah.export(version.tag, work / "layout")
        if not version.recipe.keep_steps:
            buildah.remove(version.tag)
    _share(work / "layout")
    (work / "layout").rename(version.layout)
    _forget(version.recipe.name)


def _share(fresh: Path) -> None:
    """Replace the blobs that other layouts have too by links to them: layers are the bulk, and most are common."""
    for blob in (fresh / "blobs" / "sha256").iterdir():
        other = next((found for found in folder().glob(f"*/blobs/sha256/{blob.name}")), None)
        if other is not None:
            blob.unlink()
            blob.hardlink_to(other)


def _forget(name: str) -> None:
    """Remove the layouts of an image that were not used for longest."""
    found = [path for path in folder().glob(f"{name}-{'[0-9a-f]' * 16}") if path.is_dir()]
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT:]:
        shutil.rmtree(path)
