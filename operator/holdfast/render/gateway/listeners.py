"""The listeners: they are part of the bootstrap and change with the pod template only.

A listener that changes at run time drains its predecessor and cuts every stream that runs longer than the drain.
"""

from importlib import resources
from typing import Any, Final

from holdfast.render.gateway.layout import (
    ADMIN_CLUSTER,
    BODY_LIMIT,
    DRAIN_SECONDS,
    EXTERNAL_ROUTES_FILE,
    HOP_LISTENER,
    IDLE_TIMEOUT,
    METADATA,
    ROUTES_FILE,
    Json,
    Layout,
    extension,
    typed,
)
from holdfast.render.gateway.routes import EXTERNAL_ROUTE_CONFIGURATION, ROUTE_CONFIGURATION

STATS_PREFIX: Final = "holdfast_"
_MANAGER: Final = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_LUA: Final = "envoy.filters.http.lua"
_FAULT: Final = "envoy.filters.http.fault"
_REVISION: Final = f"%UPSTREAM_METADATA({METADATA}:revision)%"
_FAILURES: Final = ("UH", "UF", "UO", "NC", "NR", "UT", "URX", "UC", "UR", "LR", "UPE", "DC", "OM", "DF")
"""Response flags of the answers that Envoy gives itself because the upstream did not."""


def listeners(layout: Layout) -> list[Json]:
    """Return the static listeners: requests, metrics, and the hop to externals."""
    return [_ingress(layout), _metrics(layout), _hop(layout)]


def _ingress(layout: Layout) -> Json:
    return _listener(
        "ingress",
        _tcp(layout, layout.http_port),
        stat_prefix="ingress",
        codec_type="AUTO",
        server_name="holdfast-gateway",
        use_remote_address=True,
        # Nobody is "internal" (the range is TEST-NET-1, RFC 5737): control headers x-envoy-* of clients are dropped.
        internal_address_config={"cidr_ranges": [{"address_prefix": "192.0.2.1", "prefix_len": 32}]},
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        strip_any_host_port=True,
        strip_trailing_host_dot=True,
        common_http_protocol_options={"idle_timeout": "3600s", "headers_with_underscores_action": "REJECT_REQUEST"},
        http2_protocol_options={
            "max_concurrent_streams": 256,
            "initial_stream_window_size": 65536,
            "initial_connection_window_size": 1048576,
        },
        request_headers_timeout="30s",
        request_timeout="300s",  # to receive the request, not to answer it
        stream_idle_timeout=IDLE_TIMEOUT,
        upgrade_configs=[{"upgrade_type": "websocket"}],
        early_header_mutation_extensions=[
            extension(
                "holdfast.client_headers",
                "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                mutations=[{"remove_on_match": {"key_matcher": {"prefix": "x-holdfast-", "ignore_case": True}}}],
            )
        ],
        rds={"route_config_name": ROUTE_CONFIGURATION, "config_source": layout.file_source("routes", ROUTES_FILE)},
        local_reply_config=_local_replies(),
        access_log=[_request_stats(), _access_log()],
        http_filters=[
            extension(
                "envoy.filters.http.health_check",
                "extensions.filters.http.health_check.v3.HealthCheck",
                pass_through_mode=False,
                headers=[{"name": ":path", "string_match": {"exact": "/healthz"}}],
            ),
            _router(upstream_log=[_attempt_stats()]),
        ],
    )


def _metrics(layout: Layout) -> Json:
    """Return the listener of metrics and of what the operator asks; the rest of Envoy's admin interface is not reachable."""
    paths = {"/metrics": "/stats/prometheus?usedonly", "/clusters": "/clusters?format=json", "/ready": "/ready"}
    routes = [
        {
            "match": {"path": path, "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]},
            "route": {
                "cluster": ADMIN_CLUSTER,
                "timeout": "10s",
                "regex_rewrite": {"pattern": {"regex": "^.*$"}, "substitution": target},
            },
        }
        for path, target in paths.items()
    ]
    routes.append(_leave())
    return _listener(
        "metrics",
        _tcp(layout, layout.metrics_port),
        stat_prefix="metrics",
        normalize_path=True,
        request_headers_timeout="10s",
        stream_idle_timeout=f"{2 * DRAIN_SECONDS}s",
        route_config={"virtual_hosts": [{"name": "metrics", "domains": ["*"], "routes": routes}]},
        http_filters=[
            extension(_LUA, "extensions.filters.http.lua.v3.Lua"),
            extension(_FAULT, "extensions.filters.http.fault.v3.HTTPFault"),
            _router(),
        ],
    )


def _leave() -> Json:
    """Return the route that a pod's preStop hook asks: let clients go elsewhere at once, and answer when streams had their time.

    A leaving pod gets no more changes of ConfigMaps, so a request on a connection that it still holds would be routed as before.
    From now on each answer closes its connection; running streams and new connections go on. Envoy's image has no shell, a hook
    cannot POST, and a hook has one action: hence a script that POSTs, and a delay. Whoever else asks gains nothing: connections
    are not kept alive, that is all.
    """
    source = f"""
    function envoy_on_request(handle)
      handle:httpCall("{ADMIN_CLUSTER}",
        {{[":method"] = "POST", [":path"] = "/drain_listeners?graceful&skip_exit", [":authority"] = "admin"}}, "", 2000)
    end
    """
    return {
        "match": {"path": "/drain", "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]},
        "direct_response": {"status": 200},
        "typed_per_filter_config": {
            _LUA: typed("extensions.filters.http.lua.v3.LuaPerRoute", source_code={"inline_string": source}),
            _FAULT: typed(
                "extensions.filters.http.fault.v3.HTTPFault",
                delay={"fixed_delay": f"{DRAIN_SECONDS}s", "percentage": {"numerator": 100}},
            ),
        },
    }


def _hop(layout: Layout) -> Json:
    """Return the listener that only this Envoy itself can reach. Its buffer holds a whole body, to change the model name."""
    source = resources.files("holdfast.render.gateway").joinpath("external.lua").read_text(encoding="utf-8")
    return _listener(
        HOP_LISTENER,
        {"internal_listener": {}, "per_connection_buffer_limit_bytes": BODY_LIMIT},
        stat_prefix="external",
        generate_request_id=False,
        stream_idle_timeout=IDLE_TIMEOUT,
        rds={
            "route_config_name": EXTERNAL_ROUTE_CONFIGURATION,
            "config_source": layout.file_source("routes", EXTERNAL_ROUTES_FILE),
        },
        local_reply_config=_local_replies(),
        http_filters=[
            extension(
                _LUA,
                "extensions.filters.http.lua.v3.Lua",
                default_source_code={"inline_string": source},
                # The route was chosen by a header that must not leave, and Envoy finds none without x-forwarded-proto.
                clear_route_cache=False,
            ),
            _router(),
        ],
    )


def _listener(name: str, place: Json, **manager: Any) -> Json:
    chain = {"filters": [extension("envoy.filters.network.http_connection_manager", _MANAGER, **manager)]}
    return {"name": name, **place, "filter_chains": [chain]}


def _tcp(layout: Layout, port: int) -> Json:
    return {
        "address": {"socket_address": {"address": layout.listen_address, "port_value": port}},
        "per_connection_buffer_limit_bytes": 1024 * 1024,
    }


def _router(**fields: Any) -> Json:
    return extension(
        "envoy.filters.http.router", "extensions.filters.http.router.v3.Router", suppress_envoy_headers=True, **fields
    )


def _local_replies() -> Json:
    """Return Envoy's own errors in the form of the OpenAI API. Answers of our routes have no flag and stay as they are."""
    body = {
        "error": {
            "message": "%LOCAL_REPLY_BODY%",
            "type": "server_error",
            "param": None,
            "code": "gateway_%RESPONSE_CODE%",
        }
    }
    mapper = {
        "filter": {"response_flag_filter": {"flags": list(_FAILURES)}},
        "body_format_override": {"json_format": body, "content_type": "application/json"},
    }
    return {"mappers": [mapper]}


def _request_stats() -> Json:
    """Return the metrics by request: what clients saw."""
    revision = {"deployment": "%ROUTE_NAME%", "revision": _REVISION}
    return _stats(
        "request",
        counters=[
            _counter({**revision, "code": "%RESPONSE_CODE%", "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"}),
        ],
        histograms=[
            _histogram("ttfb_ms", revision, "%RESPONSE_DURATION%"),
            _histogram("duration_ms", revision, "%DURATION%"),
        ],
    )


def _attempt_stats() -> Json:
    """Return the metrics by attempt: a candidate is judged by these, since a retry hides its failures from the client."""
    tags = {
        "deployment": "%ROUTE_NAME%",
        "revision": _REVISION,
        "code": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
    }
    return _stats("attempt", counters=[_counter(tags)])


def _stats(name: str, **metrics: list[Json]) -> Json:
    """Return a stats access logger. `stat_prefix` is the form that every version since 1.37 knows."""
    return extension(
        "envoy.access_loggers.stats",
        "extensions.access_loggers.stats.v3.Config",
        stat_prefix=f"{STATS_PREFIX}{name}",
        **metrics,
    )


def _counter(tags: dict[str, str]) -> Json:
    return {"stat": {"name": "total", "tags": _tags(tags)}, "value_fixed": 1}


def _histogram(name: str, tags: dict[str, str], value: str) -> Json:
    return {"stat": {"name": name, "tags": _tags(tags)}, "unit": "Milliseconds", "value_format": value}


def _tags(tags: dict[str, str]) -> list[Json]:
    return [{"name": name, "value_format": value} for name, value in tags.items()]


def _access_log() -> Json:
    """Return the log of requests, without any text or header of the client but its request id."""
    fields = {
        "time": "%START_TIME%",
        "deployment": "%ROUTE_NAME%",
        "revision": _REVISION,
        "code": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "detail": "%RESPONSE_CODE_DETAILS%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "received_bytes": "%BYTES_RECEIVED%",
        "sent_bytes": "%BYTES_SENT%",
        "first_byte_ms": "%RESPONSE_DURATION%",
        "duration_ms": "%DURATION%",
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    return {
        **extension(
            "envoy.access_loggers.stdout",
            "extensions.access_loggers.stream.v3.StdoutAccessLog",
            log_format={"json_format": fields},
        ),
        "filter": {"not_health_check_filter": {}},
    }
