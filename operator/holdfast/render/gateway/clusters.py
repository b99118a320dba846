"""CDS: every target of every deployment, whether or not a route leads to it."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from holdfast.domain.gateway import Clusters, External, arm_cluster, origin_cluster, revision_cluster
from holdfast.domain.routing import external_arm, revision_arm
from holdfast.render.gateway.layout import HOP_LISTENER, METADATA, Json, Layout, extension, typed

_UNLIMITED: Final = {
    "thresholds": [{"max_connections": 10000, "max_pending_requests": 10000, "max_requests": 10000, "max_retries": 10000}]
}
"""The default of 3 concurrent retries turns a dead candidate into failed requests; long streams fill the other defaults."""


def cluster_resources(clusters: Mapping[str, Clusters], layout: Layout) -> Json:
    """Return the content of the CDS file."""
    resources: list[Json] = []
    for name, targets in sorted(clusters.items()):
        for revision in sorted(targets.revisions):
            resources.append(_revision(name, revision, layout))
            resources.append(_arm(name, revision, targets))
        for external in targets.externals:
            resources.append(_hop(name, external))
            resources.append(_origin(name, external, layout))
    return {"resources": [typed("config.cluster.v3.Cluster", **resource) for resource in resources]}


def _revision(deployment: str, revision: int, layout: Layout) -> Json:
    """Return the pods of a revision: what DNS says of its headless Service, which lists ready pods only.

    `overprovisioning_factor` keeps traffic on the revision while one pod of it is healthy: with Envoy's default, every second pod
    lost sends 30 % elsewhere.

    A pod that keeps failing is set aside, all of them if need be, so that the arm's next revision answers at once. The panic
    threshold brings them back when nothing else is left: a model that answers sometimes is better than none.
    """
    host, port = layout.engine(deployment, revision)
    name = revision_cluster(deployment, revision)
    return {
        "name": name,
        "cluster_type": extension(
            "envoy.cluster.dns",
            "extensions.clusters.dns.v3.DnsCluster",
            dns_refresh_rate="2s",
            dns_failure_refresh_rate={"base_interval": "1s", "max_interval": "5s"},
            dns_lookup_family="ALL",
            typed_dns_resolver_config=extension(
                "envoy.network.dns_resolver.cares",
                "extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                dns_resolver_options={"no_default_search_domain": True},
            ),
        ),
        "connect_timeout": "2s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": _UNLIMITED,
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "outlier_detection": {
            "consecutive_5xx": 5,
            "interval": "2s",
            "base_ejection_time": "10s",
            "max_ejection_time": "60s",
            "max_ejection_percent": 100,
        },
        "load_assignment": {
            "cluster_name": name,
            "policy": {"overprovisioning_factor": 100000},
            "endpoints": [{"lb_endpoints": [_endpoint(_socket(host, port), str(revision))]}],
        },
    }


def _arm(deployment: str, revision: int, targets: Clusters) -> Json:
    """Return the target of a route: the revision, and for the candidate the stable one after it."""
    chain = [revision, *([targets.failover[revision]] if revision in targets.failover else [])]
    return {
        "name": arm_cluster(deployment, revision_arm(revision)),
        "connect_timeout": "2s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": _UNLIMITED,
        "cluster_type": extension(
            "envoy.clusters.aggregate",
            "extensions.clusters.aggregate.v3.ClusterConfig",
            clusters=[revision_cluster(deployment, member) for member in chain],
        ),
    }


def _hop(deployment: str, external: External) -> Json:
    """Return the way to an external: through a listener inside this Envoy, which cleans the request on its way out."""
    name = arm_cluster(deployment, external_arm(external.name))
    address = {"envoy_internal_address": {"server_listener_name": HOP_LISTENER}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": _UNLIMITED,
        "transport_socket": extension(
            "envoy.transport_sockets.internal_upstream",
            "extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
            transport_socket=extension(
                "envoy.transport_sockets.raw_buffer", "extensions.transport_sockets.raw_buffer.v3.RawBuffer"
            ),
        ),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [_endpoint(address, external.name)]}],
        },
    }


def _origin(deployment: str, external: External, layout: Layout) -> Json:
    """Return the external itself. With https, its certificate must be valid and for this host."""
    url = urlsplit(external.url)
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    name = origin_cluster(deployment, external)
    cluster = {
        "name": name,
        "cluster_type": extension(
            "envoy.cluster.dns",
            "extensions.clusters.dns.v3.DnsCluster",
            all_addresses_in_single_endpoint=True,
            dns_refresh_rate="30s",
            dns_failure_refresh_rate={"base_interval": "1s", "max_interval": "10s"},
            dns_lookup_family="ALL",
        ),
        "connect_timeout": "5s",
        "circuit_breakers": _UNLIMITED,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [_endpoint(_socket(host, port), external.name)]}],
        },
    }
    if url.scheme == "https":
        cluster["transport_socket"] = _tls(host, layout)
    return cluster


def _tls(host: str, layout: Layout) -> Json:
    """Return TLS to a host, with its certificate checked against the CA bundle of the gateway's image."""
    address = host.replace(".", "").isdigit()
    return extension(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        **({} if address else {"sni": host}),
        common_tls_context={
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "validation_context": {
                "trusted_ca": {"filename": layout.ca_bundle},
                "match_typed_subject_alt_names": [{"san_type": "IP_ADDRESS" if address else "DNS", "matcher": {"exact": host}}],
            },
        },
    )


def _endpoint(address: Json, revision: str) -> Json:
    """Return an endpoint that tells the response headers and the metrics which revision it is."""
    metadata: dict[str, Any] = {"filter_metadata": {METADATA: {"revision": revision}}}
    return {"endpoint": {"address": address}, "metadata": metadata}


def _socket(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}
