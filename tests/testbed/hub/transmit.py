"""Turns an answer into bytes on a connection, with the faults that strike on the way."""

import asyncio
import gzip
import re
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from testbed.hub.content import Bytes, File, Source
from testbed.hub.faults import BodyFault, Drop, OtherBytes, Shortened, Slow, Tampered, Truncate
from testbed.hub.journal import RequestRecord
from testbed.hub.strict import parse_range
from testbed.hub.wire import Answer, Request, UnexpectedError

_CHUNK_BYTES = 64 * 1024
_KERNEL_BYTES = 8 * 1024 * 1024
_SLOW_WRITES_PER_SECOND = 20
_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:,|;(?!q=0(\.0*)?\s*(,|$))|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """An answer made ready: the part ``start`` to ``end`` of ``source`` is the body.

    ``length`` is the Content-Length, None for a chunked body; ``send_body`` is False for HEAD.
    """

    status: int
    headers: dict[str, str]
    source: Source
    start: int
    end: int
    length: int | None
    send_body: bool
    drop: Drop | None
    slow: Slow | None


def shape(answer: Answer, request: Request, faults: Sequence[BodyFault]) -> Outgoing:
    """Work out status, headers and body. Raises `UnexpectedError` for a range that makes no sense."""
    source = _harmed(answer.body or Bytes(b""), faults)
    headers = {**answer.headers, "Content-Type": answer.content_type}
    status, start, end = answer.status, 0, source.size
    if status == web.HTTPOk.status_code and "Range" in request.headers:
        if "Accept-Ranges" not in answer.headers:
            raise UnexpectedError("a Range header on an answer that has no ranges")
        status, start, end = _ranged(request, source, headers)
    elif answer.compressible and _GZIP.search(request.headers.get("Accept-Encoding", "")):
        source = Bytes(gzip.compress(source.read(0, source.size), mtime=0))
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        start, end = 0, source.size
    return Outgoing(
        status=status,
        headers=headers,
        source=source,
        start=start,
        end=end,
        length=None if "Content-Encoding" in headers else end - start,
        send_body=request.method != "HEAD",
        drop=next((f for f in faults if isinstance(f, Drop)), None),
        slow=next((f for f in faults if isinstance(f, Slow)), None),
    )


async def send(raw: web.BaseRequest, outgoing: Outgoing, record: RequestRecord) -> web.StreamResponse:
    """Send the answer, counting the bytes of the body in the record."""
    response = web.StreamResponse(status=outgoing.status, headers=outgoing.headers)
    response.content_length = outgoing.length
    await response.prepare(raw)
    if not outgoing.send_body:
        return response
    if isinstance(outgoing.source, File) and outgoing.slow is None and outgoing.length is not None:
        await _send_file(raw, outgoing.source, outgoing, record)
    else:
        await _send_body(response, outgoing, record)
    if outgoing.drop is not None:
        _cut(raw, reset=outgoing.drop.reset)
    else:
        await response.write_eof()
    return response


async def _send_file(raw: web.BaseRequest, source: File, outgoing: Outgoing, record: RequestRecord) -> None:
    """Let the kernel copy from the file to the connection: a benchmark's client is to be the slower side (sendfile(2))."""
    end = outgoing.end if outgoing.drop is None else min(outgoing.end, outgoing.start + outgoing.drop.after_bytes)
    loop = asyncio.get_running_loop()
    with source.path.open("rb") as file:
        for position in range(outgoing.start, end, _KERNEL_BYTES):
            if raw.transport is None:
                raise ConnectionResetError("the client went away")
            record.bytes += await loop.sendfile(raw.transport, file, position, min(_KERNEL_BYTES, end - position))


async def _send_body(response: web.StreamResponse, outgoing: Outgoing, record: RequestRecord) -> None:
    end = outgoing.end
    if outgoing.drop is not None:
        end = min(end, outgoing.start + outgoing.drop.after_bytes)
    rate = outgoing.slow.bytes_per_second if outgoing.slow else None
    chunk = max(rate // _SLOW_WRITES_PER_SECOND, 1) if rate else _CHUNK_BYTES
    for position in range(outgoing.start, end, chunk):
        piece = outgoing.source.read(position, min(chunk, end - position))
        await response.write(piece)
        record.bytes += len(piece)
        if rate:
            await asyncio.sleep(len(piece) / rate)


def _harmed(source: Source, faults: Sequence[BodyFault]) -> Source:
    for fault in faults:
        if isinstance(fault, OtherBytes):
            source = Tampered(source, fault.offset)
        if isinstance(fault, Truncate):
            source = Shortened(source, fault.keep_bytes)
    return source


def _ranged(request: Request, source: Source, headers: dict[str, str]) -> tuple[int, int, int]:
    start, end = parse_range(request.headers, source) or (0, source.size)
    if start >= source.size:
        headers["Content-Range"] = f"bytes */{source.size}"
        return 416, 0, 0
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{source.size}"
    return 206, start, end


def _cut(raw: web.BaseRequest, *, reset: bool) -> None:
    transport = raw.transport
    if transport is None:
        return
    if reset:
        # A close with a linger time of zero is a reset: socket(7).
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.close()
