"""Servers and proxies between the pod and the Hub that treat ranges in their own way."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from holdfast.sources.hub_client import HubClient
from holdfast.weights.download import Source, download
from holdfast.weights.errors import WeightsMismatchError, WeightsUnavailableError
from holdfast.weights.listing import ApprovedFile
from holdfast.weights.progress import Progress

CONTENT = b"".join(i.to_bytes(4, "big") for i in range(50_000))
FILE = ApprovedFile(path="model.safetensors", size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
Reply = Callable[[str | None], tuple[int, dict[str, str], bytes]]
"""From the request's Range to status, headers and body. A body shorter than its Content-Length is cut off."""


def broken(_: str | None) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Length": str(len(CONTENT))}, CONTENT[:70_000]


def whole(_: str | None) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, CONTENT


def elsewhere(_: str | None) -> tuple[int, dict[str, str], bytes]:
    return 206, {"Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"}, CONTENT


def outside(asked: str | None) -> tuple[int, dict[str, str], bytes]:
    return (416, {"Content-Range": "bytes */50000"}, b"") if asked else (200, {}, CONTENT[:50_000])


def longer(_: str | None) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, CONTENT + bytes(16 * 1024 * 1024)


def away(_: str | None) -> tuple[int, dict[str, str], bytes]:
    return 503, {}, b""


class Server:
    """Gives its replies in turn, the last one again and again."""

    def __init__(self, *replies: Reply) -> None:
        self.ranges: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                server.ranges.append(asked)
                status, headers, body = replies[min(len(server.ranges), len(replies)) - 1](asked)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def fetched(tmp_path: Path) -> Iterator[Callable[..., tuple[Server, bytes]]]:
    running: list[Server] = []

    def run(*replies: Reply) -> tuple[Server, bytes]:
        server = Server(*replies)
        running.append(server)
        source = Source(client=HubClient(server.url), repository="lab/model", commit="a" * 40, jitter=lambda: 0.0)
        download(source, FILE, tmp_path / "model.safetensors", Progress("fetching", FILE.size))
        return server, (tmp_path / "model.safetensors").read_bytes()

    yield run
    for server in running:
        server.stop()


@pytest.mark.parametrize("answer", [whole, elsewhere])
def test_a_range_that_is_not_honoured_starts_over(fetched: Callable[..., tuple[Server, bytes]], answer: Reply) -> None:
    server, content = fetched(broken, answer)
    assert server.ranges == [None, "bytes=70000-"]
    assert content == CONTENT


def test_a_file_that_got_shorter_meanwhile_is_a_mismatch(fetched: Callable[..., tuple[Server, bytes]]) -> None:
    with pytest.raises(WeightsMismatchError, match="found 50000 bytes"):
        fetched(broken, outside)


def test_what_is_too_long_is_not_read_to_its_end(fetched: Callable[..., tuple[Server, bytes]], tmp_path: Path) -> None:
    with pytest.raises(WeightsMismatchError, match=f"found more than {len(CONTENT)} bytes"):
        fetched(longer)
    assert (tmp_path / "model.safetensors").stat().st_size < 2 * 1024 * 1024


def test_a_server_that_stays_away_is_given_up(fetched: Callable[..., tuple[Server, bytes]]) -> None:
    with pytest.raises(WeightsUnavailableError, match=r"answered 503 .*; gave up after 9 tries"):
        fetched(away)
