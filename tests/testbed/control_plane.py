"""etcd, API server, controller-manager, scheduler and registry: what they are started with, and when they are ready."""

import dataclasses
import socket
import time
from pathlib import Path

from testbed import places
from testbed.certificates import Authority, service_account_key
from testbed.control import Control
from testbed.errors import TestbedError
from testbed.kubectl import Kubectl
from testbed.programs import Programs

ADMINISTRATORS = "system:masters"
READY_WITHIN_SECONDS = 90.0


@dataclasses.dataclass(frozen=True, slots=True)
class ControlPlane:
    """The addresses and folders of one bed's control plane."""

    directory: Path
    address: str
    api_server_port: int
    registry: str
    service_cidr: str
    first_service: str
    loopback: bool

    @property
    def server(self) -> str:
        """The API server's address as a URL."""
        return f"https://{self.address}:{self.api_server_port}"

    @property
    def pki(self) -> Path:
        """The folder of keys and certificates."""
        return self.directory / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.directory / "kubeconfig"

    def component(self, name: str) -> Path:
        """Return the path of a component's kubeconfig."""
        return self.directory / "components" / f"{name}.kubeconfig"

    def write_credentials(self) -> Authority:
        """Make the authority, the API server's certificates and the kubeconfigs of administrator and components."""
        authority = Authority.create(self.pki)
        names = ["localhost", "127.0.0.1", self.address, self.first_service, "kubernetes", "kubernetes.default"]
        names += ["kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        authority.issue("apiserver", "kube-apiserver", names=list(dict.fromkeys(names)))
        authority.issue("apiserver-kubelet", "kube-apiserver-kubelet-client", groups=["system:masters"])
        authority.issue("front-proxy", "front-proxy-client")
        service_account_key(self.pki / "service-account.key")
        authority.kubeconfig(self.kubeconfig, self.server, "admin", groups=[ADMINISTRATORS])
        for component in ("kube-controller-manager", "kube-scheduler"):
            authority.kubeconfig(self.component(component), self.server, f"system:{component}")
        return authority

    def start(self, control: Control, programs: Programs) -> None:
        """Start all five; they find each other in any order."""
        folder = places.cache() / "registry"
        folder.mkdir(parents=True, exist_ok=True)
        (self.directory / "etcd").mkdir(mode=0o700, exist_ok=True)
        control.start("etcd", [programs.path("etcd"), *self._etcd()])
        control.start("kube-apiserver", [programs.path("kube-apiserver"), *self._api_server()])
        control.start("kube-controller-manager", [programs.path("kube-controller-manager"), *self._controllers()])
        control.start("kube-scheduler", [programs.path("kube-scheduler"), *self._scheduler()])
        # Layers are shared by all beds and stay in the cache; names and manifests live as long as the bed.
        control.start("registry", [programs.crane, "registry", "serve", "--address", self.registry, "--disk", folder])

    def wait(self, control: Control, kubectl: Kubectl) -> None:
        """Wait until the API server is ready and the default namespace takes pods; raises TestbedError with its log."""
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not kubectl.try_run("get", "--raw", "/readyz") or not kubectl.try_run("get", "serviceaccount", "default"):
            check(deadline, control, "the API server")

    def _etcd(self) -> list[str]:
        sockets = f"unix://{self.directory}/etcd"
        return [
            f"--data-dir={self.directory}/etcd/data",
            # A bed's state ends with it; without this every write waits for the disk.
            "--unsafe-no-fsync",
            # A socket that only its owner can open is the whole of its access control.
            f"--listen-client-urls={sockets}/client.sock",
            f"--advertise-client-urls={sockets}/client.sock",
            f"--listen-peer-urls={sockets}/peer.sock",
            f"--initial-advertise-peer-urls={sockets}/peer.sock",
            f"--initial-cluster=default={sockets}/peer.sock",
            f"--quota-backend-bytes={4 * 1024**3}",
            "--log-level=warn",
        ]

    def _api_server(self) -> list[str]:
        pki = self.pki
        return [
            f"--etcd-servers=unix://{self.directory}/etcd/client.sock",
            f"--bind-address={self.address}",
            f"--advertise-address={self.address}",
            f"--secure-port={self.api_server_port}",
            # Endpoints may not name a loopback address, so a control plane there publishes none.
            f"--endpoint-reconciler-type={'none' if self.loopback else 'lease'}",
            f"--service-cluster-ip-range={self.service_cidr}",
            f"--cert-dir={pki}",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={pki}/service-account.key",
            f"--service-account-signing-key-file={pki}/service-account.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
            f"--kubelet-client-key={pki}/apiserver-kubelet.key",
            # Without it exec and logs look the node's name up in DNS.
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={pki}/ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={pki}/front-proxy.crt",
            f"--proxy-client-key-file={pki}/front-proxy.key",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
            "--profiling=false",
        ]

    def _controllers(self) -> list[str]:
        pki = self.pki
        return [
            f"--kubeconfig={self.component('kube-controller-manager')}",
            # So that admission policies see the accounts that a real cluster's controllers have.
            "--use-service-account-credentials",
            f"--service-account-private-key-file={pki}/service-account.key",
            f"--root-ca-file={pki}/ca.crt",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            # There is one, and a busy machine must not make it lose an election against itself.
            "--leader-elect=false",
            "--secure-port=0",
            # The default of 20 requests a second makes the first start wait four seconds for its own accounts.
            "--kube-api-qps=300",
            "--kube-api-burst=600",
        ]

    def _scheduler(self) -> list[str]:
        return [
            f"--kubeconfig={self.component('kube-scheduler')}",
            "--leader-elect=false",
            "--secure-port=0",
        ]


def why(control: Control, *, lines: int = 5) -> str:
    """Return the last lines of the programs that are not as they should be, for an error message."""
    parts = []
    for program in control.list():
        if program.wanted and (not program.running or program.restarts):
            text = Path(program.log).read_text(errors="replace").strip().splitlines()[-lines:]
            parts.append(f"{program.name} ended with {program.exit_code}:\n  " + "\n  ".join(text))
    return "\n".join(parts) or "all programs run; see `python -m testbed logs`"


def check(deadline: float, control: Control, what: str) -> None:
    """Pause a moment, or raise TestbedError with the cause once the deadline (monotonic, in seconds) has passed."""
    if time.monotonic() > deadline:
        raise TestbedError(f"{what} is not ready after {READY_WITHIN_SECONDS:.0f} s: {why(control)}")
    time.sleep(0.05)


def wait_for_port(address: str, control: Control, what: str) -> None:
    """Wait until something accepts connections at HOST:PORT."""
    host, port = address.rsplit(":", 1)
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            check(deadline, control, what)
        else:
            return
