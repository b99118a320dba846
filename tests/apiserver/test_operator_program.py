"""The program `holdfast-operator` as the pod runs it: its settings, ports, log, start and end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from apiserver.proxy import Seen, proxy
from apiserver.space import NAME, Namespace
from builders import ENGINE_IMAGE, WEIGHTS_IMAGE
from holdfast.cluster import kinds
from testbed.hub import HubServer, seed_demo

PROGRAM = Path(sys.executable).with_name("holdfast-operator")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Program:
    """A running operator."""

    def __init__(self, kubeconfig: Path, log: Path, **settings: str) -> None:
        self.metrics_port, self.health_port, self.log = free_port(), free_port(), log
        environment = {
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(kubeconfig),
            "HOLDFAST_WEIGHTS_IMAGE": WEIGHTS_IMAGE,
            "HOLDFAST_GATEWAY_IMAGE": WEIGHTS_IMAGE,
            "HOLDFAST_LISTEN_ADDRESS": "127.0.0.1",
            "HOLDFAST_METRICS_PORT": str(self.metrics_port),
            "HOLDFAST_HEALTH_PORT": str(self.health_port),
        } | settings
        with log.open("wb") as file:
            self.process = subprocess.Popen([str(PROGRAM)], env=environment, stderr=file, stdout=file)

    def read(self, port: int, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def healthy(self) -> bool:
        return self.read(self.health_port, "/healthz")[0] == 200

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        text = self.read(self.metrics_port, "/metrics")[1]
        return {
            tuple(sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }

    def writes(self) -> float:
        return sum(self.samples("holdfast_api_writes_total").values())

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def until(self, condition: Callable[[], object], what: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}\n{self.log.read_text()}"
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def rest(self) -> None:
        """Wait until it has sent nothing and reconciled no ModelDeployment for a second."""
        last, since = (-1.0, -1.0), time.monotonic()
        while time.monotonic() - since < 1:
            assert self.process.poll() is None, self.log.read_text()
            reconciled = self.samples("holdfast_reconcile_duration_seconds_count")
            now = self.writes(), sum(count for labels, count in reconciled.items() if "deployment" in labels)
            if now != last:
                last, since = now, time.monotonic()
            time.sleep(0.05)

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=20)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as hub:
        yield hub


def declare(space: Namespace, hub: HubServer) -> None:
    commit = seed_demo(hub.admin).chat_gguf[0]
    spec = {
        "model": {
            "source": {"huggingFace": {"repository": "holdfast/tiny-chat-GGUF", "commit": commit}},
            "engine": {"type": "LlamaCpp", "image": ENGINE_IMAGE},
        }
    }
    body = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": NAME}, "spec": spec}
    space.create("modeldeployments", body)


def test_a_request_is_opened_and_a_restart_writes_nothing(
    space: Namespace, kubeconfig: Path, hub: HubServer, tmp_path: Path
) -> None:
    settings = {"HOLDFAST_HUB_ENDPOINT": hub.url, "HOLDFAST_NAMESPACES": space.name}
    declare(space, hub)
    first = Program(kubeconfig, tmp_path / "first", **settings)
    try:
        first.until(lambda: space.phase() == "AwaitingApproval", "a request")
        assert first.writes() > 0
        assert first.samples("holdfast_resolutions_total") == {("Resolved",): 1}
        phase = {(NAME, space.name, "AwaitingApproval"): 1}
        first.until(lambda: first.samples("holdfast_deployment_phase") == phase, "the phase among the metrics")
        first.until(lambda: first.samples("holdfast_upstream_checks_total") == {("Checked",): 1}, "a look upstream")
        first.rest()
    finally:
        assert first.end() == 0
    before = space.versions()
    second = Program(kubeconfig, tmp_path / "second", **settings)
    try:
        second.until(lambda: second.healthy() and second.samples("holdfast_deployment_phase"), "its first look")
        second.rest()
        assert second.writes() == 0
    finally:
        assert second.end() == 0
    assert space.versions() == before


def test_another_operator_image_changes_no_object(space: Namespace, kubeconfig: Path, hub: HubServer, tmp_path: Path) -> None:
    settings = {"HOLDFAST_HUB_ENDPOINT": hub.url, "HOLDFAST_NAMESPACES": space.name}
    declare(space, hub)
    first = Program(kubeconfig, tmp_path / "first", **settings)
    try:
        first.until(lambda: space.phase() == "AwaitingApproval", "a request")
        space.approve()
        first.until(lambda: space.exists("deployments", f"{NAME}-1"), "an engine")
        first.rest()
    finally:
        assert first.end() == 0
    before = space.read("deployments", f"{NAME}-1")["spec"]
    newer = "registry.example/holdfast@sha256:" + "9" * 64
    second = Program(kubeconfig, tmp_path / "second", **settings, HOLDFAST_WEIGHTS_IMAGE=newer)
    try:
        second.until(lambda: second.healthy() and second.samples("holdfast_deployment_phase"), "its first look")
        second.rest()
        assert second.writes() == 0
    finally:
        assert second.end() == 0
    assert space.read("deployments", f"{NAME}-1")["spec"] == before


def test_the_log_has_one_object_per_line_and_no_traceback(
    space: Namespace, kubeconfig: Path, hub: HubServer, tmp_path: Path
) -> None:
    declare(space, hub)
    program = Program(kubeconfig, tmp_path / "log", HOLDFAST_HUB_ENDPOINT=hub.url, HOLDFAST_NAMESPACES=space.name)
    try:
        program.until(lambda: space.phase() == "AwaitingApproval", "a request")
        program.until(lambda: '"transition"' in program.log.read_text(), "a line about it, which follows the status")
    finally:
        program.end()
    moves = [line for line in program.lines() if line["message"] == "transition"]
    assert [(line["deployment"], line["reason"]) for line in moves] == [(f"{space.name}/{NAME}", "Proposed")]
    assert not [line for line in program.lines() if "exception" in line or line["level"] in ("error", "critical")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_when_told_to(space: Namespace, kubeconfig: Path, tmp_path: Path, number: int) -> None:
    program = Program(kubeconfig, tmp_path / "log", HOLDFAST_NAMESPACES=space.name)
    try:
        program.until(program.healthy, "health")
        assert program.end(number) == 0
    finally:
        program.end()
    assert program.lines()[-1]["message"] == "ended"


def test_a_watch_that_ends_for_good_ends_the_process(space: Namespace, kubeconfig: Path, tmp_path: Path) -> None:
    """An operator that no longer hears must not look alive: the kubelet starts another."""
    with proxy(kubeconfig) as line:
        program = Program(line.kubeconfig(tmp_path), tmp_path / "log", HOLDFAST_NAMESPACES=space.name)
        try:
            program.until(program.healthy, "health")
            program.until(lambda: len({each.path for each in line.seen if each.is_watch}) == len(kinds.WATCHED), "every watch")
            line.answer = _unauthorized
            line.interrupt()
            assert program.process.wait(timeout=30) == 1
        finally:
            program.end()
    text = program.log.read_text()
    assert "the API server no longer accepts the operator's credentials" in text


def _unauthorized(seen: Seen) -> web.Response:
    return web.json_response({"kind": "Status", "code": 401, "reason": "Unauthorized"}, status=401)


def test_missing_rights_are_named(space: Namespace, kubeconfig: Path, tmp_path: Path) -> None:
    space.create("serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "weak"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = space.admin.call("POST", space.path("serviceaccounts", "weak") + "/token", request).must()["status"]["token"]
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    weak = tmp_path / "kubeconfig"
    weak.write_text(yaml.safe_dump(config))
    program = Program(weak, tmp_path / "log", HOLDFAST_NAMESPACES=space.name)
    assert program.process.wait(timeout=20) == 1
    last = program.lines()[-1]
    assert last["message"] == "the operator cannot go on"
    assert 'cannot list resource "modeldeployments"' in last["error"]
    assert "check the operator's RBAC" in last["error"]
    assert "exception" not in last
    assert token not in program.log.read_text()


def test_settings_that_are_wrong_are_named_and_nothing_is_started(kubeconfig: Path, tmp_path: Path) -> None:
    program = Program(kubeconfig, tmp_path / "log", HOLDFAST_WEIGHTS_IMAGE="holdfast:latest", HOLDFAST_LOG_FORMAT="xml")
    assert program.process.wait(timeout=20) == 2
    text = program.log.read_text()
    assert "HOLDFAST_WEIGHTS_IMAGE is 'holdfast:latest'; it must be registry/name@sha256:" in text
    assert "HOLDFAST_LOG_FORMAT" in text
    assert "Traceback" not in text
