"""Prometheus beside the bed: it scrapes pods that carry the usual annotations."""

import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from testbed.certificates import Authority
from testbed.control import Control
from testbed.control_plane import READY_WITHIN_SECONDS, ControlPlane, check
from testbed.kubectl import Kubectl

_USER = "testbed:prometheus"
_META = "__meta_kubernetes_pod"


def start(
    control: Control,
    kubectl: Kubectl,
    control_plane: ControlPlane,
    program: Path,
    *,
    listen: str,
    scrape: Sequence[Mapping[str, object]],
) -> None:
    """Start it on `listen` (HOST:PORT); `scrape` are more entries for `scrape_configs`; returns once it is ready."""
    kubeconfig = control_plane.component("prometheus")
    Authority.load(control_plane.pki).kubeconfig(kubeconfig, control_plane.server, _USER)
    kubectl.apply(_access())
    folder = control_plane.directory / "prometheus"
    folder.mkdir(exist_ok=True)
    configuration = folder / "prometheus.yaml"
    configuration.write_text(yaml.safe_dump(_configuration(kubeconfig, scrape), sort_keys=False))
    command: list[str | Path] = [
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={listen}",
        "--storage.tsdb.retention.time=1d",
        "--log.level=warn",
    ]
    control.start("prometheus", command)
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while not _ready(listen):
        check(deadline, control, "Prometheus")


def _ready(listen: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{listen}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _configuration(kubeconfig: Path, scrape: Sequence[Mapping[str, object]]) -> dict[str, object]:
    address = f"{_META}_ip"
    annotation = f"{_META}_annotation_prometheus_io"
    relabel = [
        {"source_labels": [f"{annotation}_scrape"], "regex": "true", "action": "keep"},
        {"source_labels": [f"{_META}_phase"], "regex": "Pending|Succeeded|Failed|Unknown", "action": "drop"},
        {
            "source_labels": [address, f"{annotation}_port"],
            "separator": ":",
            "regex": "(.+:.+)",
            "target_label": "__address__",
        },
        {"source_labels": [f"{annotation}_path"], "regex": "(.+)", "target_label": "__metrics_path__"},
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": [f"{_META}_name"], "target_label": "pod"},
        {"regex": f"{_META}_label_(.+)", "action": "labelmap"},
    ]
    pods = {
        "job_name": "pods",
        "kubernetes_sd_configs": [{"role": "pod", "kubeconfig_file": str(kubeconfig)}],
        "relabel_configs": relabel,
    }
    return {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [pods, *map(dict, scrape)]}


def _access() -> list[dict[str, object]]:
    group = "rbac.authorization.k8s.io"
    return [
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": _USER},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": _USER},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": _USER},
            "subjects": [{"apiGroup": group, "kind": "User", "name": _USER}],
        },
    ]
