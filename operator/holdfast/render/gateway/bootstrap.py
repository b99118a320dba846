"""Envoy's bootstrap: everything that changes with the pod template only."""

from typing import Final

from holdfast.api import names
from holdfast.render.gateway.layout import ADMIN_CLUSTER, CLUSTERS_FILE, Json, Layout, extension
from holdfast.render.gateway.listeners import STATS_PREFIX, listeners

HEAP_BYTES: Final = 1024**3
"""Envoy sheds load before it uses more; the memory limit of the pod leaves room above it."""
_CLUSTER_STATS: Final = (
    r"cluster\..*\.(upstream_rq_(total|active|active_overflow|timeout|retry|retry_overflow|retry_limit_exceeded|pending_overflow"
    r"|[245]xx)|upstream_cx_(active|connect_fail)|membership_(healthy|total)|outlier_detection\.ejections_(active|enforced_total)"
    r"|retry_or_shadow_abandoned)"
)
"""All statistics of all clusters would be megabytes in every scrape."""
_BUCKETS: Final = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000, 900_000)
_PREFIXES: Final = (STATS_PREFIX, "http.", "listener_manager.", "cluster_manager.", "server.", "runtime.")


def bootstrap(layout: Layout) -> Json:
    """Return the content of the bootstrap file."""
    return {
        "node": {"id": names.GATEWAY_NAME, "cluster": names.GATEWAY_NAME},
        "admin": {"address": _admin(layout, mode=0o600)},
        "dynamic_resources": {"cds_config": layout.file_source("clusters", CLUSTERS_FILE)},
        "static_resources": {
            "listeners": listeners(layout),
            "clusters": [
                {
                    "name": ADMIN_CLUSTER,
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "load_assignment": {
                        "cluster_name": ADMIN_CLUSTER,
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _admin(layout)}}]}],
                    },
                }
            ],
        },
        "bootstrap_extensions": [
            extension("envoy.bootstrap.internal_listener", "extensions.bootstrap.internal_listener.v3.InternalListener")
        ],
        "stats_config": {
            "histogram_bucket_settings": [{"match": {"prefix": STATS_PREFIX}, "buckets": list(_BUCKETS)}],
            "stats_matcher": {
                "inclusion_list": {
                    "patterns": [
                        *({"prefix": prefix} for prefix in _PREFIXES),
                        {"safe_regex": {"regex": _CLUSTER_STATS}},
                    ]
                }
            },
        },
        "overload_manager": _overload(),
    }


def _admin(layout: Layout, mode: int | None = None) -> Json:
    return {"pipe": {"path": layout.admin_socket, **({} if mode is None else {"mode": mode})}}


def _overload() -> Json:
    """Return the limits that keep one Envoy alive under too much load."""
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            extension(
                "envoy.resource_monitors.global_downstream_max_connections",
                "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=20000,
            ),
            extension(
                "envoy.resource_monitors.fixed_heap",
                "extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                max_heap_size_bytes=HEAP_BYTES,
            ),
        ],
        "actions": [
            _action("envoy.overload_actions.shrink_heap", 0.9),
            _action("envoy.overload_actions.stop_accepting_requests", 0.97),
        ],
    }


def _action(name: str, threshold: float) -> Json:
    return {"name": name, "triggers": [{"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": threshold}}]}
