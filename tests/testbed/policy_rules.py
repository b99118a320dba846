"""NetworkPolicies as nft rules: a pure function from what the cluster says to the text of one table.

The meaning of every field is that of networking.k8s.io/v1 (https://kubernetes.io/docs/concepts/services-networking/network-policies/).
A policy with a field that is not known here isolates its pods and allows them nothing, and is reported.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

TABLE = "holdfast-policies"

Labels = Mapping[str, str]


class UnknownFieldError(ValueError):
    """A policy says something that is not known here."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pod:
    """A pod with an address of its own; `ports` maps (protocol, name) of its containers' ports to numbers."""

    namespace: str
    name: str
    address: str
    labels: Labels
    ports: Mapping[tuple[str, str], int]


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """A policy that was not understood, and why."""

    namespace: str
    name: str
    reason: str


def ruleset(
    pods: Sequence[Pod], namespaces: Mapping[str, Labels], policies: Iterable[Mapping[str, Any]]
) -> tuple[str, list[Problem]]:
    """Return the nft script that replaces the whole table in one transaction, and what was not understood."""
    world = _World(pods, namespaces)
    chains: dict[tuple[str, str], list[str]] = {}
    problems = []
    for policy in policies:
        metadata, spec = policy["metadata"], policy["spec"]
        try:
            _check_spec(spec)
            selected, directions = world.selected(metadata["namespace"], spec), _directions(spec)
            rules = {way: world.rules(metadata["namespace"], spec, way, selected) for way in directions}
        except UnknownFieldError as error:
            problems.append(Problem(metadata["namespace"], metadata["name"], str(error)))
            selected = [pod for pod in pods if pod.namespace == metadata["namespace"]]
            rules = {way: {pod.address: [] for pod in selected} for way in ("ingress", "egress")}
        for way, by_pod in rules.items():
            for address, lines in by_pod.items():
                chains.setdefault((way, address), []).extend(lines)
    return _table(chains), problems


def _table(chains: Mapping[tuple[str, str], Sequence[str]]) -> str:
    lines = [f"add table ip {TABLE}", f"delete table ip {TABLE}", f"table ip {TABLE} {{"]
    for (way, address), rules in sorted(chains.items()):
        lines.append(f"  chain {_chain(way, address)} {{")
        lines.append(f"    ip saddr {address} ip daddr {address} return")
        lines += [f"    {rule} return" for rule in rules]
        lines += ["    counter drop", "  }"]
    out, into = _jumps("ip saddr", "egress", chains), _jumps("ip daddr", "ingress", chains)
    # Bridged packets pass the forward hook too (bridge-nf-call-iptables); those to the node itself pass input.
    lines += _base("forward", [*out, *into]) + _base("input", out) + ["}", ""]
    return "\n".join(lines)


def _base(hook: str, jumps: Sequence[str]) -> list[str]:
    opening = f"  chain {hook} {{ type filter hook {hook} priority filter; policy accept;"
    return [opening, "    ct state established,related accept", *jumps, "  }"]


def _jumps(field: str, way: str, chains: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
    targets = [f"{address} : jump {_chain(way, address)}" for way_, address in sorted(chains) if way_ == way]
    return [f"    {field} vmap {{ {', '.join(targets)} }}"] if targets else []


def _chain(way: str, address: str) -> str:
    return f"{way}-{address.replace('.', '-')}"


def _check_spec(spec: Mapping[str, Any]) -> None:
    _known(spec, {"podSelector", "policyTypes", "ingress", "egress"})
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for rule in spec.get(way) or []:
            _known(rule, {peers, "ports"})
            for peer in rule.get(peers) or []:
                _known(peer, {"podSelector", "namespaceSelector", "ipBlock"})
                _known(peer.get("ipBlock") or {}, {"cidr", "except"})
                if ":" in (peer.get("ipBlock") or {}).get("cidr", ""):
                    raise UnknownFieldError("IPv6 addresses do not exist in the bed")
            for port in rule.get("ports") or []:
                _known(port, {"protocol", "port", "endPort"})
    for way in _directions(spec):
        if way not in ("ingress", "egress"):
            raise UnknownFieldError(f"policy type {way!r}")


def _known(part: Mapping[str, Any], fields: set[str]) -> None:
    if more := sorted(set(part) - fields):
        raise UnknownFieldError(f"field {', '.join(more)}")


def _directions(spec: Mapping[str, Any]) -> list[str]:
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    return [str(name).lower() for name in types]


def matches(selector: Mapping[str, Any], labels: Labels) -> bool:
    """Whether a label selector of the API selects these labels; raises UnknownFieldError for an operator that it does not have."""
    _known(selector, {"matchLabels", "matchExpressions"})
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(expression, labels) for expression in selector.get("matchExpressions") or [])


def _expression(expression: Mapping[str, Any], labels: Labels) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case other:
            raise UnknownFieldError(f"operator {other!r}")


class _World:
    """What selectors are evaluated against."""

    def __init__(self, pods: Sequence[Pod], namespaces: Mapping[str, Labels]) -> None:
        self._pods = pods
        self._namespaces = namespaces

    def selected(self, namespace: str, spec: Mapping[str, Any]) -> list[Pod]:
        selector = spec.get("podSelector") or {}
        return [pod for pod in self._pods if pod.namespace == namespace and matches(selector, pod.labels)]

    def rules(self, namespace: str, spec: Mapping[str, Any], way: str, selected: Sequence[Pod]) -> dict[str, list[str]]:
        """Return what each selected pod (by address) is allowed in one direction, as nft matches."""
        allowed: dict[str, list[str]] = {pod.address: [] for pod in selected}
        for rule in spec.get(way) or []:
            peers, ports = rule.get("from" if way == "ingress" else "to"), rule.get("ports")
            for pod in selected:
                if way == "ingress":
                    allowed[pod.address] += self._ingress(namespace, pod, peers, ports)
                else:
                    allowed[pod.address] += self._egress(namespace, peers, ports)
        return allowed

    def _ingress(self, namespace: str, pod: Pod, peers: Sequence[Any] | None, ports: Sequence[Any] | None) -> Iterator[str]:
        for address in self._addresses(namespace, peers, "saddr"):
            for port in _ports(ports, pod.ports):
                yield f"{address} {port}".strip()

    def _egress(self, namespace: str, peers: Sequence[Any] | None, ports: Sequence[Any] | None) -> Iterator[str]:
        numbered = None if not ports else [port for port in ports if not isinstance(port.get("port"), str)]
        if numbered is None or numbered:
            for address in self._addresses(namespace, peers, "daddr"):
                for port in _ports(numbered, {}):
                    yield f"{address} {port}".strip()
        named = [port for port in ports or [] if isinstance(port.get("port"), str)]
        for pod in self._peers(namespace, peers) if named else []:
            for port in _ports(named, pod.ports):
                yield f"ip daddr {pod.address} {port}"

    def _addresses(self, namespace: str, peers: Sequence[Any] | None, field: str) -> Iterator[str]:
        """Yield matches of the peers' addresses; one that matches all if the rule names no peers."""
        if not peers:
            yield ""
            return
        if pods := sorted({pod.address for pod in self._peers(namespace, peers)}):
            yield f"ip {field} {{ {', '.join(pods)} }}"
        for block in (peer["ipBlock"] for peer in peers if peer.get("ipBlock")):
            but = f" ip {field} != {{ {', '.join(block['except'])} }}" if block.get("except") else ""
            yield f"ip {field} {block['cidr']}{but}"

    def _peers(self, namespace: str, peers: Sequence[Any] | None) -> list[Pod]:
        """Return the pods that a rule's peers select; all pods if it names no peers."""
        if not peers:
            return list(self._pods)
        selectors = [peer for peer in peers if not peer.get("ipBlock")]
        return [pod for pod in self._pods if any(self._is_peer(namespace, peer, pod) for peer in selectors)]

    def _is_peer(self, namespace: str, peer: Mapping[str, Any], pod: Pod) -> bool:
        wanted = peer.get("namespaceSelector")
        home = pod.namespace == namespace
        near = home if wanted is None else matches(wanted, self._namespaces.get(pod.namespace, {}))
        return near and matches(peer.get("podSelector") or {}, pod.labels)


def _ports(ports: Sequence[Mapping[str, Any]] | None, names: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """Yield matches of destination ports; one that matches all if the rule names no ports."""
    if not ports:
        yield ""
        return
    for entry in ports:
        protocol, port = entry.get("protocol", "TCP"), entry.get("port")
        if isinstance(port, str):
            port = names.get((protocol, port))
            if port is None:
                continue
        if port is None:
            yield f"meta l4proto {protocol.lower()}"
        else:
            yield (
                f"{protocol.lower()} dport {port}-{entry['endPort']}"
                if entry.get("endPort")
                else (f"{protocol.lower()} dport {port}")
            )
