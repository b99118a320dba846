"""The node: containerd, kubelet, kube-proxy and DNS in the bed's namespaces, with nothing of theirs on the host."""

import dataclasses
import json
import os
import subprocess
import time
from pathlib import Path

import yaml

from testbed import cgroups, pause, policies
from testbed.certificates import Authority
from testbed.control import Control
from testbed.control_plane import READY_WITHIN_SECONDS, ControlPlane, check, wait_for_port
from testbed.errors import TestbedError
from testbed.kubectl import Kubectl
from testbed.network import Network
from testbed.programs import FAMILIES, Programs

NAME = "testbed"

# What the kubelet would otherwise write into the host's kernel settings (pkg/kubelet/cm/container_manager_linux.go,
# setupKernelTunables). In the bed's mount namespace files with these values lie over the real ones.
_KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """The one node of a bed."""

    directory: Path
    bed: str
    network: Network
    registry: str
    control_plane: ControlPlane
    programs: Programs

    def prepare(self, control: Control, authority: Authority) -> None:
        """Make mounts, control groups, credentials and configuration; nothing is started yet."""
        self._isolate_mounts(control.pid())
        cgroups.create(self.bed)
        server = self.control_plane.server
        authority.kubeconfig(self.control_plane.component("kubelet"), server, f"system:node:{NAME}", groups=["system:nodes"])
        authority.kubeconfig(self.control_plane.component("kube-proxy"), server, "system:kube-proxy")
        authority.kubeconfig(self.control_plane.component("coredns"), server, "system:coredns")
        authority.issue("kubelet", f"system:node:{NAME}", names=[NAME, self.network.node])
        for folder in ("containerd/opt", "cni/net.d", "kubelet/plugins", f"containerd/certs.d/{self.registry}"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        hosts = self.directory / "containerd" / "certs.d" / self.registry / "hosts.toml"
        hosts.write_text(f'server = "http://{self.registry}"\n')
        (self.directory / "cni" / "net.d" / "10-testbed.conflist").write_text(json.dumps(self._cni(), indent=2))
        (self.directory / "resolv.conf").write_text(f"nameserver {self.network.node}\n")
        (self.directory / "kubelet" / "config.yaml").write_text(yaml.safe_dump(self._kubelet_configuration()))
        (self.directory / "kube-proxy.yaml").write_text(yaml.safe_dump(self._kube_proxy_configuration()))
        (self.directory / "Corefile").write_text(self._corefile())

    def start_runtime(self, control: Control) -> None:
        """Start containerd, with the image that it needs for every pod in the registry."""
        wait_for_port(self.registry, control, "the registry")
        image = pause.push(self.programs.crane, self.registry)
        configuration = self.directory / "containerd" / "config.toml"
        configuration.write_text(self._containerd_configuration(image))
        folder = FAMILIES["containerd"].folder()
        control.start("containerd", [folder / "containerd", f"--config={configuration}"], env=self._environment(folder))

    def start(self, control: Control, kubectl: Kubectl) -> None:
        """Start what needs the API server, and wait until the node is ready; raises TestbedError with the cause."""
        kubernetes = FAMILIES["kubernetes"].folder()
        environment = self._environment(kubernetes)
        kubectl.apply(self._dns_objects())
        control.start("coredns", [self.programs.path("coredns"), f"-conf={self.directory}/Corefile"])
        control.start("kube-proxy", [kubernetes / "kube-proxy", f"--config={self.directory}/kube-proxy.yaml"], env=environment)
        policies.start(control, kubectl, self.control_plane, environment)
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not (self._socket).exists():
            check(deadline, control, "containerd")
        control.start("kubelet", [kubernetes / "kubelet", *self._kubelet()], env=environment)
        ready = ("wait", "--for=condition=Ready", f"node/{NAME}", "--timeout=5s")
        while not kubectl.try_run("get", "node", NAME) or not kubectl.try_run(*ready):
            check(deadline, control, "the node")
        # The way from here to DNS by its Service leads through the route, kube-proxy's rules and CoreDNS.
        wait_for_port(f"{self.network.dns_service}:53", control, "the Service of DNS")

    @property
    def _socket(self) -> Path:
        return self.directory / "containerd" / "containerd.sock"

    def _environment(self, *folders: Path) -> dict[str, str]:
        """Put the programs' own folder first, then the system's, also where the caller's PATH has no sbin."""
        system = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        return {"PATH": os.pathsep.join([*map(str, folders), *system])}

    def _isolate_mounts(self, pid: int) -> None:
        """Lay the bed's own folders over those that Kubernetes takes for granted, in its mount namespace only."""
        own = {"/var/log": self.directory / "var-log", "/var/lib/cni": self.directory / "cni" / "state"}
        Path("/var/lib/cni").mkdir(parents=True, exist_ok=True)
        settings = self.directory / "kernel"
        script = [
            # Propagate mounts inside the bed (a kubelet needs it), none between it and the host.
            "mount --make-rprivate /",
            "mount --make-rshared /",
            "mount -t tmpfs -o mode=755 tmpfs /run",
        ]
        for target, source in own.items():
            source.mkdir(parents=True, exist_ok=True)
            script.append(f"mount --bind '{source}' {target}")
        for key, value in _KERNEL_SETTINGS.items():
            if Path("/proc/sys", key).exists():
                file = settings / key
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(value + "\n")
                script.append(f"mount --bind '{file}' /proc/sys/{key}")
        result = subprocess.run(
            ["nsenter", "--target", str(pid), "--mount", "sh", "-e", "-c", "\n".join(script)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise TestbedError(f"mounts of the bed failed: {result.stderr.strip()}")

    def _cni(self) -> dict[str, object]:
        ranges = [[{"subnet": self.network.pods}]]
        bridge = {
            "type": "bridge",
            "bridge": "pods",
            "isGateway": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": ranges,
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": str(self.directory / "cni" / "addresses"),
            },
        }
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "backend": "nftables"}
        return {"cniVersion": "1.0.0", "name": "testbed", "plugins": [bridge, portmap]}

    def _containerd_configuration(self, pause_image: str) -> str:
        home = self.directory / "containerd"
        runtime = "plugins.'io.containerd.cri.v1.runtime'"
        return f"""\
version = 4
root = '{home}/root'
state = '{home}/state'
imports = []

[plugins.'io.containerd.server.v1.grpc']
address = '{self._socket}'

[plugins.'io.containerd.server.v1.ttrpc']
address = '{self._socket}.ttrpc'

[plugins.'io.containerd.internal.v1.opt']
path = '{home}/opt'

[plugins.'io.containerd.nri.v1.nri']
disable = true

[plugins.'io.containerd.metadata.v1.bolt']
no_sync = true

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{pause_image}'

[plugins.'io.containerd.cri.v1.images'.registry]
config_path = '{home}/certs.d'

[{runtime}]
# Virtual machines and containers often lack CAP_SYS_RESOURCE, and every pod would fail on its oom_score_adj.
restrict_oom_score_adj = true

[{runtime}.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'

[{runtime}.containerd.runtimes.runc.options]
BinaryName = '{FAMILIES["runc"].folder()}/runc'
SystemdCgroup = false

[{runtime}.cni]
bin_dirs = ['{FAMILIES["cni"].folder()}']
conf_dir = '{self.directory}/cni/net.d'
"""

    def _kubelet_configuration(self) -> dict[str, object]:
        pki = self.control_plane.pki
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.network.node,
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(pki / "kubelet.crt"),
            "tlsPrivateKeyFile": str(pki / "kubelet.key"),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cgroups.name(self.bed),
            "enforceNodeAllocatable": [],
            # The default refuses machines with version 1 of control groups.
            "failCgroupV1": False,
            "failSwapOn": False,
            # The disk under a bed is often one that cAdvisor cannot describe.
            "localStorageCapacityIsolation": False,
            "evictionHard": {"memory.available": "100Mi"},
            "clusterDNS": [self.network.dns_service],
            "clusterDomain": "cluster.local",
            "resolvConf": str(self.directory / "resolv.conf"),
            "volumePluginDir": str(self.directory / "kubelet" / "plugins"),
            "serializeImagePulls": False,
            # A container that failed is started again soon: here somebody waits for it, and the machine bears it (KEP-4603).
            "crashLoopBackOff": {"maxContainerRestartPeriod": "3s"},
            "maxPods": 250,
            "logging": {"verbosity": 1},
        }

    def _kubelet(self) -> list[str]:
        return [
            f"--config={self.directory}/kubelet/config.yaml",
            f"--kubeconfig={self.control_plane.component('kubelet')}",
            f"--root-dir={self.directory}/kubelet",
            f"--cert-dir={self.directory}/kubelet/pki",
            f"--hostname-override={NAME}",
            f"--node-ip={self.network.node}",
        ]

    def _kube_proxy_configuration(self) -> dict[str, object]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self.control_plane.component("kube-proxy"))},
            "mode": "nftables",
            "hostnameOverride": NAME,
            "clusterCIDR": self.network.pods,
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            # One node has few Services: tell of a ready pod at once rather than after a second.
            "nftables": {"minSyncPeriod": "50ms"},
            # Settings of the whole machine: leave them as they are.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }

    def _corefile(self) -> str:
        kubeconfig = self.control_plane.component("coredns")
        return f"""\
cluster.local in-addr.arpa {{
    bind {self.network.node}
    errors
    kubernetes {{
        kubeconfig {kubeconfig} testbed
        pods insecure
    }}
}}
# Nothing leaves the machine, so no other name exists.
. {{
    bind {self.network.node}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""

    def _dns_objects(self) -> list[dict[str, object]]:
        namespace = "kube-system"
        ports = [
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        ]
        rules = [
            {
                "apiGroups": [""],
                "resources": ["endpoints", "services", "pods", "namespaces"],
                "verbs": ["list", "watch"],
            },
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ]
        return [
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": "testbed:coredns"},
                "rules": rules,
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "testbed:coredns"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "testbed:coredns",
                },
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:coredns"}],
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "kube-dns", "namespace": namespace, "labels": {"k8s-app": "kube-dns"}},
                "spec": {"clusterIP": self.network.dns_service, "ports": ports},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": "kube-dns",
                    "namespace": namespace,
                    "labels": {"kubernetes.io/service-name": "kube-dns"},
                },
                "addressType": "IPv4",
                "ports": ports,
                "endpoints": [{"addresses": [self.network.node], "conditions": {"ready": True}}],
            },
        ]
