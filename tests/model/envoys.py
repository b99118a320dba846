"""Gateway pods as a kubelet and Envoy run them: files that arrive late, and the routes that are really in force."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

from holdfast.api import names
from holdfast.render.gateway.layout import CLUSTERS_FILE, ROUTES_FILE
from holdfast.sources.gateway import GatewayAnswer

Volume = Literal["routes", "clusters"]
VOLUMES: Final[Mapping[Volume, str]] = {"routes": names.GATEWAY_ROUTES, "clusters": names.GATEWAY_CLUSTERS}
"""The ConfigMaps that change at run time, by the volume of the pod that shows them."""
FILES: Final[Mapping[Volume, str]] = {"routes": ROUTES_FILE, "clusters": CLUSTERS_FILE}
"""What Envoy reads of them."""


@dataclass(slots=True)
class Envoy:
    """A gateway pod. What it routes by is read from Envoy's own files, not from what the operator says about them."""

    name: str
    uid: str
    address: str
    files: dict[Volume, Mapping[str, str]] = field(default_factory=dict)
    """Data of the ConfigMaps as the kubelet last wrote them into the pod. They never go back."""
    running: bool = False
    """Whether Envoy's process runs. A container that is started again reads the files that are there."""
    leaving: bool = False
    """Being deleted: it goes on for a while, and gets no new files."""
    silent: bool = False
    """Whether it does not answer the operator, as behind a cut network. It serves on."""

    @property
    def mounted(self) -> bool:
        """Whether the kubelet has what the pod needs to start."""
        return self.files.keys() == VOLUMES.keys()

    def routes(self) -> Mapping[str, Mapping[str, int]]:
        """Return the weights by Envoy cluster, by virtual host: what the pod routes by, or will when it starts."""
        return routes_of(self.files["routes"][ROUTES_FILE]) if "routes" in self.files else {}

    def answer(self, healthy: Callable[[str], int]) -> GatewayAnswer | None:
        """Answer the operator."""
        if self.silent or not self.running:
            return None
        clusters = {name: healthy(name) for name in clusters_of(self.files["clusters"][CLUSTERS_FILE])}
        return GatewayAnswer(config=config_of(self.files["routes"][ROUTES_FILE]), clusters=clusters)


@lru_cache(maxsize=256)
def routes_of(text: str) -> Mapping[str, Mapping[str, int]]:
    """Read the weighted clusters of each ModelDeployment from an RDS file; one that answers 503 has none."""
    found: dict[str, Mapping[str, int]] = {}
    for host in _hosts(text):
        if host["name"] in ("config", "unknown"):
            continue
        weighted: list[Any] = [
            cluster for route in host["routes"] if "route" in route for cluster in route["route"]["weighted_clusters"]["clusters"]
        ]
        found[host["name"]] = {cluster["name"]: cluster["weight"] for cluster in weighted}
    return found


@lru_cache(maxsize=256)
def config_of(text: str) -> str:
    """Read what an RDS file lets Envoy answer on ``/config``."""
    host = next(host for host in _hosts(text) if host["domains"] == [names.GATEWAY_CONFIG_HOST])
    return str(host["routes"][0]["direct_response"]["body"]["inline_string"])


@lru_cache(maxsize=256)
def clusters_of(text: str) -> tuple[str, ...]:
    """Read the names of the clusters of a CDS file."""
    return tuple(resource["name"] for resource in json.loads(text)["resources"])


def revision_of(cluster: str) -> int | None:
    """Return the revision behind a route's cluster, None for an external endpoint."""
    arm = cluster.rpartition("/")[2]
    return int(arm.removeprefix("arm-")) if arm.startswith("arm-") else None


def _hosts(text: str) -> list[Any]:
    hosts: list[Any] = json.loads(text)["resources"][0]["virtual_hosts"]
    return hosts
