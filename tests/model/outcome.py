"""What came of it all: the state of the cluster without what may differ between two runs, such as times, uids and serials."""

import json
import re
from typing import Any, Final

from holdfast.api import names
from holdfast.cluster import kinds
from holdfast.cluster.port import Manifest
from model.envoys import routes_of
from model.fake_cluster import FakeCluster
from model.nodes import Nodes

_TIMES: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_GENERATION: Final = re.compile(r'"observedGeneration": \d+')
_METADATA: Final = ("name", "labels", "ownerReferences")


def outcome(cluster: FakeCluster, nodes: Nodes) -> dict[str, Any]:
    """Return the objects of ours and of our making by kind and name, and the routes in force by gateway pod."""
    owners = {found["metadata"]["uid"]: key.name for kind in kinds.WATCHED for key, found in cluster.view(kind).items()}
    found: dict[str, Any] = {
        f"{kind.kind} {key.name}": _plain(_kept(manifest), owners)
        for kind in (*kinds.OWN, *kinds.CHILDREN)
        for key, manifest in cluster.view(kind).items()
    }
    pods = [envoy for envoy in nodes.envoys.values() if not envoy.leaving]
    for number, envoy in enumerate(pods):
        found[f"gateway pod {number}"] = {name: dict(arms) for name, arms in envoy.routes().items()}
    return found


def difference(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Return what is not the same in two outcomes."""
    return {name: (left.get(name), right.get(name)) for name in {*left, *right} if left.get(name) != right.get(name)}


def _kept(manifest: Manifest) -> Manifest:
    kept = {name: value for name, value in manifest.items() if name not in ("metadata", "data")}
    kept["metadata"] = {name: manifest["metadata"][name] for name in _METADATA if name in manifest["metadata"]}
    marks = manifest["metadata"].get("annotations", {})
    kept["metadata"]["annotations"] = {name: text for name, text in marks.items() if name.startswith(names.GROUP)}
    if "data" in manifest:
        routes = manifest["metadata"]["name"] == names.GATEWAY_ROUTES
        kept["data"] = routes_of(manifest["data"]["rds.json"]) if routes else manifest["data"]
    return kept


def _plain(value: Manifest, owners: dict[str, str]) -> Any:
    """Replace uids by names, and every time and generation by the same one."""
    text = _GENERATION.sub('"observedGeneration": 1', _TIMES.sub("a time", json.dumps(value, default=dict)))
    return json.loads(re.sub(r"uid-\d+", lambda uid: f"uid of {owners.get(uid[0], 'nothing')}", text))
