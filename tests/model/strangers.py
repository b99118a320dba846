"""People who may edit the namespace and have no business with the operator's children."""

from builders import NAME, NAMESPACE
from holdfast.api import names
from holdfast.api.names import Key
from holdfast.cluster.kinds import CONFIG_MAP, Kind
from holdfast.cluster.port import Manifest
from model.fake_cluster import FakeCluster


def mark(live: Manifest) -> None:
    """Annotate an object, as many tools do."""
    live["metadata"].setdefault("annotations", {})["example.com/team"] = "blue"


def spoil(live: Manifest) -> None:
    """Change what an object does."""
    if "data" in live:
        live["data"] = {"spoilt": "yes"}
    elif "template" in live["spec"]:
        live["spec"]["template"]["spec"].setdefault("containers", [{}])[0]["image"] = "registry.example/other:latest"
    else:
        live["spec"]["externalIPs"] = ["10.9.8.7"]


def squat(cluster: FakeCluster, kind: Kind, number: int) -> None:
    """Create an object where a child of a revision belongs, if none is there."""
    name = names.revision_config_name(NAME, number) if kind is CONFIG_MAP else names.revision_name(NAME, number)
    if Key(NAMESPACE, name) not in cluster.view(kind):
        spec = {"replicas": 0, "template": {"metadata": {"labels": {}}, "spec": {}}}
        cluster.put(kind, {"metadata": {"namespace": NAMESPACE, "name": name}, "spec": spec})
