"""What leaves the cluster when all traffic goes to an external endpoint, and how."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast.domain.gateway import Clusters, External, origin_cluster
from unit.gateway.certificates import certificate
from unit.gateway.conftest import NAME, Bench
from unit.gateway.gateway import route
from unit.gateway.upstream import Upstream, chat


@pytest.fixture
async def provider() -> AsyncIterator[Upstream]:
    async with Upstream("provider") as server:
        yield server


async def fall_back(bench: Bench, external: External) -> None:
    bench.gateway.publish(clusters={NAME: Clusters(externals=(external,))})
    await bench.gateway.until_known(f"{NAME}/external-{external.name}", origin_cluster(NAME, external))
    await bench.gateway.until_serial(bench.gateway.publish(routes={NAME: route({f"external/{external.name}": 10000})}))


def desk(server: Upstream, path: str = "/openai/v1", model: str | None = None) -> External:
    return External(name="desk", url=f"http://127.0.0.1:{server.port}{path}", model=model)


async def test_an_external_answers_and_is_named(bench: Bench, provider: Upstream) -> None:
    await fall_back(bench, desk(provider))
    answer = await bench.gateway.ask(data=chat())
    assert (answer.status, answer.revision, answer.served_by) == (200, "desk", "fallback")
    assert answer.json()["revision"] == "provider"


@pytest.mark.parametrize(("path", "expected"), [("/openai/v1", "/openai/v1/"), ("/openai/v1/", "/openai/v1/"), ("", "/")])
async def test_the_path_of_the_external_takes_the_place_of_v1(bench: Bench, provider: Upstream, path: str, expected: str) -> None:
    await fall_back(bench, desk(provider, path))
    await bench.gateway.ask("/v1/chat/completions?a=b", data=chat())
    assert provider.seen[0].path_qs == f"{expected}chat/completions?a=b"


async def test_nothing_of_the_client_leaves_but_what_the_request_needs(bench: Bench, provider: Upstream) -> None:
    await fall_back(bench, desk(provider))
    private = {
        "authorization": "Bearer secret",
        "cookie": "session=secret",
        "x-api-key": "secret",
        "x-user-id": "ann",
        "x-forwarded-for": "10.1.2.3",
        "x-request-id": "1234",
        "traceparent": "00-1",
        "proxy-authorization": "secret",
        "referer": "http://intranet/secret",
        "accept": "application/json",
    }
    await bench.gateway.ask(data=chat(), headers=private)
    sent = {name.lower() for name in provider.seen[0].headers}
    assert sent <= {"host", "accept", "accept-encoding", "content-type", "content-length", "transfer-encoding", "user-agent"}
    assert provider.seen[0].headers["host"] == f"127.0.0.1:{provider.port}"


async def renamed(bench: Bench, provider: Upstream, body: bytes, content_type: str = "application/json") -> bytes:
    await fall_back(bench, desk(provider, model="provider/model-1"))
    answer = await bench.gateway.ask(data=body, headers={"content-type": content_type})
    assert answer.status == 200
    return provider.bodies[0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"support-chat","seed":9007199254740993}', b'{"model":"provider/model-1","seed":9007199254740993}'),
        (b'{ "model" : "any" , "x" : 1.0e5 }', b'{ "model" : "provider/model-1" , "x" : 1.0e5 }'),
        (
            b'{"metadata":{"model":"inner"},"list":[{"model":"inner"}],"model":"outer"}',
            b'{"metadata":{"model":"inner"},"list":[{"model":"inner"}],"model":"provider/model-1"}',
        ),
        (
            b'{"messages":[{"role":"user","content":"say \\"model\\": \\"x\\" {[}"}],"model":"outer"}',
            b'{"messages":[{"role":"user","content":"say \\"model\\": \\"x\\" {[}"}],"model":"provider/model-1"}',
        ),
        (b'{"model":"one","model":"two"}', b'{"model":"provider/model-1","model":"provider/model-1"}'),
        (b'{"mod\\u0065l":"x"}', b'{"mod\\u0065l":"provider/model-1"}'),
        (b'{"a":"model","model":"x"}', b'{"a":"model","model":"provider/model-1"}'),
        (b'{"model":null}', b'{"model":null}'),
        (b'{"prompt":"x"}', b'{"prompt":"x"}'),
        (b'not json "model": {', b'not json "model": {'),
        (b'["model", {"model": "x"}]', b'["model", {"model": "x"}]'),
        ('{"prompt":"Grüße \u2028 🙂","model":"x"}'.encode(), '{"prompt":"Grüße \u2028 🙂","model":"provider/model-1"}'.encode()),
    ],
)
async def test_only_the_model_name_of_the_request_is_replaced(
    bench: Bench, provider: Upstream, body: bytes, expected: bytes
) -> None:
    assert await renamed(bench, provider, body) == expected


async def test_a_large_request_is_renamed(bench: Bench, provider: Upstream) -> None:
    text = json.dumps({"messages": [{"role": "user", "content": 'x{"' * 3_000_000}], "model": "support-chat"}).encode()
    expected = text.replace(b'"model": "support-chat"', b'"model": "provider/model-1"')
    assert await renamed(bench, provider, text) == expected


async def test_an_upload_passes_as_it_is(bench: Bench, provider: Upstream) -> None:
    form = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nsupport-chat\r\n--b--\r\n'
    assert await renamed(bench, provider, form, "multipart/form-data; boundary=b") == form


async def test_without_a_declared_model_the_name_stays(bench: Bench, provider: Upstream) -> None:
    await fall_back(bench, desk(provider))
    await bench.gateway.ask(data=chat("support-chat"))
    assert json.loads(provider.bodies[0])["model"] == "support-chat"


async def test_a_stream_from_an_external_passes(bench: Bench, provider: Upstream) -> None:
    await fall_back(bench, desk(provider))
    provider.gate.set()
    answer = await bench.gateway.ask("/v1/chat/completions?stream=1", data=chat(stream=True))
    assert answer.body == b"data: first\n\ndata: [DONE]\n\n"


async def test_an_external_that_is_gone_is_an_error_that_clients_can_read(bench: Bench, provider: Upstream) -> None:
    await fall_back(bench, desk(provider))
    await provider.stop()
    answer = await bench.gateway.ask(data=chat())
    assert answer.status == 503
    assert answer.json()["error"]["type"] == "server_error"


@pytest.mark.parametrize(
    ("issued_for", "host", "expected"),
    [
        ("localhost", "localhost", 200),
        ("other.test", "localhost", 503),
        ("127.0.0.1", "127.0.0.1", 200),
        ("127.0.0.2", "127.0.0.1", 503),
    ],
)
async def test_an_external_with_https_must_be_who_it_says(
    bench: Bench, tmp_path: Path, issued_for: str, host: str, expected: int
) -> None:
    authority, context = certificate(tmp_path, issued_for)
    async with Upstream("provider", tls=context) as server:
        await bench.restart(ca_bundle=str(authority))
        await fall_back(bench, External(name="desk", url=f"https://{host}:{server.port}/v1"))
        assert (await bench.gateway.ask(data=chat())).status == expected
        assert bool(server.seen) == (expected == 200)


async def test_an_external_with_an_unknown_authority_gets_nothing(bench: Bench, tmp_path: Path) -> None:
    _, context = certificate(tmp_path, "localhost")
    (tmp_path / "other").mkdir()
    authority, _ = certificate(tmp_path / "other", "localhost")
    async with Upstream("provider", tls=context) as server:
        await bench.restart(ca_bundle=str(authority))
        await fall_back(bench, External(name="desk", url=f"https://localhost:{server.port}/v1"))
        assert (await bench.gateway.ask(data=chat())).status == 503
        assert server.seen == []
