"""How the demo speaks: what happens, the command that a reader could type, and what was seen."""

import time

from rich.console import Console
from rich.text import Text


class Narrator:
    """Prints the story; colours only on a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._began = time.monotonic()
        self._number = 0

    def chapter(self, title: str) -> None:
        """Begin the next part."""
        self._number += 1
        elapsed = int(time.monotonic() - self._began)
        self._console.print()
        self._console.print(
            Text(f"{self._number}. {title}", style="bold") + Text(f"   [{elapsed // 60}:{elapsed % 60:02d}]", style="dim")
        )

    def command(self, line: str) -> None:
        """Show a command that is about to run."""
        self._console.print(Text(f"   $ {line}", style="cyan"))

    def output(self, text: str, *, lines: int = 12) -> None:
        """Show what a command printed."""
        shown = [line for line in text.rstrip().splitlines() if line.strip()]
        for line in shown[:lines]:
            self._console.print(Text(f"     {line}", style="dim"))
        if len(shown) > lines:
            self._console.print(Text(f"     … {len(shown) - lines} more lines", style="dim"))

    def happened(self, text: str) -> None:
        """Say what just happened, as observed."""
        self._console.print(Text("   ✓ ", style="green") + Text(text))

    def say(self, text: str) -> None:
        """Say something."""
        self._console.print(Text(f"   {text}"))

    def failed(self, text: str) -> None:
        """Say what went wrong."""
        self._console.print(Text("   ✗ ", style="red") + Text(text))
