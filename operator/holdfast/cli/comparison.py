"""What changes from one revision to another: fields, files, chat template."""

import difflib
from dataclasses import dataclass
from typing import Any, Final

from holdfast.api.model import File
from holdfast.api.revision import ResolvedModel
from holdfast.cli import words
from holdfast.cli.objects import Revision
from holdfast.cli.terminal import Terminal
from holdfast.domain.artifacts import MODEL, artifacts
from holdfast.domain.pin import Difference, differences, fields_of

_FILES_SHOWN: Final = 50
_ONE_LINE: Final = 100
_TEMPLATE: Final = "chatTemplate.text"
_ORIGIN: Final = "chatTemplate.from"


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file that differs; None on the side where it is absent."""

    path: str
    old: File | None
    new: File | None

    @property
    def kind(self) -> str:
        """``added``, ``removed`` or ``changed``."""
        if self.old is None:
            return "added"
        return "removed" if self.new is None else "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Everything that differs between two resolved models."""

    fields: list[Difference]
    files: list[FileChange]
    same_files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Changes):
    """Everything that differs between two revisions. Without an old revision everything is new."""

    old: Revision | None
    new: Revision


def compare(old: Revision | None, new: Revision) -> Comparison:
    """Compare the resolved models of two revisions."""
    found = changes(old.spec.model if old else None, new.spec.model)
    return Comparison(old=old, new=new, fields=found.fields, files=found.files, same_files=found.same_files)


def changes(old: ResolvedModel | None, new: ResolvedModel) -> Changes:
    """Compare two resolved models."""
    before = _files(old) if old else {}
    after = _files(new)
    changed = [
        FileChange(path, before.get(path), after.get(path))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]
    found = differences(old, new) if old else _everything(new)
    return Changes(
        fields=[entry for entry in found if ".files[" not in entry.field],
        files=changed,
        same_files=len(before.keys() | after.keys()) - len(changed),
    )


def _files(model: ResolvedModel) -> dict[str, File]:
    """Return all files by path; those beside the model's own with the name of what they belong to."""
    return {
        file.path if artifact.name == MODEL else f"{artifact.name}: {file.path}": file
        for artifact in artifacts(model)
        for file in artifact.source.files or ()
    }


def _everything(new: ResolvedModel) -> list[Difference]:
    """Return each field of a model that nothing precedes, in the order of the API."""
    return [Difference(field, None, value) for field, value in fields_of(new).items() if ".files[" not in field]


def data(comparison: Comparison, request: int | None) -> dict[str, Any]:
    """Return the comparison for programs."""

    def side(revision: Revision | None) -> dict[str, Any] | None:
        return None if revision is None else {"revision": revision.spec.number, "digest": revision.spec.digest}

    return {
        "request": request,
        "old": side(comparison.old),
        "new": side(comparison.new),
        "fields": [{"field": entry.field, "old": entry.old, "new": entry.new} for entry in comparison.fields],
        "files": [
            {
                "path": change.path,
                "change": change.kind,
                "old": change.old.wire() if change.old else None,
                "new": change.new.wire() if change.new else None,
            }
            for change in comparison.files
        ],
        "sameFiles": comparison.same_files,
    }


def show(terminal: Terminal, comparison: Comparison) -> None:
    """Print the comparison for people."""
    old, new = comparison.old, comparison.new
    before = f"revision {old.spec.number} {old.spec.digest}" if old else "nothing: this is the first"
    terminal.pairs([("serves now", before), ("would serve", f"revision {new.spec.number} {new.spec.digest}")])
    terminal.line()
    show_changes(terminal, comparison)


def show_changes(terminal: Terminal, comparison: Changes) -> None:
    """Print what differs, for people."""
    terminal.line("Fields" if comparison.fields else "Fields: no difference", style="bold")
    for entry in comparison.fields:
        if entry.field != _TEMPLATE:
            _show_field(terminal, entry)
    _show_template(terminal, comparison)
    terminal.line()
    _show_files(terminal, comparison)


def _show_field(terminal: Terminal, entry: Difference) -> None:
    if entry.old is None or entry.new is None:
        mark, value, style = ("+", entry.new, "green") if entry.old is None else ("-", entry.old, "red")
        terminal.line(f"  {mark} {entry.field}: {value}", style=style)
    elif len(entry.field) + len(entry.old) + len(entry.new) <= _ONE_LINE:
        terminal.line(f"  ~ {entry.field}: {entry.old} → {entry.new}", style="yellow")
    else:
        terminal.line(f"  ~ {entry.field}:", style="yellow")
        terminal.line(f"      old {entry.old}", style="red")
        terminal.line(f"      new {entry.new}", style="green")


def _show_template(terminal: Terminal, comparison: Changes) -> None:
    entry = next((entry for entry in comparison.fields if entry.field == _TEMPLATE), None)
    if entry is None:
        return
    first = any(one.field == _ORIGIN and one.old is None for one in comparison.fields)
    absent = [] if first else ["(no text: the engine reads it in the files, or makes the prompt itself)"]
    before = entry.old.splitlines() if entry.old is not None else absent
    after = entry.new.splitlines() if entry.new is not None else absent
    terminal.line(f"  ~ {_TEMPLATE}:", style="yellow")
    for line in list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        terminal.line(f"      {line}", style=style)


def _show_files(terminal: Terminal, comparison: Changes) -> None:
    counts = {kind: sum(change.kind == kind for change in comparison.files) for kind in ("changed", "added", "removed")}
    listed = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "no difference"
    terminal.line(f"Files: {listed}, {comparison.same_files} the same", style="bold")
    for change in comparison.files[:_FILES_SHOWN]:
        mark, style = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}[change.kind]
        terminal.line(f"  {mark} {change.path}", style=style)
        for label, file in (("old", change.old), ("new", change.new)):
            if file is not None:
                terminal.line(f"      {label} sha256:{file.sha256} {words.size(file.size)}")
    hidden = len(comparison.files) - _FILES_SHOWN
    if hidden > 0:
        terminal.line(f"  … and {hidden} more: see all with -o json")
