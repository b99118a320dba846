"""The metrics of each engine, by its own names: those that Holdfast, its dashboards and its tests read."""

import re
from typing import TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from .arguments import Flavor

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST

_RUNNING = {
    Flavor.VLLM: "vllm:num_requests_running",
    Flavor.TGI: "tgi_batch_current_size",
    Flavor.SGLANG: "sglang:num_running_reqs",
    Flavor.LLAMACPP: "llamacpp:requests_processing",
}
_WAITING = {
    Flavor.VLLM: "vllm:num_requests_waiting",
    Flavor.TGI: "tgi_queue_size",
    Flavor.SGLANG: "sglang:num_queue_reqs",
    Flavor.LLAMACPP: "llamacpp:requests_deferred",
}
_CACHE_USAGE = {Flavor.VLLM: "vllm:kv_cache_usage_perc", Flavor.SGLANG: "sglang:token_usage"}
_PROMPT_TOKENS = {
    Flavor.VLLM: "vllm:prompt_tokens",
    Flavor.SGLANG: "sglang:prompt_tokens",
    Flavor.LLAMACPP: "llamacpp:prompt_tokens",
}
_GENERATED_TOKENS = {
    Flavor.VLLM: "vllm:generation_tokens",
    Flavor.SGLANG: "sglang:generation_tokens",
    Flavor.LLAMACPP: "llamacpp:tokens_predicted",
}
_FIRST_TOKEN = {Flavor.VLLM: "vllm:time_to_first_token_seconds", Flavor.SGLANG: "sglang:time_to_first_token_seconds"}
_NEXT_TOKEN = {
    Flavor.VLLM: "vllm:inter_token_latency_seconds",
    Flavor.TGI: "tgi_request_mean_time_per_token_duration",
    Flavor.SGLANG: "sglang:inter_token_latency_seconds",
}
_DURATION = {
    Flavor.VLLM: "vllm:e2e_request_latency_seconds",
    Flavor.TGI: "tgi_request_duration",
    Flavor.SGLANG: "sglang:e2e_request_latency_seconds",
}
# TGI's exporter does not append _total to a counter's name; prometheus_client would, so these are rendered as gauges.
_PLAIN_COUNTERS = ("tgi_request_count", "tgi_request_success")

_Metric = TypeVar("_Metric", Gauge, Counter, Histogram)


class Metrics:
    """What happened, recorded under the names of the engine that is played."""

    def __init__(self, flavor: Flavor, served_name: str) -> None:
        self._flavor = flavor
        self._registry = CollectorRegistry()
        self._labels: dict[str, str] = {}
        if flavor is Flavor.VLLM:
            self._labels = {"model_name": served_name, "engine": "0"}
        elif flavor is Flavor.SGLANG:
            self._labels = {"model_name": served_name}
        self._running = self._gauge(_RUNNING)
        self._waiting = self._gauge(_WAITING)
        self._cache_usage = self._gauge(_CACHE_USAGE)
        self._prompt_tokens = self._counter(_PROMPT_TOKENS)
        self._generated_tokens = self._counter(_GENERATED_TOKENS)
        self._first_token = self._histogram(_FIRST_TOKEN)
        self._next_token = self._histogram(_NEXT_TOKEN)
        self._duration = self._histogram(_DURATION)
        self._success = None
        if flavor is Flavor.VLLM:
            names = [*self._labels, "finished_reason"]
            success = Counter("vllm:request_success", "Finished requests.", names, registry=self._registry)
            self._success = success.labels(**self._labels, finished_reason="length")
        self._plain = [Gauge(n, n, registry=self._registry) for n in _PLAIN_COUNTERS] if flavor is Flavor.TGI else []

    def running(self, count: int) -> None:
        """Say how many completions run."""
        if self._running is not None:
            self._running.set(count)
        if self._cache_usage is not None:
            self._cache_usage.set(min(1.0, count / 100))

    def prompt(self, tokens: int) -> None:
        """Count a request that is taken, and the tokens of its prompt."""
        if self._prompt_tokens is not None:
            self._prompt_tokens.inc(tokens)
        if self._plain:
            self._plain[0].inc()

    def token(self, seconds: float, *, first: bool) -> None:
        """Count a token and the time that it took."""
        if self._generated_tokens is not None:
            self._generated_tokens.inc()
        histogram = self._first_token if first else self._next_token
        if histogram is not None:
            histogram.observe(seconds)

    def finished(self, seconds: float, tokens: int) -> None:
        """Count an answer that is complete, if it has any token."""
        if not tokens:
            return
        if self._duration is not None:
            self._duration.observe(seconds)
        if self._success is not None:
            self._success.inc()
        if self._plain:
            self._plain[1].inc()

    def render(self) -> bytes:
        """Return the text that a scrape gets."""
        text = prometheus_client.generate_latest(self._registry)
        names = "|".join(_PLAIN_COUNTERS).encode()
        return re.sub(rb"(# TYPE (?:" + names + rb")) gauge", rb"\1 counter", text)

    def _gauge(self, names: dict[Flavor, str]) -> Gauge | None:
        name = names.get(self._flavor)
        return self._child(Gauge(name, name, list(self._labels), registry=self._registry)) if name else None

    def _counter(self, names: dict[Flavor, str]) -> Counter | None:
        name = names.get(self._flavor)
        return self._child(Counter(name, name, list(self._labels), registry=self._registry)) if name else None

    def _histogram(self, names: dict[Flavor, str]) -> Histogram | None:
        name = names.get(self._flavor)
        return self._child(Histogram(name, name, list(self._labels), registry=self._registry)) if name else None

    def _child(self, metric: _Metric) -> _Metric:
        return metric.labels(**self._labels) if self._labels else metric
