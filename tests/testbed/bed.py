"""A bed: its start, its end, and what tests and people use of it."""

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed import cgroups, control, gpus, kwok, machine, network, places, prometheus, record
from testbed.certificates import Authority
from testbed.control import Control, ProgramStatus
from testbed.control_plane import ControlPlane
from testbed.errors import TestbedError
from testbed.kubectl import Kubectl
from testbed.node import NAME as NODE_NAME
from testbed.node import Node
from testbed.programs import CONTROL_PLANE, NODE, Programs
from testbed.progress import Progress

_LOOPBACK = "127.0.0.1"
_LOOPBACK_SERVICES = "10.96.0.0/16"
_LOOPBACK_FIRST_SERVICE = "10.96.0.1"


class Testbed:
    """A single-node Kubernetes, or with `control_plane_only` one without a node, which needs no root.

    As a context manager it lives as long as the block, and ends with the calling process even if that is killed. With
    `up()` and `down()` it stays until it is ended. Beds with different names are independent of each other.
    """

    # pytest collects classes by their name's beginning.
    __test__ = False

    def __init__(
        self,
        name: str = "default",
        *,
        control_plane_only: bool = False,
        kwok_nodes: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.name = name
        self.directory = places.bed(name)
        self.control_plane_only = control_plane_only
        self.kwok_nodes = kwok_nodes
        self._progress = progress or Progress()
        self.programs = Programs(self._progress)
        self._record: record.Record | None = None

    @classmethod
    def attach(cls, name: str = "default", *, progress: Progress | None = None) -> Self:
        """Return the running bed of this name; raises TestbedError if there is none."""
        directory = places.bed(name)
        found = record.Record.read(directory)
        if found is None or not Control(directory).alive():
            raise TestbedError(f"no bed {name!r} is up; start it with: python -m testbed up --name {name}")
        bed = cls(name, control_plane_only=found.control_plane_only, kwok_nodes=found.kwok_nodes, progress=progress)
        bed._record = found
        return bed

    def __enter__(self) -> Self:
        self._start(owner=record.Process.current())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.down()

    @property
    def _facts(self) -> record.Record:
        if self._record is None:
            raise TestbedError(f"the bed {self.name!r} is not up")
        return self._record

    @property
    def _network(self) -> network.Network | None:
        return None if self._facts.block is None else network.Network(self._facts.block)

    @property
    def _control_plane(self) -> ControlPlane:
        net = self._network
        return ControlPlane(
            directory=self.directory,
            address=self.node_address,
            api_server_port=self._facts.api_server_port,
            registry=self.registry,
            service_cidr=net.services if net else _LOOPBACK_SERVICES,
            first_service=net.first_service if net else _LOOPBACK_FIRST_SERVICE,
            loopback=net is None,
        )

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self._control_plane.kubeconfig

    @property
    def node_address(self) -> str:
        """Where the API server, the registry and node ports listen; the host, the node and pods reach it."""
        net = self._network
        return net.node if net else _LOOPBACK

    @property
    def host_address(self) -> str:
        """Where pods, the node and the API server reach a program of the host that listens on this address."""
        net = self._network
        return net.host if net else _LOOPBACK

    @property
    def registry(self) -> str:
        """HOST:PORT of a plain-http OCI registry; the same from the host, from containerd and from pods."""
        return f"{self.node_address}:{self._facts.registry_port}"

    @property
    def control(self) -> Control:
        """Start, stop and list the bed's programs."""
        return Control(self.directory)

    @property
    def kubectl(self) -> Kubectl:
        """Kubectl as the administrator."""
        return Kubectl(self.programs.kubectl, self.kubeconfig)

    def user(self, name: str, *, groups: Sequence[str] = ()) -> Path:
        """Write a kubeconfig for a person of this name and these groups; it grants nothing by itself."""
        plane = self._control_plane
        file = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
        authority = Authority.load(plane.pki)
        path = self.directory / "users" / f"{file}.kubeconfig"
        return authority.kubeconfig(path, plane.server, name, groups=groups)

    def inside(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs `command` in the bed's namespaces; on the host if it has none."""
        if self._network is None:
            return list(command)
        pid = str(self.control.pid())
        return ["nsenter", "--target", pid, "--mount", "--net", "--pid", "--", *command]

    def run(self, *command: str) -> str:
        """Run a command in the bed's namespaces and return its output; raises TestbedError with its message."""
        result = subprocess.run(self.inside(command), env=self.environment(), capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise TestbedError(f"{' '.join(command)} failed in the bed: {result.stderr.strip()}")
        return result.stdout

    def environment(self) -> dict[str, str]:
        """Return the caller's environment with the bed's programs on PATH, its kubeconfig and containerd's address."""
        folders = [str(folder) for folder in self.programs.built()]
        return {
            **os.environ,
            "PATH": os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)]),
            "KUBECONFIG": str(self.kubeconfig),
            "CONTAINERD_ADDRESS": str(self.directory / "containerd" / "containerd.sock"),
            "CONTAINERD_NAMESPACE": "k8s.io",
        }

    def advertise_gpus(self, count: int, *, product: str = "NVIDIA-H100-80GB-HBM3", node: str = NODE_NAME) -> None:
        """Let a node say that it has `count` GPUs (`nvidia.com/gpu`) of a product; the scheduler believes it."""
        gpus.advertise(self.kubectl, node, count=count, product=product)

    def prometheus(self, *, scrape: Sequence[Mapping[str, object]] = ()) -> str:
        """Run Prometheus beside the bed and return its URL; once it runs, only return the URL.

        It scrapes each second the pods annotated with `prometheus.io/scrape: "true"` and `prometheus.io/port`, and what
        the entries of `scrape` name, which are in the format of Prometheus' `scrape_configs`.
        """
        url = self.directory / "prometheus.url"
        if not url.exists():
            port = _free_port() if self._network is None else 9090
            program = self.programs.path("prometheus")
            listen = f"{self.node_address}:{port}"
            prometheus.start(self.control, self.kubectl, self._control_plane, program, listen=listen, scrape=scrape)
            url.write_text(f"http://{listen}")
        return url.read_text()

    def status(self) -> list[ProgramStatus]:
        """List the programs of the bed."""
        return self.control.list()

    def up(self) -> Self:
        """Start it to stay until `down`; one that is up and answers is left as it is."""
        self._start(owner=None)
        return self

    def down(self) -> None:
        """End it and remove everything of it. Does nothing if there is nothing."""
        with record.locked(self.name):
            self._clean()

    def _start(self, owner: record.Process | None) -> None:
        with record.locked(self.name):
            if self._already_up(owner):
                return
            self._clean()
            self._sweep()
            self._prepare()
            try:
                self._launch(owner)
            except BaseException:
                self._abandon()
                raise

    def _already_up(self, owner: record.Process | None) -> bool:
        found = record.Record.read(self.directory)
        if found is None or not self.control.alive():
            return False
        if found.owner is not None:
            if found.owner.alive():
                raise TestbedError(f"the bed {self.name!r} is in use by process {found.owner.pid}; choose another name")
            return False
        if not (self.directory / "ready").exists():
            return False
        if owner is not None:
            raise TestbedError(
                f"the bed {self.name!r} is up already; use it with Testbed.attach({self.name!r}), choose another name, "
                f"or end it: python -m testbed down --name {self.name}"
            )
        if (found.control_plane_only, found.kwok_nodes) != (self.control_plane_only, self.kwok_nodes):
            raise TestbedError(
                f"the bed {self.name!r} is up with other parts than asked for; choose another name, "
                f"or end it: python -m testbed down --name {self.name}"
            )
        self._record = found
        return True

    def _prepare(self) -> None:
        machine.check_system()
        families = list(CONTROL_PLANE)
        if not self.control_plane_only:
            machine.check_root()
            machine.ensure_packages(machine.NODE_PACKAGES, progress=self._progress)
            machine.load_modules()
            families += NODE
        if self.kwok_nodes:
            families.append("kwok")
        self.programs.ensure(families)

    def _launch(self, owner: record.Process | None) -> None:
        with record.locked(None):
            self.directory.mkdir(parents=True, mode=0o700)
            (self.directory / "logs").mkdir()
            full = not self.control_plane_only
            self._record = record.Record(
                name=self.name,
                control_plane_only=self.control_plane_only,
                kwok_nodes=self.kwok_nodes,
                block=network.free_block() if full else None,
                api_server_port=6443 if full else _free_port(),
                registry_port=5000 if full else _free_port(),
                owner=owner,
            )
            self._record.write()
        descriptor = os.pidfd_open(os.getpid())
        try:
            supervisor = control.launch(self.directory, namespaces=full, owner=descriptor)
        finally:
            os.close(descriptor)
        plane = self._control_plane
        authority = plane.write_credentials()
        node = None
        net = self._network
        if net is not None:
            with self._progress.step("network"):
                net.connect(supervisor.pid())
            node = Node(self.directory, self.name, net, self.registry, plane, self.programs)
            node.prepare(supervisor, authority)
        with self._progress.step("control plane"):
            plane.start(supervisor, self.programs)
            if node is not None:
                node.start_runtime(supervisor)
            plane.wait(supervisor, self.kubectl)
        if node is not None:
            with self._progress.step("node"):
                node.start(supervisor, self.kubectl)
        if self.kwok_nodes:
            with self._progress.step(f"{self.kwok_nodes} nodes of kwok"):
                kwok.start(supervisor, self.kubectl, plane, self.programs.path("kwok"), nodes=self.kwok_nodes)
        (self.directory / "ready").touch()
        if owner is None:
            supervisor.stay()

    def _abandon(self) -> None:
        """End what was started and keep the logs for whoever looks for the cause."""
        control.end(self.directory)
        if self._record is not None and self._record.block is not None:
            network.remove(self._record.block)
            cgroups.remove(self.name)
        self._record = None

    def _clean(self) -> None:
        """Remove everything of a bed of this name, whoever started it and however it ended."""
        found = record.Record.read(self.directory)
        control.end(self.directory)
        if found is not None and found.block is not None:
            network.remove(found.block)
        if os.geteuid() == 0:
            cgroups.remove(self.name)
        if self.directory.exists():
            shutil.rmtree(self.directory)
        self._record = None

    def _sweep(self) -> None:
        """Remove what beds of killed callers left on the disk; their programs ended with the caller."""
        for directory, found in record.every():
            if found is None or found.owner is None or found.owner.alive() or directory == self.directory:
                continue
            with record.locked(found.name):
                again = record.Record.read(directory)
                if again == found:
                    Testbed(found.name, progress=self._progress)._clean()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
