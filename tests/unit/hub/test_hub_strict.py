"""What the Hub's clients do not send is refused, remembered, and fails the test that caused it."""

import http.client
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import aiohttp
import pytest
from huggingface_hub import HfApi

from testbed.hub import HubAdmin, HubAdminError, HubServer, UnexpectedRequestsError

REPO = "lab/model"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub whose complaints the tests here have looked at."""
    with HubServer() as running:
        yield running
        running.admin.forget_unexpected()


def ask(url: str, method: str, target: str, headers: dict[str, str] | None = None, body: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, target, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("method", "target", "reason"),
    [
        ("GET", "/", "no such route"),
        ("GET", "/api/models", "no such route"),
        ("GET", "/api/datasets/lab/model", "no such route"),
        ("DELETE", f"/api/models/{REPO}", "no such route"),
        ("GET", f"/api/models/{REPO}/xet-read-token/main", "no such route"),
        ("GET", f"/cdn/{REPO}/00/model.bin", "no such route"),
        ("GET", f"/{REPO}/resolve/main", "no such route"),
        ("GET", f"/api/models/{REPO}?full=true", "unknown query parameters: ['full']"),
        ("GET", f"/api/models/{REPO}?blobs=1", "expected one of ['true', 'false']"),
        ("GET", f"/api/models/{REPO}?blobs=true&blobs=true", "is given 2 times"),
        ("GET", f"/api/models/{REPO}?expand=gguf", "is not modelled"),
        ("GET", f"/api/models/{REPO}?expand=sha&blobs=true", "not together with blobs"),
        ("GET", f"/api/models/{REPO}/tree/main?limit=5", "unknown query parameters: ['limit']"),
        ("GET", f"/api/models/{REPO}/tree/main?cursor=abc", "was not given out by this hub"),
        ("GET", f"/api/models/{REPO}/commits/main?p=-1", "the page number"),
        ("GET", f"/api/models/{REPO}/tree/%zz", "broken percent escape"),
        ("GET", f"/api/models/{REPO}/tree/%ff", "is not UTF-8"),
        ("GET", f"/api/resolve-cache/models/{REPO}/main/config.json?etag=%22x%22", "did not give out"),
    ],
)
def test_an_unknown_request_is_answered_501_and_remembered(
    hub: HubServer, head: str, method: str, target: str, reason: str
) -> None:
    status, body = ask(hub.url, method, target)
    assert status == 501
    assert reason in json.loads(body)["error"]
    assert [(u.method, u.path) for u in hub.unexpected] == [(method, target)]
    assert reason in hub.unexpected[0].reason


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Authorization": "Basic YTpi"}, "is not 'Bearer <token>'"),
        ({"Authorization": "Bearer "}, "is not 'Bearer <token>'"),
        ({"Accept-Encoding": "gzip;;"}, "Accept-Encoding is malformed"),
        ({"Range": "bytes=a-b"}, "malformed or asks for several ranges"),
        ({"Range": "bytes=0-1,5-6"}, "malformed or asks for several ranges"),
        ({"Range": "bytes=5-1"}, "ends before it begins"),
        ({"If-None-Match": '"x"'}, "If-None-Match is not supported here"),
        ({"If-Modified-Since": "Mon, 05 Jan 2026 12:00:00 GMT"}, "If-Modified-Since is not supported"),
    ],
)
def test_a_malformed_header_is_answered_501_and_remembered(
    hub: HubServer, admin: HubAdmin, head: str, headers: dict[str, str], reason: str
) -> None:
    target = f"/{REPO}/resolve/main/config.json"
    status, _ = ask(hub.url, "GET", target, headers)
    if "Range" in headers:  # judged where the bytes are
        assert status == 307
        etag = f"%22{HfApi(endpoint=hub.url, token=False).get_paths_info(REPO, 'config.json')[0].blob_id}%22"  # type: ignore[union-attr]
        target = f"/api/resolve-cache/models/{REPO}/{head}/config.json?etag={etag}"
        status, _ = ask(hub.url, "GET", target, headers)
    assert status == 501
    assert reason in hub.unexpected[0].reason


def test_an_etag_that_no_hub_gives_out_is_answered_501_and_remembered(hub: HubServer, head: str) -> None:
    status, _ = ask(hub.url, "GET", f"/api/models/{REPO}/refs", {"If-None-Match": '"x"'})
    assert status == 501
    assert "not an ETag that this hub gives out" in hub.unexpected[0].reason


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        ("paths=a&other=b", "application/x-www-form-urlencoded", "paths-info takes"),
        ("paths=a&expand=maybe", "application/x-www-form-urlencoded", "paths-info takes"),
        ("paths", "text/plain", "a POST body of type 'text/plain'"),
        ("[1]", "application/json", "not a JSON object"),
        ("{", "application/json", "not JSON"),
        ('{"paths": [1]}', "application/json", "a value of type int"),
    ],
)
def test_a_malformed_body_is_answered_501_and_remembered(hub: HubServer, head: str, body: str, kind: str, reason: str) -> None:
    status, _ = ask(hub.url, "POST", f"/api/models/{REPO}/paths-info/main", {"Content-Type": kind}, body)
    assert status == 501
    assert reason in hub.unexpected[0].reason


def test_paths_info_takes_json_too(hub: HubServer, head: str) -> None:
    body = json.dumps({"paths": ["config.json"], "expand": False})
    status, text = ask(hub.url, "POST", f"/api/models/{REPO}/paths-info/main", {"Content-Type": "application/json"}, body)
    assert (status, [i["path"] for i in json.loads(text)]) == (200, ["config.json"])
    assert hub.unexpected == []


def test_a_token_sent_to_the_cdn_is_remembered(hub: HubServer, head: str) -> None:
    status, _ = ask(hub.cdn_url, "GET", f"/cdn/{REPO}/00/a.bin", {"Authorization": "Bearer hf_x"})
    assert (status, hub.unexpected[0].reason) == (501, "a Hub token was sent to the CDN")


def test_the_cdn_answers_nothing_of_the_hub(hub: HubServer, head: str) -> None:
    assert ask(hub.cdn_url, "GET", f"/api/models/{REPO}")[0] == 501
    assert ask(hub.cdn_url, "POST", "/admin/health")[0] == 501


def test_what_is_not_http_is_remembered(hub: HubServer) -> None:
    address = urlsplit(hub.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nBad Header\x00: y\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.0 400")
    assert len(hub.unexpected) == 1


def test_leaving_the_hub_raises_when_something_unexpected_came_in() -> None:
    with pytest.raises(UnexpectedRequestsError, match="GET /strange: no such route"), HubServer() as hub:
        ask(hub.url, "GET", "/strange")


def test_a_failure_of_the_test_itself_is_kept_and_annotated() -> None:
    def failing_test() -> None:
        with HubServer() as hub:
            ask(hub.url, "GET", "/strange")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as failed:
        failing_test()
    assert "GET /strange: no such route" in failed.value.__notes__[0]


def test_a_hub_that_got_nothing_strange_is_left_quietly(head: str, api: HfApi, hub: HubServer) -> None:
    api.model_info(REPO)
    assert hub.unexpected == []


def test_the_admin_api_wants_its_token(hub: HubServer) -> None:
    for wrong in ("", "guess"):
        with pytest.raises(HubAdminError, match="admin token"):
            HubAdmin(hub.url, wrong).health()
    hub.admin.health()


def test_the_admin_api_says_what_it_did_not_understand(hub: HubServer) -> None:
    headers = {"Authorization": f"Bearer {hub.admin_token}"}
    assert (
        "there is no operation 'explode'; there are ['add-account'," in ask(hub.url, "POST", "/admin/explode", headers, "{}")[1]
    )
    status, text = ask(hub.url, "POST", "/admin/rename", headers, '{"repo": "a/b", "two": "c/d"}')
    assert status == 422
    assert "Extra inputs are not permitted" in text
    with pytest.raises(HubAdminError, match="there is no repository 'lab/nothing'"):
        hub.admin.rename("lab/nothing", "lab/x")


async def test_a_hub_serves_tests_that_run_on_an_event_loop() -> None:
    """It has a thread of its own, so that blocking calls of the test do not starve it."""
    with HubServer() as hub:
        hub.admin.create_repo(REPO)
        async with aiohttp.ClientSession() as session, session.get(f"{hub.url}/api/models/{REPO}") as answer:
            assert (await answer.json())["id"] == REPO


def test_hub_and_cdn_listen_on_the_given_address_alone() -> None:
    with HubServer(address="127.0.0.5") as hub:
        assert hub.url.startswith("http://127.0.0.5:")
        assert hub.cdn_url.startswith("http://127.0.0.5:")
        hub.admin.health()
        port = urlsplit(hub.url).port
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=10)


def test_all_interfaces_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="name one"):
        HubServer(address="0.0.0.0")  # noqa: S104


def test_a_port_that_is_taken_is_an_error_of_the_start(hub: HubServer) -> None:
    taken = urlsplit(hub.url).port
    assert taken is not None
    with pytest.raises(OSError, match="in use"):
        HubServer(port=taken).start()
