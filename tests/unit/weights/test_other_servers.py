"""Servers and proxies between the pod and the Hub that treat ranges in their own way."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from holdfast.sources.hub_files import HubFiles
from holdfast.sources.ranges import Ranges
from holdfast.weights import journal as journal_module
from holdfast.weights import partial as partial_module
from holdfast.weights.artifacts import ApprovedFile
from holdfast.weights.errors import WeightsMismatchError, WeightsUnavailableError
from holdfast.weights.journal import Journal
from holdfast.weights.partial import PartialFile
from holdfast.weights.progress import Progress
from holdfast.weights.transfer import Transfer

CONTENT = b"".join(i.to_bytes(4, "big") for i in range(50_000))
FILE = ApprovedFile(path="model.bin", size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
Reply = Callable[[str | None], tuple[int, dict[str, str], bytes]]
"""From the request's Range to status, headers and body. A body shorter than its Content-Length is cut off."""


def broken(_: str | None) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Length": str(len(CONTENT))}, CONTENT[:70_000]


def whole(_: str | None) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, CONTENT


def elsewhere(_: str | None) -> tuple[int, dict[str, str], bytes]:
    return 206, {"Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"}, CONTENT


def good(asked: str | None) -> tuple[int, dict[str, str], bytes]:
    if asked is None:
        return 200, {}, CONTENT
    first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
    return 206, {"Content-Range": f"bytes {first}-{last}/{len(CONTENT)}"}, CONTENT[first : last + 1]


def capped(asked: str | None) -> tuple[int, dict[str, str], bytes]:
    """At most 10,000 bytes an answer."""
    first = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
    part = CONTENT[first : first + 10_000]
    return 206, {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(CONTENT)}"}, part


def unsized(_: str | None) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Length": ""}, CONTENT


def unsized_short(_: str | None) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Length": ""}, CONTENT[:1000]


def unsized_long(_: str | None) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Length": ""}, CONTENT + bytes(16 * 1024 * 1024)


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
        self.times: list[float] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                server.ranges.append(asked)
                server.times.append(time.monotonic())
                status, headers, body = replies[min(len(server.ranges), len(replies)) - 1](asked)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), "Connection": "close", **headers}.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body)
                self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


Fetched = Callable[..., tuple[Server, bytes]]


@pytest.fixture
def fetched(tmp_path: Path) -> Iterator[Fetched]:
    running: list[Server] = []

    def run(*replies: Reply, connections: int = 1) -> tuple[Server, bytes]:
        server = Server(*replies)
        running.append(server)
        path = tmp_path / FILE.path
        journal = Journal(tmp_path / "journal", "sha256:" + "0" * 64, [FILE])
        transfer = Transfer(
            Ranges(connections=connections), Progress("fetching", FILE.size), jitter=lambda: 0.0, connections=connections
        )
        place = HubFiles(server.url, "lab/model", "a" * 40, None).place(FILE.path)
        transfer.run([(PartialFile(FILE, path, journal), place)])
        return server, path.read_bytes()

    yield run
    for server in running:
        server.stop()


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several connections bring one file."""
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 30_000)
    monkeypatch.setattr(partial_module, "SEGMENT_BYTES", 30_000)


@pytest.mark.parametrize("answer", [whole, elsewhere])
def test_a_range_that_is_not_honoured_starts_over(fetched: Fetched, answer: Reply) -> None:
    server, content = fetched(broken, answer, whole)
    assert server.ranges[:2] == [None, f"bytes=70000-{len(CONTENT) - 1}"]
    assert server.ranges[2:] == [None]
    assert content == CONTENT


def test_a_broken_answer_goes_on_where_it_broke(fetched: Fetched) -> None:
    server, content = fetched(broken, good)
    assert server.ranges == [None, f"bytes=70000-{len(CONTENT) - 1}"]
    assert content == CONTENT


def test_answers_shorter_than_asked_are_put_together(fetched: Fetched) -> None:
    _, content = fetched(broken, capped)
    assert content == CONTENT


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("connections", [1, 3, 8])
def test_several_connections_bring_one_file(fetched: Fetched, connections: int) -> None:
    server, content = fetched(good, connections=connections)
    assert content == CONTENT
    assert sorted(server.ranges, key=str) == sorted(
        [f"bytes={start}-{min(start + 30_000, len(CONTENT)) - 1}" for start in range(0, len(CONTENT), 30_000)]
    )


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("connections", [1, 3, 8])
def test_a_server_without_ranges_gives_the_file_to_one_connection(fetched: Fetched, connections: int) -> None:
    server, content = fetched(whole, connections=connections)
    assert content == CONTENT
    assert server.ranges.count(None) == 1


@pytest.mark.usefixtures("small_segments")
def test_a_server_without_ranges_that_breaks_off_is_asked_for_everything_again(fetched: Fetched) -> None:
    server, content = fetched(whole, whole, broken, whole)
    assert content == CONTENT
    assert server.ranges == ["bytes=0-29999", "bytes=30000-59999", None, None]


@pytest.mark.usefixtures("small_segments")
def test_segments_that_are_wrong_once_are_brought_again(fetched: Fetched) -> None:
    def lying(asked: str | None) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = good(asked)
        return status, headers, bytes([body[0] ^ 1]) + body[1:]

    server, content = fetched(good, lying, good, connections=3)
    assert content == CONTENT
    assert len(server.ranges) == 14


@pytest.mark.usefixtures("small_segments")
def test_no_request_follows_the_last_one_of_a_window(fetched: Fetched) -> None:
    def last_one(asked: str | None) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = good(asked)
        return status, headers | {"RateLimit": '"resolvers";r=0;t=0'}, body

    server, content = fetched(last_one, good)
    assert content == CONTENT
    assert server.times[1] - server.times[0] >= 1.0  # the header's whole seconds are rounded down


def test_an_answer_without_a_length_is_taken(fetched: Fetched) -> None:
    assert fetched(unsized)[1] == CONTENT


def test_an_answer_without_a_length_that_ends_early_is_a_mismatch(fetched: Fetched) -> None:
    with pytest.raises(WeightsMismatchError, match="found 1000 bytes"):
        fetched(unsized_short)


def test_a_file_that_got_shorter_meanwhile_is_a_mismatch(fetched: Fetched) -> None:
    with pytest.raises(WeightsMismatchError, match="found 50000 bytes"):
        fetched(broken, outside)


def test_a_longer_file_is_a_mismatch_before_it_is_read(fetched: Fetched, tmp_path: Path) -> None:
    with pytest.raises(WeightsMismatchError, match=f"found {len(CONTENT) + 16 * 1024 * 1024} bytes"):
        fetched(longer)
    assert (tmp_path / FILE.path).stat().st_size == 0


def test_what_is_too_long_is_not_read_to_its_end(fetched: Fetched, tmp_path: Path) -> None:
    with pytest.raises(WeightsMismatchError, match=f"found more than {len(CONTENT)} bytes"):
        fetched(unsized_long)
    assert (tmp_path / FILE.path).stat().st_size <= len(CONTENT)


def test_a_server_that_stays_away_is_given_up(fetched: Fetched) -> None:
    with pytest.raises(WeightsUnavailableError, match=r"answered 503 .*; gave up after 9 tries"):
        fetched(away)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 1-2"},
        {"Content-Range": "nonsense"},
        {"Content-Range": f"bytes 0-{'9' * 30}/{'9' * 30}"},
        {"Content-Encoding": "gzip"},
        {"Content-Length": "nonsense"},
    ],
    ids=str,
)
def test_answers_that_make_no_sense_are_given_up(fetched: Fetched, headers: dict[str, str]) -> None:
    with pytest.raises(WeightsUnavailableError, match="gave up"):
        fetched(broken, lambda _: (206, headers, CONTENT[70_000:]))


def test_redirects_without_end_are_given_up(fetched: Fetched) -> None:
    with pytest.raises(WeightsUnavailableError, match="redirects without end"):
        fetched(lambda _: (302, {"Location": "/again"}, b""))


def test_a_redirect_to_something_else_than_http_is_refused(fetched: Fetched) -> None:
    with pytest.raises(WeightsUnavailableError, match="not understood"):
        fetched(lambda _: (302, {"Location": "file:///etc/passwd"}, b""))
