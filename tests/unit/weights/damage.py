"""Ways in which a cached model can come to differ from what was approved."""

import os
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]


def _open(entry: Path) -> None:
    for root, _, files in os.walk(entry):
        Path(root).chmod(0o755)
        for name in files:
            (Path(root) / name).chmod(0o644)


def other_byte(entry: Path) -> None:
    _open(entry)
    with (entry / "model.safetensors").open("r+b") as file:
        file.seek(700_000)
        byte = file.read(1)
        file.seek(700_000)
        file.write(bytes([byte[0] ^ 1]))


def truncated(entry: Path) -> None:
    _open(entry)
    os.truncate(entry / "model.safetensors", 1_000_000)


def longer(entry: Path) -> None:
    _open(entry)
    with (entry / "config.json").open("ab") as file:
        file.write(b"\n")


def missing(entry: Path) -> None:
    _open(entry)
    (entry / "nested/deep/tokenizer.json").unlink()


def extra_file(entry: Path) -> None:
    _open(entry)
    (entry / "nested/extra.py").write_text("print('not approved')")


def extra_directory(entry: Path) -> None:
    _open(entry)
    (entry / "nested/extra").mkdir()


def link_to_the_same_bytes(entry: Path) -> None:
    _open(entry)
    elsewhere = entry.parent / "elsewhere.json"
    (entry / "config.json").rename(elsewhere)
    (entry / "config.json").symlink_to(elsewhere)


def linked_directory(entry: Path) -> None:
    _open(entry)
    elsewhere = entry.parent / "elsewhere"
    (entry / "nested").rename(elsewhere)
    (entry / "nested").symlink_to(elsewhere)


def pipe(entry: Path) -> None:
    _open(entry)
    (entry / "empty.txt").unlink()
    os.mkfifo(entry / "empty.txt")


def directory_for_a_file(entry: Path) -> None:
    _open(entry)
    (entry / "empty.txt").unlink()
    (entry / "empty.txt").mkdir()


def linked_entry(entry: Path) -> None:
    elsewhere = entry.parent / "elsewhere"
    entry.rename(elsewhere)
    entry.symlink_to(elsewhere)


DAMAGE: dict[str, tuple[Damage, str]] = {
    "other-byte": (other_byte, "model.safetensors"),
    "truncated": (truncated, "model.safetensors"),
    "longer": (longer, "config.json"),
    "missing": (missing, "nested/deep/tokenizer.json"),
    "extra-file": (extra_file, "nested/extra.py"),
    "extra-directory": (extra_directory, "nested/extra"),
    "link-to-the-same-bytes": (link_to_the_same_bytes, "config.json"),
    "linked-directory": (linked_directory, "nested"),
    "pipe": (pipe, "empty.txt"),
    "directory-for-a-file": (directory_for_a_file, "empty.txt"),
    "linked-entry": (linked_entry, "sha256-"),
}
"""How to damage an entry, and what the message must name."""
