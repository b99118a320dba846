"""Build an image if the cache lacks it. The cache has one OCI image layout for each content of its inputs."""

import contextlib
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
    says = progress or Progress()
    plan = recipe(name)
    base = build(plan.base, progress=says) if plan.base is not None else None
    layout = _layout(plan, context.files(plan), base)
    if not layout.is_dir():
        layout = _build(plan, base, says)
    os.utime(layout)
    return layout


def _layout(plan: Recipe, content: dict[str, Path], base: Path | None) -> Path:
    return folder() / f"{plan.name}-{context.key(plan, content, digest(base) if base else None)}"


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


def _build(plan: Recipe, base: Path | None, progress: Progress) -> Path:
    work = folder() / f".work-{plan.name}"
    with _locked(plan.name, progress):
        # A build that was killed left it; nobody else uses it, because we hold the lock.
        shutil.rmtree(work, ignore_errors=True)
        try:
            # The copy is what is built and what the key is of: the checkout may change meanwhile.
            layout = _layout(plan, context.copy(context.files(plan), work / "context"), base)
            if not layout.is_dir():
                with progress.step(f"build the image {plan.name}"):
                    _make(plan, base, layout, work, progress)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return layout


def _make(plan: Recipe, base: Path | None, layout: Path, work: Path, progress: Progress) -> None:
    if plan.make is not None:
        plan.make(work / "context", progress)
    log = folder() / f"{plan.name}.log"
    log.unlink(missing_ok=True)
    tag = f"localhost/holdfast-testbed/{layout.name}"
    with Buildah(folder=folder() / "buildah", work=work, log=log).ready() as buildah:
        buildah.build(work / "context", tag, buildah.load(base) if base else None)
        buildah.export(tag, work / "layout")
        if not plan.keep_steps:
            buildah.remove(tag)
    _share(work / "layout")
    (work / "layout").rename(layout)
    _forget(plan.name)


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
