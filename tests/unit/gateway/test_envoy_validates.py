"""What Envoy itself says of a configuration with everything in it, and of the limits of a namespace."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from holdfast.domain.gateway import Clusters, External, Route
from holdfast.render.gateway.bootstrap import bootstrap
from holdfast.render.gateway.clusters import cluster_resources
from holdfast.render.gateway.layout import Layout
from holdfast.render.gateway.routes import Marked, external_route_resources, route_resources
from testbed import envoy
from unit.gateway.certificates import certificate
from unit.gateway.gateway import route

CLUSTERS = {
    "chat": Clusters(
        revisions=frozenset({1, 2, 3}),
        failover={3: 2},
        externals=(
            External(name="desk", url="http://desk.team-b.svc:8000/answers"),
            External(name="provider", url="https://api.provider.test/openai/v1", model="big/model"),
            External(name="by-address", url="https://10.0.0.7:8443"),
        ),
    ),
    "fallen": Clusters(externals=(External(name="desk", url="http://desk"),)),
    "new": Clusters(),
}
ROUTES = {"chat": route({"2": 9500, "3": 500}), "fallen": route({"external/desk": 10000}), "new": route({})}


def static_form(routes: Mapping[str, Route], clusters: Mapping[str, Clusters], layout: Layout) -> dict[str, Any]:
    """Return one file with everything: Envoy's validation does not read the files that a bootstrap refers to."""
    whole = bootstrap(layout)
    del whole["dynamic_resources"]
    marked = {name: Marked(route=each, served_by={"2": "stable"}) for name, each in routes.items()}
    configurations = [route_resources(7, marked, layout), external_route_resources(clusters)]
    by_name = {found["name"]: found for each in configurations for found in each["resources"]}
    for listener in whole["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        if "rds" in manager:
            chosen = dict(by_name[manager.pop("rds")["route_config_name"]])
            del chosen["@type"]
            manager["route_config"] = chosen
    for cluster in cluster_resources(clusters, layout)["resources"]:
        whole["static_resources"]["clusters"].append({key: value for key, value in cluster.items() if key != "@type"})
    return whole


async def validate(folder: Path, whole: Mapping[str, Any]) -> tuple[int, str]:
    file = folder / "whole.json"
    file.write_text(json.dumps(whole))
    process = await asyncio.create_subprocess_exec(
        *(str(envoy.binary()), "--mode", "validate", "-c", str(file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


def pods(tmp_path: Path) -> Layout:
    authority, _ = certificate(tmp_path, "any.test")
    return Layout(namespace="team-a", ca_bundle=str(authority))


async def test_envoy_accepts_a_configuration_with_everything(tmp_path: Path) -> None:
    code, said = await validate(tmp_path, static_form(ROUTES, CLUSTERS, pods(tmp_path)))
    assert code == 0, said


async def test_envoy_warns_of_the_stats_logger_only(tmp_path: Path) -> None:
    """A deprecated field is one that a later Envoy refuses. The logger's `stat_prefix` is one: before 1.40 there is no other."""
    code, said = await validate(tmp_path, static_form(ROUTES, CLUSTERS, pods(tmp_path)))
    assert code == 0
    warnings = [line for line in said.splitlines() if "[warning]" in line or "deprecated" in line.lower()]
    assert [line for line in warnings if "envoy.extensions.access_loggers.stats.v3.Config" not in line] == []


async def test_the_validation_can_fail(tmp_path: Path) -> None:
    whole = static_form(ROUTES, CLUSTERS, pods(tmp_path))
    whole["static_resources"]["clusters"][1]["lb_policy"] = "NONSENSE"
    code, said = await validate(tmp_path, whole)
    assert code == 1
    assert "NONSENSE" in said


async def test_a_full_namespace_is_accepted(tmp_path: Path) -> None:
    names = [f"deployment-{number:03}" for number in range(100)]
    whole = static_form(
        {name: route({"2": 9500, "3": 500}) for name in names},
        {name: Clusters(revisions=frozenset({1, 2, 3}), failover={3: 2}) for name in names},
        pods(tmp_path),
    )
    code, said = await validate(tmp_path, whole)
    assert code == 0, said


pytestmark = pytest.mark.timeout(120)
