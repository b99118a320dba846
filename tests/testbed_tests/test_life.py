"""Beds begin fast, live side by side, and leave nothing behind, however they end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import Testbed, TestbedError, places
from testbed.record import Record
from testbed_tests import leftovers, probe

CALLER = """
import sys
from testbed import Testbed
with Testbed(sys.argv[1], control_plane_only=sys.argv[2] == "api") as bed:
    print("up", flush=True)
    sys.stdin.read()
"""


def start_caller(name: str, parts: str) -> "subprocess.Popen[str]":
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, name, parts], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert caller.stdout is not None
    assert caller.stdout.readline() == "up\n"
    return caller


def kill(caller: "subprocess.Popen[str]") -> None:
    with caller:
        caller.kill()


@pytest.fixture
def name() -> Iterator[str]:
    name = "testbed-tests-life"
    Testbed(name).down()
    yield name
    Testbed(name).down()


def block(name: str) -> int | None:
    record = Record.read(places.bed(name))
    assert record is not None
    return record.block


def test_a_node_leaves_nothing_when_its_caller_is_killed(name: str, tmp_path: Path) -> None:
    rules = leftovers.packet_filter()
    caller = start_caller(name, "node")
    attached = Testbed.attach(name)
    image = probe.push(attached, tmp_path)
    attached.kubectl.apply([probe.namespace("life"), probe.deployment("life", "web", image)])
    attached.kubectl.run("rollout", "status", "--namespace=life", "deployment/web", "--timeout=60s")
    number = block(name)
    assert number is not None
    held = leftovers.of_bed(attached.directory, number)
    for kind in ("containerd-shim-runc-v2", "/probe serve", "kubelet", "interface", "route"):
        assert any(kind in line for line in held), kind
    assert leftovers.control_groups(name)

    kill(caller)

    assert leftovers.wait_until(lambda: not leftovers.of_bed(attached.directory, number), within=5), leftovers.of_bed(
        attached.directory, number
    )
    assert leftovers.packet_filter() == rules
    attached.down()
    assert not leftovers.control_groups(name)
    assert not attached.directory.exists()


def test_a_control_plane_leaves_nothing_when_its_caller_is_killed(name: str) -> None:
    caller = start_caller(name, "api")
    directory = places.bed(name)
    assert len(leftovers.of_bed(directory, None)) >= 6

    kill(caller)

    assert leftovers.wait_until(lambda: not leftovers.of_bed(directory, None), within=5), leftovers.of_bed(directory, None)


def test_the_next_start_takes_a_killed_bed_off_the_disk(name: str) -> None:
    kill(start_caller(name, "api"))
    directory = places.bed(name)
    assert leftovers.wait_until(lambda: not leftovers.of_bed(directory, None), within=5)
    assert directory.exists()
    with Testbed("testbed-tests-next", control_plane_only=True):
        assert not directory.exists()


def test_a_bed_that_was_started_to_stay_outlives_its_caller_and_ends_with_down(name: str) -> None:
    command = [sys.executable, "-m", "testbed"]
    subprocess.run([*command, "up", "--name", name, "--control-plane-only"], check=True, capture_output=True)
    bed = Testbed.attach(name)
    assert bed.kubectl.try_run("get", "--raw", "/readyz")
    subprocess.run([*command, "down", "--name", name], check=True, capture_output=True)
    assert not leftovers.of_bed(bed.directory, None)
    assert not bed.directory.exists()


def test_a_start_that_is_killed_half_way_leaves_nothing(name: str) -> None:
    directory = places.bed(name)
    command = [sys.executable, "-m", "testbed", "up", "--name", name, "--control-plane-only"]
    starting = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with starting:
        assert leftovers.wait_until(lambda: any("kube-apiserver" in line for line in leftovers.of_bed(directory, None)))
        starting.kill()
    assert not (directory / "ready").exists()
    assert leftovers.wait_until(lambda: not leftovers.of_bed(directory, None), within=5)


def test_a_killed_supervisor_takes_all_programs_with_it_and_the_next_up_starts_anew(name: str) -> None:
    bed = Testbed(name, control_plane_only=True).up()
    uid = bed.kubectl.get("namespace", "default")["metadata"]["uid"]
    os.kill(bed.control.pid(), signal.SIGKILL)
    assert leftovers.wait_until(lambda: not leftovers.of_bed(bed.directory, None), within=5)
    again = Testbed(name, control_plane_only=True).up()
    assert again.kubectl.get("namespace", "default")["metadata"]["uid"] != uid


def test_up_leaves_a_bed_that_is_up_as_it_is(name: str) -> None:
    first = Testbed(name, control_plane_only=True).up()
    uid = first.kubectl.get("namespace", "default")["metadata"]["uid"]
    second = Testbed(name, control_plane_only=True).up()
    assert second.kubectl.get("namespace", "default")["metadata"]["uid"] == uid


def test_a_bed_in_use_is_not_taken_away(control_plane: Testbed) -> None:
    with pytest.raises(TestbedError, match="in use by process"), Testbed(control_plane.name, control_plane_only=True):
        pass
    assert control_plane.kubectl.try_run("get", "--raw", "/readyz")


def test_a_bed_that_is_not_up_cannot_be_attached() -> None:
    with pytest.raises(TestbedError, match="python -m testbed up --name testbed-tests-absent"):
        Testbed.attach("testbed-tests-absent")


def test_two_nodes_live_side_by_side_and_the_second_start_is_fast(bed: Testbed, image: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with Testbed("testbed-tests-two") as other:
        took = time.monotonic() - began
        assert took < 30, f"ready after {took:.1f} s"
        assert other.node_address != bed.node_address
        for one, reference in ((bed, image), (other, probe.push(other, tmp_path))):
            one.kubectl.apply([probe.namespace("two"), probe.deployment("two", "web", reference)])
            one.kubectl.apply([probe.service("two", "web")])
        for one in (bed, other):
            one.kubectl.run("rollout", "status", "--namespace=two", "deployment/web", "--timeout=60s")
            answer = one.kubectl.run(
                "exec", "--namespace=two", "deployment/web", "--", "/probe", "get", "http://web.two.svc.cluster.local"
            )
            assert answer.strip() in {pod["metadata"]["name"] for pod in one.kubectl.get("pods", "--namespace=two")["items"]}
        number, directory = block(other.name), other.directory
    assert not leftovers.of_bed(directory, number)
    assert bed.kubectl.try_run("get", "--raw", "/readyz")
    assert all(entry.running and not entry.restarts for entry in bed.status())
