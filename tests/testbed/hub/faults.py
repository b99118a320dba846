"""Misbehaviour on demand: what the hub should do wrong, where, and how often."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from testbed.hub.content import Source


def _compiles(expression: str) -> str:
    try:
        re.compile(expression)
    except re.error as exc:
        raise ValueError(f"{expression!r} is not a regular expression: {exc}") from exc
    return expression


Pattern = Annotated[str, AfterValidator(_compiles)]


class _Fault(BaseModel):
    """What all faults share.

    ``match`` is a regular expression searched in the request's path and query as they came over the wire
    (a file of the Hub is asked for at ``/{repository}/resolve/...``, then at ``/api/resolve-cache/...`` or
    ``/cdn/...``). ``method`` limits the fault to one method. The first ``skip`` matches pass unharmed, then
    ``times`` of them are hit; None means for ever.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: Pattern = "."
    method: Literal["GET", "HEAD", "POST"] | None = None
    times: int | None = Field(default=1, ge=1)
    skip: int = Field(default=0, ge=0)


class Status(_Fault):
    """Answer with this status, as a broken or overloaded server does. The body is JSON ``{"error": ...}``."""

    kind: Literal["status"] = "status"
    status: int = Field(default=500, ge=400, le=599)
    message: str = "Internal Error - We're working hard to fix this as soon as possible!"
    headers: dict[str, str] = {}


class RateLimited(_Fault):
    """Answer 429 with an empty `RateLimit` window that is full again in ``reset_seconds``.

    With ``retry_after`` the answer has a ``Retry-After`` header of as many seconds, too.
    """

    kind: Literal["rate-limited"] = "rate-limited"
    reset_seconds: int = Field(default=60, ge=0)
    retry_after: bool = False


class Gone(_Fault):
    """Answer 404 ``RevisionNotFound``, as after a force-push of the branch."""

    kind: Literal["gone"] = "gone"


class Stall(_Fault):
    """Take the request and never answer; the connection stays open until the client gives up or the hub stops."""

    kind: Literal["stall"] = "stall"


class Drop(_Fault):
    """Close the connection after ``after_bytes`` of the body of a good answer to a GET or POST.

    ``reset`` sends a TCP reset in place of an orderly close; bytes that the client has not read yet may then be lost.
    """

    kind: Literal["drop"] = "drop"
    after_bytes: int = Field(default=0, ge=0)
    reset: bool = False


class OtherBytes(_Fault):
    """Serve other bytes of the same size under the same headers: the lowest bit of one byte is flipped.

    ``offset`` is where; None takes the middle of the content, which in a weights file is tensor data.
    """

    kind: Literal["other-bytes"] = "other-bytes"
    offset: int | None = Field(default=None, ge=0)


class Truncate(_Fault):
    """Serve only the first ``keep_bytes`` (None: half) as though they were all: the answer itself is consistent."""

    kind: Literal["truncate"] = "truncate"
    keep_bytes: int | None = Field(default=None, ge=0)


class Slow(_Fault):
    """Send the body of a good answer at this rate."""

    kind: Literal["slow"] = "slow"
    bytes_per_second: int = Field(ge=1)


class ExtraFile(_Fault):
    """Pretend that every commit has one more plain file: a hub that lies about what belongs to a commit.

    Counted per request that shows the file (model info, tree, paths-info, download), so ``times`` is None here.
    """

    kind: Literal["extra-file"] = "extra-file"
    times: int | None = Field(default=None, ge=1)
    path: str
    content: str = "print('not part of the commit')\n"


AnyFault = Status | RateLimited | Gone | Stall | Drop | OtherBytes | Truncate | Slow | ExtraFile
Fault = Annotated[AnyFault, Field(discriminator="kind")]

AnswerFault = Status | RateLimited | Gone | Stall
BodyFault = Drop | OtherBytes | Truncate | Slow


@dataclass(slots=True)
class FaultState:
    """A fault in force, with how often a request matched it (``seen``) and how often it struck (``hits``)."""

    id: int
    fault: AnyFault
    seen: int = 0
    hits: int = 0

    @property
    def spent(self) -> bool:
        """The fault will not strike again."""
        return self.fault.times is not None and self.hits >= self.fault.times


class FaultBook:
    """The faults in force. Each request asks it once per stage what to do wrong."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._states: dict[int, FaultState] = {}

    def add(self, fault: AnyFault) -> int:
        """Put a fault in force and return its id."""
        state = FaultState(id=next(self._ids), fault=fault)
        self._states[state.id] = state
        return state.id

    def remove(self, fault_id: int) -> None:
        """End a fault. Raises ``KeyError`` when there is none with this id."""
        del self._states[fault_id]

    def clear(self) -> None:
        """End all faults."""
        self._states.clear()

    def states(self) -> list[FaultState]:
        """Return all faults, spent ones too, oldest first."""
        return list(self._states.values())

    def for_answer(self, method: str, target: str) -> AnswerFault | None:
        """Return what to answer in place of the real thing, if anything."""
        struck = self._strike(method, target, AnswerFault)
        return next((f for f in struck if isinstance(f, AnswerFault)), None)

    def for_body(self, method: str, target: str) -> list[BodyFault]:
        """Return what to do to the body of a good answer."""
        return [f for f in self._strike(method, target, BodyFault) if isinstance(f, BodyFault)]

    def extra_files(self, method: str, target: str) -> list[ExtraFile]:
        """Return the files to add to every commit."""
        return [f for f in self._strike(method, target, ExtraFile) if isinstance(f, ExtraFile)]

    def _strike(self, method: str, target: str, kinds: type | UnionType) -> Iterator[AnyFault]:
        for state in list(self._states.values()):
            fault = state.fault
            if state.spent or not isinstance(fault, kinds) or fault.method not in (None, method):
                continue
            if not re.search(fault.match, target):
                continue
            state.seen += 1
            if state.seen > fault.skip:
                state.hits += 1
                yield fault


class Tampered:
    """A `Source` with one bit flipped."""

    def __init__(self, source: Source, offset: int | None) -> None:
        self._source = source
        self._offset = source.size // 2 if offset is None else min(offset, max(source.size - 1, 0))

    @property
    def size(self) -> int:
        return self._source.size

    def read(self, offset: int, length: int) -> bytes:
        piece = bytearray(self._source.read(offset, length))
        at = self._offset - offset
        if 0 <= at < len(piece):
            piece[at] ^= 1
        return bytes(piece)


class Shortened:
    """A `Source` cut off at the end."""

    def __init__(self, source: Source, keep: int | None) -> None:
        self._source = source
        self._size = source.size // 2 if keep is None else min(keep, source.size)

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        return self._source.read(offset, max(min(length, self._size - offset), 0))
