"""RDS: which users of which deployment go where. The only file that a canary step, a promotion or a kill switch changes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from holdfast.api import names
from holdfast.domain.gateway import Clusters, External, Route, Routing, arm_cluster, origin_cluster
from holdfast.domain.routing import arm_external
from holdfast.render.gateway.layout import (
    BODY_LIMIT,
    HEADER_CONFIG,
    HEADER_EXTERNAL,
    IDLE_TIMEOUT,
    METADATA,
    Json,
    Layout,
    error_body,
    typed,
)

ROUTE_CONFIGURATION: Final = "holdfast"
EXTERNAL_ROUTE_CONFIGURATION: Final = "holdfast-external"
_JSON: Final = [{"header": {"key": "content-type", "value": "application/json"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]
_MARKS: Final = (names.HEADER_REVISION, names.HEADER_SERVED_BY)
_REVISION: Final = f"%UPSTREAM_METADATA({METADATA}:revision)%"
_SERVED_BY: Final = (
    f"%CEL(xds.route_metadata.filter_metadata['{METADATA}']"
    f"[xds.upstream_host_metadata.filter_metadata['{METADATA}']['revision']])%"
)
"""Looks the answering revision up in the route's marks, so that a swap of roles changes no cluster."""
_REFUSED_PATHS: Final = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")
"""Under /v1/, and yet they change the model (vLLM, with runtime adapter updates allowed)."""
_RETRY: Final[Json] = {
    "retry_on": "connect-failure,refused-stream,reset,gateway-error,retriable-status-codes",
    "retriable_status_codes": [500],
    "num_retries": 3,
    "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.05s"},
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": typed("extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
        }
    ],
    "host_selection_retry_max_attempts": 5,
    "retry_priority": {
        "name": "envoy.retry_priorities.previous_priorities",
        "typed_config": typed("extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", update_frequency=2),
    },
}
"""Two attempts on the revision, on different pods if there are two, then the arm's next revision."""
_EXTERNAL_RETRY: Final[Json] = {"retry_on": "connect-failure,refused-stream,gateway-error", "num_retries": 1}
"""An attempt at an external may cost money."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A route with what its answers are marked with."""

    route: Route
    served_by: Mapping[str, str]
    """By arm; an arm that is not in it is marked ``fallback``."""


def route_resources(serial: int, routes: Mapping[str, Marked], layout: Layout) -> Json:
    """Return the content of the RDS file of the ingress."""
    state = Routing(serial=serial, routes={name: marked.route for name, marked in routes.items()}).text()
    hosts = [_deployment(name, marked, layout) for name, marked in sorted(routes.items())]
    configuration = typed(
        "config.route.v3.RouteConfiguration",
        name=ROUTE_CONFIGURATION,
        max_direct_response_body_size_bytes=1024 * 1024,
        virtual_hosts=[*hosts, _config(serial, state), _unknown_host()],
    )
    return {"resources": [configuration]}


def external_route_resources(clusters: Mapping[str, Clusters]) -> Json:
    """Return the content of the RDS file of the hop to externals."""
    routes = [_external_route(name, external) for name, targets in sorted(clusters.items()) for external in targets.externals]
    host = {"name": "external", "domains": ["*"], "request_body_buffer_limit": BODY_LIMIT, "routes": routes}
    return {"resources": [typed("config.route.v3.RouteConfiguration", name=EXTERNAL_ROUTE_CONFIGURATION, virtual_hosts=[host])]}


def _deployment(name: str, marked: Marked, layout: Layout) -> Json:
    service = f"{name}.{layout.namespace}"
    serve = _serve(name, marked) if marked.route.arms else _nothing_serves(name, layout)
    return {
        "name": name,
        "domains": [name, service, f"{service}.svc", f"{service}.svc.{layout.cluster_domain}"],
        "request_body_buffer_limit": BODY_LIMIT,
        "routes": [*(_refuse({"prefix": path}) for path in _REFUSED_PATHS), serve, _refuse({"prefix": "/"})],
    }


def _serve(name: str, marked: Marked) -> Json:
    arms = marked.route.arms
    metadata = {arm_external(arm) or arm: marked.served_by.get(arm, "fallback") for arm in {*arms, *marked.served_by}}
    return {
        "name": name,
        "match": {"prefix": "/v1/"},
        "metadata": {"filter_metadata": {METADATA: dict(sorted(metadata.items()))}},
        "response_headers_to_remove": list(_MARKS),
        "response_headers_to_add": [
            {"header": {"key": header, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for header, value in zip(_MARKS, (_REVISION, _SERVED_BY), strict=True)
        ],
        "route": {
            "timeout": "0s",
            "idle_timeout": IDLE_TIMEOUT,
            "hash_policy": [
                {"header": {"header_name": marked.route.header}, "terminal": True},
                {"header": {"header_name": "authorization"}, "terminal": True},
                {"connection_properties": {"source_ip": True}},
            ],
            "weighted_clusters": {
                "use_hash_policy": True,
                "clusters": [_weighted(name, arm, arms[arm]) for arm in sorted(arms, key=_age)],
            },
            "retry_policy": _RETRY if any(arm_external(arm) is None for arm in arms) else _EXTERNAL_RETRY,
        },
    }


def _age(arm: str) -> tuple[int, str]:
    """Order arms by revision: while the order stays, a change of weights moves the border between them and no other user."""
    return (0 if arm_external(arm) is not None else int(arm), arm)


def _weighted(deployment: str, arm: str, weight: int) -> Json:
    weighted: Json = {"name": arm_cluster(deployment, arm), "weight": weight}
    external = arm_external(arm)
    if external is not None:
        weighted["request_headers_to_add"] = [
            {
                "header": {"key": HEADER_EXTERNAL, "value": f"{deployment}/{external}"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ]
    return weighted


def _nothing_serves(name: str, layout: Layout) -> Json:
    message = (
        f"ModelDeployment {layout.namespace}/{name} serves no approved model yet; "
        f"'holdfast status {name} -n {layout.namespace}' says what it waits for"
    )
    return _answer({"prefix": "/v1/"}, 503, error_body(message, kind="server_error", code="no_approved_model"))


def _refuse(match: Json) -> Json:
    message = "no such endpoint: the gateway serves the inference endpoints under /v1/ only"
    return _answer(match, 404, error_body(message, kind="invalid_request_error", code="unknown_endpoint"))


def _unknown_host() -> Json:
    message = "no ModelDeployment of this name has its gateway here"
    body = error_body(message, kind="invalid_request_error", code="unknown_deployment")
    return {"name": "unknown", "domains": ["*"], "routes": [_answer({"prefix": "/"}, 404, body)]}


def _config(serial: int, state: str) -> Json:
    answer = {
        "match": {"path": "/config"},
        "response_headers_to_add": [*_JSON, {"header": {"key": HEADER_CONFIG, "value": str(serial)}}],
        "direct_response": {"status": 200, "body": {"inline_string": state}},
    }
    return {"name": "config", "domains": [names.GATEWAY_CONFIG_HOST], "routes": [answer, _refuse({"prefix": "/"})]}


def _answer(match: Json, status: int, body: Json) -> Json:
    return {
        "match": match,
        "response_headers_to_add": _JSON,
        "direct_response": {"status": status, "body": {"inline_string": json.dumps(body)}},
    }


def _external_route(deployment: str, external: External) -> Json:
    """Return the way out to an external: its path takes the place of /v1, and its model name that of the client's."""
    url = urlsplit(external.url)
    route: Json = {
        "match": {
            "prefix": "/v1/",
            "headers": [{"name": HEADER_EXTERNAL, "string_match": {"exact": f"{deployment}/{external.name}"}}],
        },
        "route": {
            "cluster": origin_cluster(deployment, external),
            "timeout": "0s",
            "idle_timeout": IDLE_TIMEOUT,
            "host_rewrite_literal": url.netloc,
            "prefix_rewrite": f"{url.path.rstrip('/')}/",
        },
    }
    if external.model is not None:
        route["metadata"] = {"filter_metadata": {"envoy.filters.http.lua": {"model": external.model}}}
    return route
