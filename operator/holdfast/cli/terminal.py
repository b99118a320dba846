"""What a person or a script sees: text with colours only on a terminal, JSON, YAML, progress on stderr, questions."""

import errno
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Final, TextIO

from rich.console import Console
from rich.text import Text

from holdfast.cli.exits import CommandError, ExitCode, UnreadError

_UNWRAPPED: Final = 10_000
"""Columns of YAML: a value stays on its line."""
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that move the cursor, reorder or hide text."""


class Output(StrEnum):
    """Forms of printed data."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


def printable(text: str) -> str:
    r"""Return `text` with every character that could act on a terminal shown as an escape; line ends and tabs stay.

    What is printed comes from objects that others write. An escape sequence or a right-to-left override in a chat template must
    not change what the person reads before they decide.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in _INVISIBLE else char.encode("unicode_escape").decode()
        for char in text
    )


class _Console(Console):
    """Prints text as it is; every line is printed with soft wrapping, so that a pipe gets it whole."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(file=stream, highlight=False, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Leave the end to the caller, where rich would exit as if the command had failed."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def show(self, text: Text, end: str = "\n") -> None:
        """Print text.

        Raises:
            CommandError: nobody reads it, or it cannot be written.
        """
        with _writing():
            self.print(text, soft_wrap=True, end=end)


def _write(text: str) -> None:
    """Print data, and hand it on at once."""
    stream: TextIO | None = sys.stdout
    with _writing():
        if stream is None:  # closed before the start
            raise OSError(errno.EBADF, "stdout is closed")
        stream.write(text)
        stream.flush()


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        _discard()
        raise UnreadError from error
    except OSError as error:
        _discard()
        raise CommandError(f"cannot write the output: {error.strerror or error}") from error


def _discard() -> None:
    """Let go of what could not be written, or Python would try once more at its end and report that it failed."""
    streams: tuple[TextIO | None, ...] = (sys.stdout, sys.stderr)
    for stream in filter(None, streams):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


class Terminal:
    """The three streams of the process."""

    def __init__(self) -> None:
        self._out, self._err = _Console(sys.stdout), _Console(sys.stderr)

    def aside(self) -> "Terminal":
        """Return a terminal that prints its text on stderr, for what accompanies data on stdout."""
        other = Terminal()
        other._out = other._err
        return other

    def line(self, text: str = "", style: str = "") -> None:
        """Print one or more lines of text on stdout."""
        self._out.show(Text(printable(text), style=style))

    def note(self, text: str, style: str = "") -> None:
        """Print a remark on stderr, where it does not mix with data."""
        self._err.show(Text(printable(text), style=style))

    def error(self, text: str) -> None:
        """Print why the command ends."""
        shown = Text("error: ", style="bold red")
        shown.append(printable(text), style="default not bold")
        self._err.show(shown)

    def pairs(self, rows: Sequence[tuple[str, str]], indent: int = 0) -> None:
        """Print labels and values in two columns."""
        width = max((len(label) for label, _ in rows), default=0)
        for label, value in rows:
            first, *rest = printable(value).split("\n")
            text = Text(" " * indent)
            text.append(label.ljust(width + 2), style="bold")
            text.append(first)
            for more in rest:
                text.append("\n" + " " * (indent + width + 2) + more)
            self._out.show(text)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print aligned columns, as kubectl does."""
        cells = [list(header), *([printable(cell).replace("\n", " ") for cell in row] for row in rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
        for number, row in enumerate(cells):
            text = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            self._out.show(Text(text, style="bold" if number == 0 else ""))

    def data(self, value: Any, output: Output) -> None:
        """Print data for another program."""
        if output is Output.JSON:
            _write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
            return
        import yaml

        _write(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, explicit_start=True, width=_UNWRAPPED))

    def raw(self, text: str) -> None:
        """Print text for another program as it is; nothing in it may come from elsewhere unchecked."""
        _write(text)

    def document(self, value: Any, output: Output) -> None:
        """Print one of a stream of changes: a line of JSON, or a document of YAML."""
        if output is Output.YAML:
            self.data(value, output)
        else:
            _write(json.dumps(value, ensure_ascii=False) + "\n")

    @contextmanager
    def progress(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show on stderr that something is awaited: a spinner on a terminal, a line elsewhere.

        What is yielded takes another text: on a terminal in place of the last, elsewhere as one more line.
        """
        if not self._err.is_terminal:
            self.note(text)
            yield self.note
            return
        with self._err.status(Text(printable(text))) as status:
            yield lambda later: status.update(Text(printable(later)))

    @property
    def shows_moments(self) -> bool:
        """Whether a text of `progress` may be replaced often."""
        return self._err.is_terminal

    def ask(self, question: str, without: str) -> str:
        """Return what the person typed, without the spaces around it.

        Raises:
            CommandError: there is no terminal to ask on; `without` says what to give instead.
        """
        stdin: TextIO | None = sys.stdin
        if stdin is None or not stdin.isatty():
            raise CommandError(f"there is no terminal to ask on: {without}", ExitCode.USAGE)
        self._err.show(Text(printable(question)), end="")
        line = stdin.readline()
        if not line:
            raise CommandError("no answer was given; nothing was done")
        return line.strip()
