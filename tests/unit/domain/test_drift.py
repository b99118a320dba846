"""A running pod against what was approved, and what is said of it."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from builders import ENGINE_IMAGE, SETTINGS, deployment, model, revision, spec
from holdfast.api.model import Model
from holdfast.api.reasons import Reason
from holdfast.api.revision import Platform, Recorded
from holdfast.domain.drift import differing, drifts, read, shape, told
from holdfast.domain.snapshot import EngineView, PodView, Snapshot
from holdfast.render.deployment import engine_objects

DIGEST = ENGINE_IMAGE.rpartition("@")[2]
OTHER = f"sha256:{'f' * 64}"
DECLARED = Model.parse(model("a"))


def template() -> dict[str, Any]:
    found: dict[str, Any] = engine_objects(deployment(spec("a")), revision(DECLARED, 1), 1)[-1]["spec"]["template"]["spec"]
    return copy.deepcopy(found)


def part(pod: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in (*pod["initContainers"], *pod["containers"]) if each["name"] == name)
    return found


def change(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda pod: part(pod, "engine").update(values)


def injected(*volumes: str) -> Callable[[dict[str, Any]], None]:
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in volumes]
    return lambda pod: pod["containers"].append({"name": "mesh", "image": "mesh", "volumeMounts": mounts})


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "another image": (change(image="registry.example/engine:latest"), "spec.containers[engine].image"),
    "another command": (change(command=["sh"]), "spec.containers[engine].command"),
    "one more argument": (change(args=["--other"]), "spec.containers[engine].args"),
    "a preloaded library": (change(env=[{"name": "LD_PRELOAD", "value": "/tmp/x"}]), "spec.containers[engine].env"),
    "variables from elsewhere": (change(envFrom=[{"secretRef": {"name": "x"}}]), "spec.containers[engine].envFrom"),
    "another mount": (change(volumeMounts=[]), "spec.containers[engine].volumeMounts"),
    "other rights": (change(securityContext={"privileged": True}), "spec.containers[engine].securityContext"),
    "another sidecar": (lambda pod: part(pod, "identity").update(image="x"), "spec.initContainers[identity].image"),
    "no sidecar": (lambda pod: pod["initContainers"].pop(), "spec.initContainers[identity].args"),
    "other arguments of the verifier": (lambda pod: part(pod, "weights").update(args=[]), "spec.initContainers[weights].args"),
    "another volume": (lambda pod: pod["volumes"][0].update(configMap={"name": "other"}), "spec.volumes[revision]"),
    "shared processes": (lambda pod: pod.update(shareProcessNamespace=True), "spec.shareProcessNamespace"),
    "a container for debugging": (lambda pod: pod.update(ephemeralContainers=[{"name": "d"}]), "spec.ephemeralContainers"),
    "a container that has the weights": (injected("weights"), "spec.containers[mesh].volumeMounts"),
}


@pytest.mark.parametrize(("edit", "field"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_found_by_its_field(edit: Callable[[dict[str, Any]], None], field: str) -> None:
    pod = template()
    edit(pod)
    assert differing(shape(pod), shape(template())) == field


@pytest.mark.parametrize(
    "edit",
    [
        lambda pod: pod.update(nodeName="node-1", priority=0, tolerations=[{"key": "x"}]),
        lambda pod: pod.update(imagePullSecrets=[{"name": "x"}]),
        lambda pod: pod["volumes"].append({"name": "mesh", "emptyDir": {}}),
        change(resources={"limits": {"cpu": "1"}}),
        injected("mesh"),
        injected(),
    ],
    ids=["placed", "pull secret", "further volume", "resources", "mesh with a volume of its own", "agent"],
)
def test_what_nodes_and_meshes_add_is_fine(edit: Callable[[dict[str, Any]], None]) -> None:
    pod = template()
    edit(pod)
    assert differing(shape(pod), shape(template())) is None


def snapshot(pod: PodView, *, settled: bool = True, platforms: list[Platform] | None = None) -> Snapshot:
    view = revision(DECLARED, 1)
    if platforms is not None:
        found = view.spec.model_copy(update={"recorded": Recorded(image_platforms=platforms)})
        view = type(view)(meta=view.meta, spec=found, status=view.status)
    engine = EngineView(revision=1, replicas=1, ready_replicas=1, shape=shape(template()), settled=settled)
    return Snapshot(deployment=deployment(spec("a")), settings=SETTINGS, revisions=(view,), engines=(engine,), pods=(pod,))


def pod(**fields: Any) -> PodView:
    return replace(PodView(name="pod-1", uid="u", revision=1, ready=True, shape=shape(template())), **fields)


def preloaded() -> PodView:
    changed = template()
    CHANGES["a preloaded library"][0](changed)
    return pod(shape=shape(changed))


def test_an_approved_pod_is_no_drift() -> None:
    assert drifts(snapshot(pod(image_id=ENGINE_IMAGE))) == ()
    assert told(snapshot(pod(image_id=ENGINE_IMAGE))) is None


def test_a_changed_pod_is_drift_once_all_pods_are_of_one_template() -> None:
    (found,) = drifts(snapshot(preloaded()))
    assert (found.pod, found.reason) == ("pod-1", Reason.POD_DRIFTED)
    assert found.message == "spec.containers[engine].env is not what was rendered for revision 1"
    assert drifts(snapshot(preloaded(), settled=False)) == ()


def test_the_nodes_image_may_be_the_index_or_one_of_its_platforms() -> None:
    platforms = [Platform(platform="linux/amd64", digest=OTHER)]
    assert drifts(snapshot(pod(image_id=f"registry.example/engine@{OTHER}"), platforms=platforms)) == ()
    assert drifts(snapshot(pod(image_id=f"registry.example/engine@{DIGEST}"), platforms=platforms)) == ()
    (found,) = drifts(snapshot(pod(image_id=f"registry.example/engine@sha256:{'0' * 64}"), platforms=platforms))
    assert found.message.startswith(f"status.containerStatuses[engine].imageID: expected {DIGEST}, the node runs sha256:000")


@pytest.mark.parametrize("image_id", [None, "", f"sha256:{'0' * 64}", f"docker://sha256:{'0' * 64}"])
def test_an_image_that_the_node_names_by_its_configuration_says_nothing(image_id: str | None) -> None:
    platforms = [Platform(platform="linux/amd64", digest=OTHER)]
    assert drifts(snapshot(pod(image_id=image_id), platforms=platforms)) == ()


def test_what_the_sidecar_found_is_drift_at_once() -> None:
    seen = snapshot(pod(mismatch="servedName: expected …"), settled=False)
    (found,) = drifts(seen)
    assert found.text == "EngineMismatch: servedName: expected …"
    assert told(seen) == (Reason.ENGINE_MISMATCH, "pod pod-1: servedName: expected …")


def test_a_pod_is_taken_out_once_and_told_of_for_as_long_as_it_is_there() -> None:
    seen = snapshot(pod(quarantine="PodDrifted: spec.containers[engine].env is other", mismatch="x"))
    assert drifts(seen) == ()
    expected = "pod pod-1 is out of traffic until it is replaced: spec.containers[engine].env is other"
    assert told(seen) == (Reason.POD_DRIFTED, expected)


def test_a_pod_that_is_leaving_is_nobodys_concern() -> None:
    seen = snapshot(pod(deleting=True, quarantine="PodDrifted: x", mismatch="x"))
    assert (drifts(seen), told(seen)) == ((), None)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("EngineMismatch: version", (Reason.ENGINE_MISMATCH, "version")),
        ("PodDrifted: a: b", (Reason.POD_DRIFTED, "a: b")),
        ("looks odd: ask ned", (Reason.POD_DRIFTED, "looks odd: ask ned")),
        ("Serving: x", (Reason.POD_DRIFTED, "Serving: x")),
        ("EngineMismatch: ", (Reason.POD_DRIFTED, "EngineMismatch: ")),
    ],
)
def test_what_a_person_wrote_is_told_too(annotation: str, expected: tuple[Reason, str]) -> None:
    assert read(annotation) == expected


def test_other_bytes_are_told_as_such() -> None:
    seen = snapshot(pod(mismatch="model: tiny.gguf: found other bytes", mismatch_reason=Reason.WEIGHTS_MISMATCH))
    (found,) = drifts(seen)
    assert found.reason is Reason.WEIGHTS_MISMATCH
    assert told(seen) == (Reason.WEIGHTS_MISMATCH, "pod pod-1: model: tiny.gguf: found other bytes")
    marked = snapshot(pod(quarantine=found.text))
    assert told(marked) == (
        Reason.WEIGHTS_MISMATCH,
        "pod pod-1 is out of traffic until it is replaced: model: tiny.gguf: found other bytes",
    )
