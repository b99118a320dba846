"""The alerts of the chart: a real Prometheus reads the operator's metrics and raises them."""

import json
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.world import CHART, HOME, IMAGES, eventually, helm
from holdfast.api.deployment import Condition, ModelDeploymentStatus
from holdfast.api.names import Key
from holdfast.api.reasons import ConditionType, Phase, Reason
from holdfast.metrics import Metrics
from testbed import Testbed

DOCS = Path(__file__).parents[2] / "docs/reference/metrics.md"
ENABLED = "--set=prometheus.rules.enabled=true,prometheus.serviceMonitor.enabled=true,prometheus.labels.release=ours"

Object = dict[str, Any]


def objects(bed: Testbed, *values: str) -> dict[str, Object]:
    """Return what the chart makes for the Prometheus Operator, by kind."""
    text = helm(bed, "template", "holdfast", str(CHART), f"--namespace={HOME}", *IMAGES, *values)
    documents = [document for document in yaml.safe_load_all(text) if document]
    return {each["kind"]: each for each in documents if each["apiVersion"].startswith("monitoring.coreos.com/")}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def metrics() -> Iterator[tuple[Metrics, str]]:
    """The operator's metrics, and where they are read."""
    found, port = Metrics(), free_port()
    with found.serve("127.0.0.1", port):
        yield found, f"127.0.0.1:{port}"


@pytest.fixture
def prometheus(bed: Testbed, metrics: tuple[Metrics, str], tmp_path: Path) -> Iterator[str]:
    """A Prometheus with the chart's rules, as the Prometheus Operator would give them to it; yields its URL."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(objects(bed, ENABLED)["PrometheusRule"]["spec"]))
    scrape = {"job_name": "holdfast", "honor_labels": True, "static_configs": [{"targets": [metrics[1]]}]}
    often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration = {"global": often, "rule_files": ["rules.yaml"], "scrape_configs": [scrape]}
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    listen = f"127.0.0.1:{free_port()}"
    command = [str(bed.programs.path("prometheus")), f"--config.file={tmp_path}/prometheus.yaml"]
    command += [f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={listen}", "--log.level=warn"]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield f"http://{listen}"
        finally:
            process.terminate()


def raised(url: str) -> list[Object] | None:
    """Return the alerts that fire, None while Prometheus does not answer."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/alerts", timeout=5) as answer:  # noqa: S310 - our own on loopback
            alerts: list[Object] = json.load(answer)["data"]["alerts"]
    except OSError:
        return None
    return [alert for alert in alerts if alert["state"] == "firing"]


def test_a_pod_that_is_not_what_was_approved_raises_an_alert(metrics: tuple[Metrics, str], prometheus: str) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    said = Condition(type=ConditionType.PINNED, status="False", last_transition_time=at, reason=Reason.POD_DRIFTED, message="")
    eventually(lambda: raised(prometheus), "Prometheus")
    assert raised(prometheus) == []
    metrics[0].deployment(Key("team-a", "chat"), ModelDeploymentStatus(phase=Phase.STABLE, conditions=[said]))
    (alert,) = eventually(lambda: raised(prometheus) or None, "an alert")
    told = {"namespace": "team-a", "name": "chat", "reason": "PodDrifted", "alertname": "HoldfastDrift", "severity": "critical"}
    assert {name: alert["labels"][name] for name in told} == told
    assert "holdfast status chat --namespace team-a" in alert["annotations"]["description"]


def test_the_alerts_are_those_of_the_reference(bed: Testbed) -> None:
    (group,) = objects(bed, ENABLED)["PrometheusRule"]["spec"]["groups"]
    rows = {
        alert: metric.partition("{")[0]
        for metric, alert in re.findall(r"^\| `(holdfast_[^`]+)` \|.*\| `(Holdfast\w+)`", DOCS.read_text(), re.MULTILINE)
    }
    read = {rule["alert"]: re.findall(r"holdfast_\w+", rule["expr"]) for rule in group["rules"]}
    assert len(read) > 3
    assert read == {alert: [metric] for alert, metric in rows.items()}


def test_what_the_prometheus_operator_needs_is_made_only_when_it_is_asked_for(bed: Testbed) -> None:
    assert objects(bed) == {}
    found = objects(bed, ENABLED)
    assert found.keys() == {"ServiceMonitor", "PrometheusRule"}
    assert {each["metadata"]["labels"]["release"] for each in found.values()} == {"ours"}
    assert found["ServiceMonitor"]["spec"]["endpoints"] == [{"port": "metrics", "honorLabels": True}]
