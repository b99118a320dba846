"""When an engine may start: once nothing that it does can leave its pod."""

import time
from collections.abc import Callable
from pathlib import Path


class WayOut:
    """The pod's label by which a NetworkPolicy lets it reach the sources of its files, as the kubelet writes it into a file."""

    def __init__(self, label: Path, patience: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`patience` is how many seconds the engine waits for the label to go; the operator that takes it off may be down."""
        self._label = label
        self._clock = clock
        self._until = clock() + patience

    @property
    def settled(self) -> bool:
        """Whether the label is gone, or was waited for long enough."""
        return not self._open() or self._clock() >= self._until

    def _open(self) -> bool:
        try:
            return bool(self._label.read_text(encoding="utf-8", errors="replace").strip())
        except FileNotFoundError:
            return False
