"""A bed's own network: a namespace, one veth pair to the host, and a private block of addresses.

A bed with a node gets 10.BLOCK.0.0/16. The namespace has no default route and the host does not forward for it, so
nothing leaves the machine; its bridge, nft and iptables rules, ports and sysctls are its own and end with it.

| addresses | what |
|---|---|
| 10.BLOCK.0.1 | the host's end of the veth pair: where pods reach programs on the host |
| 10.BLOCK.0.2 | the node: API server, kubelet, registry, DNS |
| 10.BLOCK.64.0/18 | pods |
| 10.BLOCK.128.0/17 | Services |
"""

import ipaddress
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from testbed import record
from testbed.errors import TestbedError

_BLOCKS = range(180, 250)


class Network:
    """The addresses of one bed's block."""

    def __init__(self, block: int) -> None:
        self._prefix = f"10.{block}"
        self.block = f"{self._prefix}.0.0/16"
        self.host = f"{self._prefix}.0.1"
        self.node = f"{self._prefix}.0.2"
        self.pods = f"{self._prefix}.64.0/18"
        self.services = f"{self._prefix}.128.0/17"
        self.first_service = f"{self._prefix}.128.1"
        self.dns_service = f"{self._prefix}.128.10"
        self.interface = f"holdfast{block}"

    def connect(self, pid: int) -> None:
        """Make the veth pair between the host and the namespaces of `pid`, and the routes.

        The pair and the host's route end with the namespace.
        """
        _ip("link", "add", self.interface, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        # The host talks to the bed by IPv4 only; an autoconfigured IPv6 address would be one more way in.
        Path(f"/proc/sys/net/ipv6/conf/{self.interface}/disable_ipv6").write_text("1")
        _ip("address", "add", f"{self.host}/30", "dev", self.interface)
        _ip("link", "set", self.interface, "up")
        inside = ("nsenter", "--target", str(pid), "--net", "--mount")
        for arguments in (
            ("ip", "link", "set", "lo", "up"),
            ("ip", "address", "add", f"{self.node}/30", "dev", "eth0"),
            ("ip", "link", "set", "eth0", "up"),
            # A local program's packet to a Service needs some route before kube-proxy's rules rewrite it.
            ("ip", "route", "add", self.services, "dev", "eth0"),
        ):
            _run([*inside, *arguments])
        for key, value in _SYSCTLS.items():
            _run([*inside, "sh", "-c", f"echo {value} > /proc/sys/{key.replace('.', '/')}"])
        _ip("route", "add", self.block, "via", self.node)


# Of the namespace only. Bridged packets must pass netfilter, or a pod cannot reach itself through a Service.
_SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
    "net.ipv6.conf.all.disable_ipv6": "1",
}


def free_block() -> int:
    """Find a block that neither another bed nor a route or address of the host uses; hold `record.locked(None)`."""
    taken = {entry.block for _directory, entry in record.every() if entry is not None}
    used = list(_host_networks())
    for block in _BLOCKS:
        network = ipaddress.ip_network(f"10.{block}.0.0/16")
        if block not in taken and not any(network.overlaps(other) for other in used):
            return block
    raise TestbedError("every block from 10.180.0.0/16 to 10.249.0.0/16 is in use; end beds that you no longer need")


def _host_networks() -> Iterable[ipaddress.IPv4Network]:
    for entry in json.loads(_ip("-json", "-4", "route", "show", "table", "all") or "[]"):
        if entry.get("dst", "default") != "default":
            yield ipaddress.IPv4Network(entry["dst"], strict=False)


def remove(block: int) -> None:
    """Remove the host's end of a bed's veth pair if it is still there."""
    interface = Network(block).interface
    if Path(f"/sys/class/net/{interface}").exists():
        subprocess.run(["ip", "link", "delete", interface], capture_output=True, check=False)


def _ip(*arguments: str) -> str:
    return _run(["ip", *arguments])


def _run(command: list[str]) -> str:
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise TestbedError(f"{' '.join(command)} failed: {result.stderr.strip()}")
    return result.stdout
