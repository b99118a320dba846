"""What the gateway's configuration takes from its surroundings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from holdfast.api import names

Json = dict[str, Any]
"""A piece of Envoy configuration (the JSON form of its protobuf API, v3) or of a Kubernetes manifest."""

BOOTSTRAP_FILE: Final = "bootstrap.json"
CLUSTERS_FILE: Final = "cds.json"
ROUTES_FILE: Final = "rds.json"
EXTERNAL_ROUTES_FILE: Final = "rds-external.json"
STATE_FILE: Final = "state.json"
"""In the ConfigMaps of routes and of clusters: what the other files were rendered from."""

METADATA: Final = "holdfast"
"""Namespace of our metadata in Envoy: an endpoint's ``revision``, a route's marks by revision."""
HEADER_EXTERNAL: Final = "x-holdfast-external"
"""Names the external to the hop; it never leaves the gateway, and clients cannot set it."""
HEADER_CONFIG: Final = "x-holdfast-config"
"""Response header of ``/config``: the serial."""
ADMIN_CLUSTER: Final = "holdfast-admin"
HOP_LISTENER: Final = "external"
BODY_LIMIT: Final = 32 * 1024 * 1024
"""Largest request that is kept for a second attempt, in bytes. Envoy's default of 1 MiB loses failover silently above it."""
IDLE_TIMEOUT: Final = "900s"
"""How long a stream may be silent. Generations have no other limit."""

DRAIN_SECONDS: Final = 45
"""How long a leaving pod goes on for the streams that run through it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where things are. The defaults are those of the pods; tests run Envoy on loopback with others."""

    namespace: str
    cluster_domain: str = "cluster.local"
    config_directory: str = "/etc/holdfast"
    run_directory: str = "/run/holdfast"
    listen_address: str = "0.0.0.0"  # noqa: S104 - a pod serves on its own address
    http_port: int = names.GATEWAY_HTTP_PORT
    metrics_port: int = names.GATEWAY_METRICS_PORT
    ca_bundle: str = "/etc/ssl/certs/ca-certificates.crt"
    engine_address: Callable[[str, int], tuple[str, int]] | None = None
    """Host and port of the pods of a deployment's revision; None means its headless Service."""

    @property
    def admin_socket(self) -> str:
        """Path of Envoy's admin interface: a socket, so that nothing but the metrics listener reaches it."""
        return f"{self.run_directory}/admin.sock"

    def engine(self, deployment: str, revision: int) -> tuple[str, int]:
        """Return host and port of the pods of a revision."""
        if self.engine_address is not None:
            return self.engine_address(deployment, revision)
        service = names.revision_name(deployment, revision)
        return f"{service}.{self.namespace}.svc.{self.cluster_domain}", names.ENGINE_PORT

    def file_source(self, folder: str, file: str) -> Json:
        """Return the Envoy ConfigSource of a file in a mounted ConfigMap.

        A ConfigMap volume changes by a swap of the symlink ``..data``, which only a watch on its directory sees.
        """
        path = f"{self.config_directory}/{folder}"
        return {
            "resource_api_version": "V3",
            "path_config_source": {"path": f"{path}/{file}", "watched_directory": {"path": path}},
        }


def typed(message: str, **fields: Any) -> Json:
    """Return an Any of Envoy's API, such as ``typed("extensions.filters.http.lua.v3.Lua", …)``."""
    return {"@type": f"type.googleapis.com/envoy.{message}", **fields}


def extension(name: str, message: str, **fields: Any) -> Json:
    """Return a named extension with its typed configuration."""
    return {"name": name, "typed_config": typed(message, **fields)}


def error_body(message: str, *, kind: str, code: str) -> Json:
    """Return an error in the form of the OpenAI API, which clients of it can show."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
