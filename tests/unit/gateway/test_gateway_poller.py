"""Asking gateway pods: the real Envoy's answers, and what is not an answer."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from holdfast.domain.gateway import Routing
from holdfast.sources.gateway import GatewayAnswer, GatewayPoller, healthy_endpoints
from unit.gateway.conftest import NAME, Bench


async def test_envoy_tells_routing_and_health(bench: Bench) -> None:
    await bench.know(1, 2)
    await bench.route(r1=10000)
    gateway = bench.gateway
    poller = GatewayPoller(gateway.session, http_port=gateway.http_port, metrics_port=gateway.metrics_port)
    answer = await poller.ask("127.0.0.1")
    assert answer is not None
    assert Routing.parse(answer.config).routes[NAME].arms == {"1": 10000}
    assert answer.clusters == {f"{NAME}/1": 1, f"{NAME}/2": 1, f"{NAME}/arm-1": 0, f"{NAME}/arm-2": 0, "holdfast-admin": 1}


async def test_an_endpoint_that_was_set_aside_is_not_healthy(bench: Bench) -> None:
    await bench.know(1)
    await bench.route(r1=10000)
    bench.engines[1].status = 500
    for _ in range(10):
        await bench.gateway.ask()
    gateway = bench.gateway
    poller = GatewayPoller(gateway.session, http_port=gateway.http_port, metrics_port=gateway.metrics_port)
    answer = await poller.ask("127.0.0.1")
    assert answer is not None
    assert answer.clusters[f"{NAME}/1"] == 0


@pytest.mark.parametrize(
    "health",
    [
        {"failed_outlier_check": True},
        {"failed_active_health_check": True},
        {"pending_dynamic_removal": True},
        {"eds_health_status": "UNHEALTHY"},
        {"eds_health_status": "DRAINING"},
    ],
)
def test_endpoints_that_get_no_requests_do_not_count(health: dict[str, object]) -> None:
    hosts = [{"health_status": health}, {"health_status": {"eds_health_status": "HEALTHY"}}]
    assert healthy_endpoints({"cluster_statuses": [{"name": "a", "host_statuses": hosts}]}) == {"a": 1}


class Server:
    """A pod whose answers a test decides."""

    def __init__(self) -> None:
        self.config: str | None = "{}"
        self.clusters: str | None = "{}"
        self.hosts: list[str | None] = []
        self.stuck = asyncio.Event()
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.hosts.append(request.headers.get("host"))
        text = self.config if request.path == "/config" else self.clusters
        if text is None:
            await self.stuck.wait()
        return web.Response(text=text) if text != "500" else web.Response(status=500)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    application = web.Application()
    application.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = int(site._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]
    yield made
    made.stuck.set()
    await runner.cleanup()


async def ask(server: Server, **options: float) -> GatewayAnswer | None:
    async with aiohttp.ClientSession() as session:
        poller = GatewayPoller(session, http_port=server.port, metrics_port=server.port, timeout=options.get("timeout", 5.0))
        return await poller.ask("127.0.0.1")


async def test_the_routing_is_asked_of_the_gateways_own_host(server: Server) -> None:
    assert await ask(server) == GatewayAnswer(config="{}", clusters={})
    assert server.hosts[-1] == "holdfast-gateway.internal"


@pytest.mark.parametrize(
    ("config", "clusters"), [("500", "{}"), ("{}", "500"), ("{}", "not json"), ("{}", '{"cluster_statuses":[1]}'), ("{}", "[]")]
)
async def test_an_answer_that_is_none_is_no_answer(server: Server, config: str, clusters: str) -> None:
    server.config, server.clusters = config, clusters
    assert await ask(server) is None


async def test_a_pod_that_hangs_is_given_up(server: Server) -> None:
    server.config = None
    assert await ask(server, timeout=0.05) is None


async def test_a_pod_that_is_not_there_does_not_answer() -> None:
    async with aiohttp.ClientSession() as session:
        assert await GatewayPoller(session, http_port=1, metrics_port=1).ask("127.0.0.1") is None


async def test_an_endless_answer_is_given_up(server: Server) -> None:
    server.clusters = " " * (17 * 1024 * 1024)
    assert await ask(server) is None
