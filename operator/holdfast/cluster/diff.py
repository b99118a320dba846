"""Whole-object comparison: what differs between a child as it should be and as it is.

Comparing only the fields that we set would miss what somebody else added: an environment variable, a second container, an
`externalIPs` on a Service. So a live object may hold more than the desired one only where `holdfast.cluster.server_defaults` knows
that the API server itself fills the field in, and lists must have the same length.
"""

import re
from decimal import Decimal
from typing import Any, Final

from holdfast.api.names import GROUP
from holdfast.cluster import kinds
from holdfast.cluster.kinds import Kind
from holdfast.cluster.port import Manifest
from holdfast.cluster.server_defaults import ANY, tolerated

_UNITS: Final = {
    "": Decimal(1), "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15), "E": Decimal(10**18),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip
_QUANTITY: Final = re.compile(r"^([+-]?[0-9.]+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")
_QUANTITIES: Final = frozenset({"requests", "limits", "capacity"})
_SERVER_METADATA: Final = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",  # they can hold up a deletion and nothing else
        "generation",
        "managedFields",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)

_CHOSEN_FOR_PODS: Final = frozenset(
    {
        "affinity",
        "imagePullSecrets",  # of the service account
        "nodeName",
        "nodeSelector",
        "overhead",
        "preemptionPolicy",
        "priority",
        "priorityClassName",
        "resources",
        "schedulerName",
        "serviceAccount",
        "serviceAccountName",
        "tolerations",
        "topologySpreadConstraints",
    }
)
"""Fields of a pod's spec that others than its template have a say in, and that do not change what it answers."""


def first_difference(kind: Kind, desired: Manifest, live: Manifest) -> str | None:
    """Return the first difference as text, such as ``spec.replicas: 3 instead of 2``; None if the object is as it should be."""
    return _Comparison(kind).compare(desired, live, ())


def pod_difference(template: Manifest, pod: Manifest) -> str | None:
    """Return the first difference between a pod and the template (``spec.template`` of a Deployment) that it must be made of.

    Where a pod runs, how urgent it is, and how much it may take are no part of it: the scheduler, admission and a resize choose
    them. Everything else is: a further container, an ephemeral one, a volume, an argument, another image.
    """
    path = ("spec", "template", "spec")
    found = _Comparison(kinds.DEPLOYMENT).compare(_essence(template["spec"]), _essence(pod["spec"]), path)
    return found.replace(".".join(path), "spec", 1) if found is not None else None


def _essence(spec: Manifest) -> Manifest:
    kept = {name: value for name, value in spec.items() if name not in _CHOSEN_FOR_PODS}
    for name in ("initContainers", "containers"):
        if name in kept:
            kept[name] = [{field: value for field, value in each.items() if field != "resources"} for each in kept[name]]
    return kept


def repaired(kind: Kind, desired: Manifest, live: Manifest) -> Manifest:
    """Return the object to replace `live` with: the desired one with what the API server filled in, and nothing else."""
    whole: Manifest = _Comparison(kind).repair(desired, live, ())
    metadata = whole["metadata"]
    for field in ("uid", "resourceVersion", "finalizers"):
        if field in live["metadata"]:
            metadata[field] = live["metadata"][field]
    return whole


def _path(path: tuple[str, ...]) -> str:
    return ".".join(path) or "object"


class _Comparison:
    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def compare(self, desired: object, live: object, path: tuple[str, ...]) -> str | None:
        if isinstance(desired, dict) and isinstance(live, dict):
            return self._compare_mappings(desired, live, path)
        if isinstance(desired, list) and isinstance(live, list):
            if len(desired) != len(live):
                return f"{_path(path)}: {len(live)} items instead of {len(desired)}"
            pairs = enumerate(zip(desired, live, strict=True))
            return next((found for i, (want, have) in pairs if (found := self.compare(want, have, (*path, str(i))))), None)
        if _same(desired, live, path):
            return None
        return f"{_path(path)}: {_brief(live)} instead of {_brief(desired)}"

    def _compare_mappings(self, desired: Manifest, live: Manifest, path: tuple[str, ...]) -> str | None:
        for name, want in desired.items():
            if name not in live:
                if _empty(want):
                    continue
                return f"{_path((*path, name))}: missing"
            found = self.compare(want, live[name], (*path, name))
            if found is not None:
                return found
        for name, have in live.items():
            if name not in desired and not self._allowed(name, have, desired, path):
                return f"{_path((*path, name))}: {_brief(have)}, which Holdfast did not set"
        return None

    def _allowed(self, name: str, have: object, desired: Manifest, path: tuple[str, ...]) -> bool:
        """Whether a field that is not desired may stand."""
        if path == () and name in ("status", "apiVersion", "kind"):
            return True
        if path == ("metadata",) and name in _SERVER_METADATA:
            return True
        if path in (("metadata", "labels"), ("metadata", "annotations")):
            return name.split("/")[0] != GROUP  # people and tools may mark objects, but not with our marks
        if have == {} and len(path) > 1 and path[-2] == "volumes":
            return False  # emptyDir: {} is a kind of volume, and there can be one only
        if have is None or have in ("", [], {}):
            return True
        default = tolerated(self._kind, path, name, desired)
        if default is ANY or (default is not None and _same(default, have, (*path, name))):
            return True
        return isinstance(have, dict) and all(self._allowed(key, item, {}, (*path, name)) for key, item in have.items())

    def repair(self, desired: Any, live: Any, path: tuple[str, ...]) -> Any:
        if isinstance(desired, dict) and isinstance(live, dict):
            kept = {name: have for name, have in live.items() if name not in desired and self._allowed(name, have, desired, path)}
            if path == ():
                kept.pop("status", None)
            if path == ("metadata",):
                kept = {name: have for name, have in kept.items() if name not in _SERVER_METADATA}
            return kept | {name: self.repair(want, live.get(name), (*path, name)) for name, want in desired.items()}
        if isinstance(desired, list) and isinstance(live, list) and len(desired) == len(live):
            return [self.repair(want, have, (*path, str(i))) for i, (want, have) in enumerate(zip(desired, live, strict=True))]
        return desired


def _same(want: object, have: object, path: tuple[str, ...]) -> bool:
    if want == have and isinstance(want, bool) == isinstance(have, bool):
        return True
    if _empty(want) and _empty(have):
        return True
    if (len(path) > 1 and path[-2] in _QUANTITIES) or (path and path[-1] == "sizeLimit"):
        left, right = _quantity(want), _quantity(have)
        return left is not None and left == right
    return False


def _quantity(value: object) -> Decimal | None:
    """Read a quantity; the API server stores it in a canonical form, such as 500m for 0.5."""
    matched = _QUANTITY.match(str(value))
    return Decimal(matched[1]) * _UNITS[matched[2] or ""] if matched else None


def _empty(value: object) -> bool:
    """Whether the API server leaves the value out (Go's omitempty)."""
    return value is None or value is False or value in ("", [], {}) or value == 0


def _brief(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:79] + "…"
