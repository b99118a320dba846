"""A server that is no Hub, or lies as no stand-in for the Hub would: each lie is found."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from holdfast.api.model import HuggingFaceSource
from holdfast.api.reasons import Reason
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_errors import HubError
from unit.hub_source.conftest import asking

COMMIT = "a" * 40
Answer = tuple[int, dict[str, str], bytes]
Serve = Callable[[dict[str, Answer]], "Liar"]


class Liar:
    """Answers each path as it was told, and remembers who sent a token."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.authorized: list[str] = []
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

            def do_GET(self) -> None:
                if self.headers.get("Authorization"):
                    liar.authorized.append(self.path)
                key = next((known for known in answers if known in self.path), None)
                status, headers, body = answers[key] if key else (404, {}, b"{}")
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[Liar] = []

    def start(answers: dict[str, Answer]) -> Liar:
        running.append(Liar(answers))
        return running[-1]

    yield start
    for liar in running:
        liar.stop()


def info(**changes: object) -> Answer:
    return 200, {}, json.dumps({"id": "lab/model", "sha": COMMIT, "siblings": []} | changes).encode()


def tree(*entries: dict[str, object], **headers: str) -> Answer:
    return 200, headers, json.dumps(entries).encode()


PLAIN: dict[str, object] = {
    "type": "file",
    "path": "config.json",
    "size": 2,
    "oid": "9e26dfeeb6e641a33dae4961196235bdb965b21b",
}


async def refused(url: str, token: str | None = None) -> HubError:
    resolver = HubResolver(url, token=lambda: token, request_seconds=2.0)
    with pytest.raises(HubError) as raised:
        await resolver.resolve(asking(HuggingFaceSource(repository="lab/model", commit=COMMIT, include=["*"])))
    await resolver.close()
    return raised.value


async def test_the_fixture_can_tell_the_truth(serve: Serve) -> None:
    liar = serve({"/revision/": info(), "/tree/": tree(PLAIN), "/resolve/": (200, {"X-Repo-Commit": COMMIT}, b"{}")})
    resolver = HubResolver(liar.url)
    found = await resolver.resolve(asking(HuggingFaceSource(repository="lab/model", commit=COMMIT)))
    assert [file.path for file in found.source.files or ()] == ["config.json"]
    await resolver.close()


async def test_another_commit_than_asked_for(serve: Serve) -> None:
    liar = serve({"/revision/": info(sha="b" * 40)})
    error = await refused(liar.url)
    assert error.reason is Reason.SOURCE_MISMATCH
    assert "b" * 40 in str(error)


async def test_a_file_of_another_commit(serve: Serve) -> None:
    liar = serve({"/revision/": info(), "/tree/": tree(PLAIN), "/resolve/": (200, {"X-Repo-Commit": "b" * 40}, b"{}")})
    error = await refused(liar.url)
    assert error.reason is Reason.SOURCE_MISMATCH
    assert "config.json" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"Content-Type": "text/html"}, b"<html>Please log in to the guest network</html>"),
        (200, {}, b"[]"),
        (200, {}, b'"text"'),
        (200, {}, b"{}"),
        info(sha=None),
        info(sha="main"),
    ],
    ids=["html", "list", "text", "empty", "no-commit", "no-hash"],
)
async def test_no_hub(serve: Serve, answer: Answer) -> None:
    assert (await refused(serve({"/revision/": answer}).url)).reason is Reason.SOURCE_UNAVAILABLE


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "file"},
        {**PLAIN, "lfs": {"size": 2}},
        {**PLAIN, "size": "two"},
        {**PLAIN, "path": 5},
    ],
    ids=["nothing", "no-hash", "text-size", "number-path"],
)
async def test_a_list_of_nonsense(serve: Serve, entry: dict[str, object]) -> None:
    liar = serve({"/revision/": info(), "/tree/": tree(entry), "/resolve/": (200, {}, b"{}")})
    assert (await refused(liar.url)).reason is Reason.SOURCE_UNAVAILABLE


@pytest.mark.parametrize("path", ["../escape", "/etc/passwd", "a\\b", "a\x00b", ""])
async def test_paths_that_leave_the_directory(serve: Serve, path: str) -> None:
    liar = serve({"/revision/": info(), "/tree/": tree({**PLAIN, "path": path})})
    assert (await refused(liar.url)).reason is Reason.INVALID_SPEC
    assert not any("/resolve/" in asked for asked in liar.authorized)


async def test_the_token_does_not_follow_the_next_page_elsewhere(serve: Serve) -> None:
    other = serve({"/more": tree()})
    liar = serve({"/revision/": info(), "/tree/": tree(PLAIN, Link=f'<{other.url}/more>; rel="next"')})
    error = await refused(liar.url, token="hf_secret")
    assert error.reason is Reason.SOURCE_MISMATCH
    assert other.authorized == []


async def test_the_token_does_not_follow_a_redirect_elsewhere(serve: Serve) -> None:
    other = serve({"/": (200, {}, b"{}")})
    liar = serve({"/revision/": info(), "/tree/": tree(PLAIN), "/resolve/": (302, {"Location": f"{other.url}/x"}, b"")})
    resolver = HubResolver(liar.url, token=lambda: "hf_secret")
    await resolver.resolve(asking(HuggingFaceSource(repository="lab/model", commit=COMMIT)))
    await resolver.close()
    assert liar.authorized
    assert other.authorized == []


async def test_an_answer_without_end(serve: Serve) -> None:
    liar = serve({"/revision/": (200, {}, b" " * (33 * 1024 * 1024))})
    assert "more than" in str(await refused(liar.url))


async def test_a_large_file_without_a_hash(serve: Serve) -> None:
    liar = serve({"/revision/": info(), "/tree/": tree({**PLAIN, "lfs": {"oid": "short", "size": 2, "pointerSize": 1}})})
    assert "no sha256 for 'config.json'" in str(await refused(liar.url))


async def test_plain_files_that_are_too_much_together(serve: Serve) -> None:
    files = [{**PLAIN, "path": f"{number}.json", "size": 15 * 1024 * 1024} for number in range(5)]
    error = await refused(serve({"/revision/": info(), "/tree/": tree(*files)}).url)
    assert error.reason is Reason.INVALID_SPEC
    assert "together" in str(error)


async def test_more_files_than_anybody_needs(serve: Serve) -> None:
    files = [{"type": "file", "path": str(number), "size": 0, "oid": ""} for number in range(100_001)]
    error = await refused(serve({"/revision/": info(), "/tree/": tree(*files)}).url)
    assert error.reason is Reason.INVALID_SPEC
    assert "more than 100000" in str(error)


async def test_a_listed_file_that_is_not_there(serve: Serve) -> None:
    gone = (404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}, b"{}")
    error = await refused(serve({"/revision/": info(), "/tree/": tree(PLAIN), "/resolve/": gone}).url)
    assert error.reason is Reason.SOURCE_NOT_FOUND
    assert "no such file" in str(error)
