"""What is printed cannot act on a terminal, and reads the same in a pipe."""

import io
import sys
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.cli import words
from holdfast.cli.terminal import Terminal, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, as usual", "plain text, as usual"),
        ("lines\nand\ttabs", "lines\nand\ttabs"),
        ("Grüße, 日本語, 🙂", "Grüße, 日本語, 🙂"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\rb", "a\\rb"),
        ("a\x9bb", "a\\x9bb"),
        ("\u202eesrever", "\\u202eesrever"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("line\u2028separator", "line\\u2028separator"),
    ],
)
def test_what_would_act_on_a_terminal_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_nothing_invisible_is_left(text: str) -> None:
    shown = printable(text)
    assert printable(shown) == shown
    assert all(char in "\n\t" or char.isprintable() or char.isspace() or ord(char) > 0xA0 for char in shown)


def test_a_pipe_gets_long_lines_whole_and_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    terminal = Terminal()
    terminal.line("word " * 400, style="bold red")
    terminal.table(("A", "B"), [("x" * 300, "y")])
    assert len(stream.getvalue().splitlines()) == 3
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_colours_unless_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    def printed() -> str:
        stream = io.StringIO()
        stream.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stdout", stream)
        Terminal().line("text", style="red")
        return stream.getvalue()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert printed() == "\x1b[31mtext\x1b[0m\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert printed() == "text\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (3605, "1 h"), (90_000, "1 d 1 h"), (-5, "0 s")],
)
def test_durations_are_told_in_two_units(seconds: int, text: str) -> None:
    assert words.span(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(("parts", "text"), [(0, "0 %"), (500, "5 %"), (10_000, "100 %"), (1, "0.01 %"), (3333, "33.33 %")])
def test_weights_are_told_in_percent(parts: int, text: str) -> None:
    assert words.weight(parts) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (847_712, "848 kB"), (15_200_000_000, "15.2 GB"), (2 * 10**12, "2 TB")],
)
def test_sizes_are_told_in_decimal_units(count: int, text: str) -> None:
    assert words.size(count) == text
