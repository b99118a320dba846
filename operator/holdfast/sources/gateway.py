"""Asks gateway pods, one by one, which routing they have in force and which endpoints they can reach."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from holdfast.api.names import GATEWAY_CONFIG_HOST, GATEWAY_HTTP_PORT, GATEWAY_METRICS_PORT

_TIMEOUT_SECONDS: Final = 1.0
_LONGEST_ANSWER: Final = 16 * 1024 * 1024
"""Bytes. A thousand clusters are about 1.5 MB."""
_UNHEALTHY: Final = (
    "failed_active_health_check",
    "failed_outlier_check",
    "failed_active_degraded_check",
    "pending_dynamic_removal",
    "pending_active_hc",
    "excluded_via_immediate_hc_fail",
)
"""Flags of envoy.admin.v3.HostHealthStatus (v1.37) with which an endpoint gets no requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAnswer:
    """What a gateway pod said."""

    config: str
    """JSON: the ``state.json`` that it answers by."""
    clusters: Mapping[str, int]
    """Healthy endpoints by Envoy cluster."""


class GatewayPoller:
    """Asks gateway pods by their address.

    Args:
        session: an HTTP session without a proxy; its owner closes it.
        timeout: seconds that a pod may take for its answers.
        http_port: where the gateway serves.
        metrics_port: where it tells about itself.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        timeout: float = _TIMEOUT_SECONDS,
        http_port: int = GATEWAY_HTTP_PORT,
        metrics_port: int = GATEWAY_METRICS_PORT,
    ) -> None:
        self._session = session
        self._timeout = timeout
        self._http_port = http_port
        self._metrics_port = metrics_port

    async def ask(self, address: str) -> GatewayAnswer | None:
        """Return what the pod at an IP address says, or None if it does not answer, or not as a gateway does."""
        host = f"[{address}]" if ":" in address else address
        try:
            async with asyncio.timeout(self._timeout):
                clusters = await self._get(f"http://{host}:{self._metrics_port}/clusters", {})
                config = await self._get(f"http://{host}:{self._http_port}/config", {"Host": GATEWAY_CONFIG_HOST})
            return GatewayAnswer(config=config.decode(), clusters=healthy_endpoints(json.loads(clusters)))
        except (aiohttp.ClientError, OSError, ValueError):  # TimeoutError is an OSError
            return None

    async def _get(self, url: str, headers: Mapping[str, str]) -> bytes:
        async with self._session.get(url, headers=headers, allow_redirects=False) as response:
            if response.status != HTTPStatus.OK:
                raise ValueError(f"{url} answers {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_chunked(64 * 1024):
                body += chunk
                if len(body) > _LONGEST_ANSWER:
                    raise ValueError(f"{url} answers more than {_LONGEST_ANSWER} bytes")
            return bytes(body)


def healthy_endpoints(clusters: Any) -> dict[str, int]:
    """Return the number of endpoints that may get requests by cluster, from Envoy's admin answer ``/clusters?format=json``.

    The form is envoy.admin.v3.Clusters (v1.37).

    Raises:
        ValueError: it is not of that form.
    """
    try:
        return {
            str(cluster["name"]): sum(_healthy(host.get("health_status") or {}) for host in cluster.get("host_statuses") or ())
            for cluster in clusters.get("cluster_statuses") or ()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a list of clusters: {error!r}") from error


def _healthy(health: Mapping[str, Any]) -> bool:
    status = health.get("eds_health_status", "HEALTHY")
    return status in ("HEALTHY", "UNKNOWN", "DEGRADED") and not any(health.get(flag) for flag in _UNHEALTHY)
