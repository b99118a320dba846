"""A ModelDeployment in a file of the caller's, such as in Git: found among other documents, and changed in place.

Only the characters of the changed values are replaced: comments, order, quotes and indentation stay as they are.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast.api.model import HuggingFaceSource
from holdfast.api.names import GROUP
from holdfast.cli.exits import CommandError, ExitCode

_VALUE: Final = {"commit": "[0-9a-f]{40}", "manifestDigest": "sha256:[0-9a-f]{64}"}
_OUR_REMARK: Final = {
    "commit": re.compile(r"# \S+ on \d{4}-\d{2}-\d{2}\s*$"),
    "manifestDigest": re.compile(r"# \d+ (of \d+ )?files, .*$"),
}
"""Remarks that ``holdfast pin`` wrote beside a value; they would be untrue beside another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFile:
    """A file with a ModelDeployment."""

    path: Path
    text: str
    document: Mapping[str, Any]

    def changed(self, after: HuggingFaceSource, remarks: Mapping[str, str]) -> str:
        """Return the text with another commit and manifest digest.

        Raises:
            CommandError: the values are not written where they can be replaced.
        """
        place: Any = self.document["spec"]["model"]["source"]["huggingFace"]
        lines = self.text.splitlines(keepends=True)
        line, _ = place.lc.value("commit")
        _replace(lines, place, "commit", after.commit, remarks, self.path)
        digest = after.manifest_digest
        if digest is not None and "manifestDigest" in place:
            _replace(lines, place, "manifestDigest", digest, remarks, self.path)
        elif digest is not None and not place.fa.flow_style():
            indent = " " * place.lc.key("commit")[1]
            end = "\r\n" if lines[line].endswith("\r\n") else "\n"
            lines[line] = lines[line].rstrip("\r\n") + end
            lines.insert(line + 1, f"{indent}manifestDigest: {digest}  # {remarks['manifestDigest']}{end}")
        return "".join(lines)

    def write(self, text: str) -> None:
        """Replace the file's content, all at once.

        Raises:
            CommandError: it cannot be written.
        """
        path = self.path.resolve()
        try:
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                    file.write(text)
                shutil.copymode(path, temporary)
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise CommandError(f"cannot write {path}: {error.strerror or error}") from error


def read(path: Path, name: str) -> ManifestFile:
    """Find a ModelDeployment by its name.

    Raises:
        CommandError: the file cannot be read, or does not have exactly one of this name.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read()
        documents = list(YAML().load_all(text))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CommandError(f"cannot read {path}: {why}", ExitCode.NOT_FOUND) from error
    except RecursionError as error:
        raise CommandError(f"{path} is not YAML that can be read: it is nested too deeply") from error
    except YAMLError as error:
        raise CommandError(f"{path} is not YAML: {' '.join(str(error).split())[:500]}") from error
    found = [document for document in documents if _is(document, name)]
    if len(found) != 1:
        how = "no" if not found else f"{len(found)} times the"
        raise CommandError(f"{path} has {how} ModelDeployment {name!r}", ExitCode.NOT_FOUND)
    return ManifestFile(path=path, text=text, document=found[0])


def _is(document: object, name: str) -> bool:
    if not isinstance(document, Mapping) or document.get("kind") != "ModelDeployment":
        return False
    meta = document.get("metadata")
    ours = str(document.get("apiVersion", "")).startswith(f"{GROUP}/")
    return ours and isinstance(meta, Mapping) and meta.get("name") == name


def _replace(lines: list[str], place: Any, field: str, value: str, remarks: Mapping[str, str], path: Path) -> None:
    line, column = place.lc.value(field)
    before, rest = lines[line][:column], lines[line][column:]
    match = re.match(rf"([\"']?){_VALUE[field]}\1", rest)
    if match is None:
        raise CommandError(f"{path}, line {line + 1}: write the {field} itself there, so that it can be replaced")
    ending = rest[match.end() :]
    end = "\r\n" if ending.endswith("\r\n") else "\n" if ending.endswith("\n") else ""
    remark = _OUR_REMARK[field].sub(lambda _: f"# {remarks[field]}", ending.rstrip("\r\n"))
    lines[line] = f"{before}{match[1]}{value}{match[1]}{remark}{end}"
