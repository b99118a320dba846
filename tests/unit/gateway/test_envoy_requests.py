"""Which requests the real Envoy lets through, and what it answers to the others."""

import pytest

from holdfast.api.names import GATEWAY_CONFIG_HOST
from holdfast.domain.gateway import Routing
from unit.gateway.conftest import NAME, Bench
from unit.gateway.gateway import NAMESPACE, route
from unit.gateway.upstream import chat


async def serving(bench: Bench) -> None:
    await bench.know(1)
    await bench.route(r1=10000)


@pytest.mark.parametrize(
    "host",
    [
        NAME,
        f"{NAME}:80",
        f"{NAME}.{NAMESPACE}",
        f"{NAME}.{NAMESPACE}.svc",
        f"{NAME}.{NAMESPACE}.svc:80",
        f"{NAME}.{NAMESPACE}.svc.cluster.local",
        f"{NAME}.{NAMESPACE}.svc.cluster.local.",
        f"{NAME}.{NAMESPACE}.svc.cluster.local:8080",
        NAME.upper(),
    ],
)
async def test_every_name_of_the_service_reaches_the_model(bench: Bench, host: str) -> None:
    await serving(bench)
    assert (await bench.gateway.ask(host=host)).status == 200


@pytest.mark.parametrize("host", ["other", f"{NAME}.team-b", f"{NAME}.{NAMESPACE}.svc.other", "10.0.0.1:8080", "localhost"])
async def test_another_host_is_not_found(bench: Bench, host: str) -> None:
    await serving(bench)
    answer = await bench.gateway.ask(host=host)
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")
    assert answer.json()["error"]["code"] == "unknown_deployment"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/v1/embeddings?x=%20", "/v1/a/../models"])
async def test_inference_passes(bench: Bench, path: str) -> None:
    await serving(bench)
    assert (await bench.gateway.ask(path)).status == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/v1", "/health", "/metrics", "/sleep", "/reset_prefix_cache", "/collective_rpc", "/update_weights_from_disk"),
        *("/v1/../metrics", "/v1/%2e%2e/metrics", "//metrics", "/V1/models"),
        *("/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/load_lora_adapter/", "/v1//load_lora_adapter"),
        *("/v1/%6coad_lora_adapter", "/v1/x/../load_lora_adapter", "/v1/load_lora_adapter?a=b"),
    ],
)
async def test_everything_else_is_refused(bench: Bench, path: str) -> None:
    await serving(bench)
    answer = await bench.gateway.ask(path, data=b"{}")
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")
    assert answer.json()["error"]["code"] == "unknown_endpoint"
    assert bench.engines[1].seen == []


@pytest.mark.parametrize("path", ["/v1%2fload_lora_adapter", "/v1/%2e%2e%2fmetrics", "/v1%5cmetrics"])
async def test_escaped_slashes_are_refused(bench: Bench, path: str) -> None:
    await serving(bench)
    assert (await bench.gateway.ask(path)).status == 400
    assert bench.engines[1].seen == []


async def test_the_body_arrives_as_it_was_sent(bench: Bench) -> None:
    await serving(bench)
    body = chat(seed=9007199254740993)
    await bench.gateway.ask(data=body)
    assert bench.engines[1].bodies == [body]


async def test_a_model_that_the_engine_does_not_serve_is_its_own_answer_marked_with_the_revision(bench: Bench) -> None:
    """The gateway reads no bodies: the engine knows best which names it has (model and adapters), and says so once."""
    await serving(bench)
    bench.engines[1].status = 404
    answer = await bench.gateway.ask(data=chat(model="gpt-5"))
    assert (answer.status, answer.json()) == (404, {"error": "told to fail"})
    assert (answer.revision, answer.served_by) == ("1", "stable")
    assert len(bench.engines[1].seen) == 1


async def test_clients_cannot_speak_for_the_gateway(bench: Bench) -> None:
    await serving(bench)
    mine = {"x-holdfast-external": f"{NAME}/desk", "X-Holdfast-Revision": "9", "x-envoy-max-retries": "0"}
    await bench.gateway.ask(headers=mine)
    sent = {name.lower() for name in bench.engines[1].seen[0].headers}
    assert sent.isdisjoint({name.lower() for name in mine})


async def test_a_deployment_without_an_approved_model_says_so(bench: Bench) -> None:
    await bench.gateway.until_serial(bench.gateway.publish(routes={NAME: route({})}))
    answer = await bench.gateway.ask()
    assert (answer.status, answer.headers["content-type"]) == (503, "application/json")
    error = answer.json()["error"]
    assert error["code"] == "no_approved_model"
    assert f"{NAMESPACE}/{NAME} serves no approved model" in error["message"]
    assert (await bench.gateway.ask("/health")).status == 404


async def test_the_routing_in_force_can_be_asked(bench: Bench) -> None:
    await serving(bench)
    answer = await bench.gateway.ask("/config", host=GATEWAY_CONFIG_HOST, method="GET")
    assert bench.gateway.current is not None
    assert answer.body.decode() == bench.gateway.current.routes_data["state.json"]
    assert answer.headers["x-holdfast-config"] == str(bench.gateway.serial)
    assert Routing.parse(answer.body.decode()).routes[NAME].arms == {"1": 10000}


async def test_the_routing_of_many_deployments_can_be_asked(bench: Bench) -> None:
    """Envoy's default refuses an answer of more than 4096 bytes, and with it every route."""
    await bench.know(1)
    many = {f"deployment-{number}": route({"1": 10000}) for number in range(300)}
    await bench.gateway.until_serial(bench.gateway.publish(routes={NAME: route({"1": 10000}), **many}))
    assert len((await bench.gateway.config())["deployments"]) == 301
    assert (await bench.gateway.ask()).status == 200


async def test_the_health_of_endpoints_can_be_asked(bench: Bench) -> None:
    await serving(bench)
    clusters = await bench.gateway.clusters()
    assert clusters[f"{NAME}/1"]["host_statuses"][0]["health_status"] == {"eds_health_status": "HEALTHY"}
    assert f"{NAME}/arm-1" in clusters


async def test_the_gateway_says_that_it_lives(bench: Bench) -> None:
    assert (await bench.gateway.ask("/healthz", host="anything", method="GET")).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/config_dump"),
        ("POST", "/quitquitquit"),
        ("POST", "/clusters"),
        ("GET", "/stats"),
        ("GET", "/clusters/x"),
    ],
)
async def test_the_admin_interface_is_out_of_reach(bench: Bench, method: str, path: str) -> None:
    url = f"http://127.0.0.1:{bench.gateway.metrics_port}{path}"
    async with bench.gateway.session.request(method, url) as response:
        assert response.status == 404
    assert (await bench.gateway.ask("/healthz", method="GET")).status == 200
