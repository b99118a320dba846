"""An image has another key exactly when what it is made of has changed."""

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.images import NAMES, ImageError, context
from testbed.images.recipes import REPOSITORY, Recipe, recipe


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    (folder / "package").mkdir(parents=True)
    (folder / "Containerfile").write_text("FROM scratch\n")
    (folder / "package" / "module.py").write_text("X = 1\n")
    (folder / "make.py").write_text("pass\n")
    return folder


@pytest.fixture
def plan(sources: Path) -> Recipe:
    files = {"Containerfile": sources / "Containerfile", "package": sources / "package"}
    return Recipe(name="example", files=files, made_by=(sources / "make.py",))


def _key(plan: Recipe, base: str | None = "base") -> str:
    return context.key(plan, context.files(plan), base)


@pytest.mark.parametrize(
    "change",
    [
        lambda sources: (sources / "Containerfile").write_text("FROM scratch\nUSER 1\n"),
        lambda sources: (sources / "package" / "module.py").write_text("X = 2\n"),
        lambda sources: (sources / "package" / "other.py").touch(),
        lambda sources: (sources / "package" / "module.py").rename(sources / "package" / "renamed.py"),
        lambda sources: (sources / "package" / "module.py").chmod(0o755),
        lambda sources: (sources / "make.py").write_text("pass  # otherwise\n"),
    ],
    ids=["Containerfile", "content", "a file more", "name", "executable", "what makes it"],
)
def test_a_change_of_an_input_gives_another_key(change: Callable[[Path], object], sources: Path, plan: Recipe) -> None:
    before = _key(plan)
    change(sources)
    assert _key(plan) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda sources: os.utime(sources / "Containerfile", (0, 0)),
        lambda sources: (sources / "package" / "module.py").chmod(0o600),
        lambda sources: (sources / "package" / "__pycache__").mkdir() or (sources / "package" / "__pycache__" / "x.pyc").touch(),
        lambda sources: (sources / "beside.py").touch(),
    ],
    ids=["time", "read by others", "byte code", "outside"],
)
def test_nothing_else_does(change: Callable[[Path], object], sources: Path, plan: Recipe) -> None:
    before = _key(plan)
    change(sources)
    assert _key(plan) == before


def test_another_base_or_name_gives_another_key(plan: Recipe) -> None:
    keys = {_key(plan), _key(plan, "other"), _key(dataclasses.replace(plan, name="other"))}
    assert len(keys) == 3


def test_the_copy_has_the_key_of_its_source_and_modes_of_its_own(plan: Recipe, tmp_path: Path) -> None:
    mask = os.umask(0o077)
    try:
        copied = context.copy(context.files(plan), tmp_path / "copy")
    finally:
        os.umask(mask)
    assert context.key(plan, copied, "base") == _key(plan)
    assert {path.stat().st_mode & 0o777 for path in copied.values()} == {0o644}
    assert (tmp_path / "copy" / "package").stat().st_mode & 0o777 == 0o755


def test_a_file_that_is_missing_is_named(plan: Recipe, sources: Path) -> None:
    (sources / "Containerfile").unlink()
    with pytest.raises(ImageError, match=r"the image example is made of .*Containerfile, which does not exist"):
        _key(plan)


def test_an_unknown_image_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ImageError, match="there is no image 'nginx'; there are base, holdfast, "):
        recipe("nginx")


@pytest.mark.parametrize("name", NAMES)
def test_all_that_an_image_copies_is_in_its_context(name: str) -> None:
    files = context.files(recipe(name))
    made = {"base": {"rootfs.tar"}, "vllm": {"site"}}.get(name, set())
    text = files["Containerfile"].read_text()
    sources = {
        source
        for line in re.findall(r"^(?:COPY|ADD) (?!--from)(.*)$", text, re.MULTILINE)
        for source in line.split()[:-1]
        if source not in made
    }
    missing = {source for source in sources if not any(path == source or path.startswith(f"{source}/") for path in files)}
    assert missing == set()


def test_the_product_is_made_of_its_sources_and_locks_and_nothing_else() -> None:
    files = set(context.files(recipe("holdfast"))) - {"Containerfile", ".dockerignore"}
    beside = {path for path in files if not path.startswith("operator/holdfast/")}
    assert beside == {"pyproject.toml", "README.md", "LICENSE", "requirements/build.txt", "requirements/runtime.txt"}
    assert "operator/holdfast/__init__.py" in files


def test_every_lock_of_an_image_has_hashes_only() -> None:
    for lock in sorted(REPOSITORY.glob("tests/testbed/images/requirements-*.txt")):
        lines = [line for line in lock.read_text().splitlines() if line and not line.lstrip().startswith("#")]
        assert all(re.match(r"    --hash=sha256:[0-9a-f]{64}( \\)?$|[A-Za-z0-9._-]+==\S+", line) for line in lines), lock
        assert not any("://" in line for line in lines), lock
