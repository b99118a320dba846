"""Whether running pods are what was approved: their shape, their image, and what the engine says about itself.

A pod is compared with the template that its Deployment has, which the operator itself holds to what is rendered. Only pods of the
current template can be: while a change of ``spec.serving`` replaces pods one by one, those of the template before are not.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from holdfast.api.reasons import Reason
from holdfast.api.revision import ModelRevisionSpec
from holdfast.domain.snapshot import EngineView, PodView, Shape, Snapshot

_PARTS: Final = ("image", "command", "args", "env", "envFrom", "volumeMounts", "securityContext", "lifecycle")
"""Fields of a container that decide what runs in it. An admission webhook can change each of them."""
_OF_POD: Final = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "securityContext", "ephemeralContainers")
_USES: Final = ".uses"
REASONS: Final = (Reason.ENGINE_MISMATCH, Reason.POD_DRIFTED, Reason.WEIGHTS_MISMATCH)
"""Of the condition `Pinned` while something is not what was approved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A pod that is not what was approved. `message` names the field."""

    pod: str
    uid: str
    reason: Reason
    message: str

    @property
    def text(self) -> str:
        """Return the value of the annotation that takes the pod out of traffic."""
        return f"{self.reason}: {self.message}"


def shape(spec: Mapping[str, Any]) -> Shape:
    """Return what is compared of a pod's spec, or of that in a template: the fields, each with a digest of its value."""
    kept: dict[str, Any] = {name: spec[name] for name in _OF_POD if spec.get(name)}
    for group in ("initContainers", "containers"):
        kept[group] = [
            {name: each[name] for name in ("name", *_PARTS) if each.get(name)} for each in spec.get(group) or [] if each
        ]
    kept["volumes"] = spec.get("volumes") or []
    return _shape(json.dumps(kept, sort_keys=True))


@lru_cache(maxsize=4096)
def _shape(text: str) -> Shape:
    """Return the shape of a spec; the pods of one template share it."""
    spec: dict[str, Any] = json.loads(text)
    found = {f"spec.{name}": _digest(spec[name]) for name in _OF_POD if name in spec}
    for group in ("initContainers", "containers"):
        for container in spec[group]:
            place = f"spec.{group}[{container.get('name')}]"
            for part in _PARTS:
                found[f"{place}.{part}"] = _digest(container.get(part))
            found[f"{place}{_USES}"] = ",".join(sorted({str(each.get("name")) for each in container.get("volumeMounts") or []}))
    for volume in spec["volumes"]:
        found[f"spec.volumes[{volume.get('name')}]"] = _digest(volume)
    return tuple(sorted(found.items()))


def differing(pod: Shape, template: Shape) -> str | None:
    """Return the first field in which a pod is not as its template, or None.

    A further container is fine, as meshes and agents of a node add them, unless it has a volume of the template's containers.
    """
    found, wanted = dict(pod), dict(template)
    containers = {field.removesuffix(_USES) for field in wanted if field.endswith(_USES)}
    volumes = {name for field, names in wanted.items() if field.endswith(_USES) for name in names.split(",") if name}
    for field, value in sorted(wanted.items()):
        if not field.endswith(_USES) and found.get(field) != value:
            return field
    for field, value in sorted(found.items()):
        if field.endswith(_USES):
            place = field.removesuffix(_USES)
            if place not in containers and volumes & set(value.split(",")):
                return f"{place}.volumeMounts"
        elif field not in wanted and field.removeprefix("spec.") in _OF_POD:
            return field
    return None


def drifts(snapshot: Snapshot) -> tuple[Drift, ...]:
    """Return the pods that are not what was approved and still have traffic, or could get it."""
    return tuple(
        Drift(pod=pod.name, uid=pod.uid, reason=reason, message=message)
        for pod, reason, message in _found(snapshot)
        if pod.quarantine is None
    )


def told(snapshot: Snapshot) -> tuple[Reason, str] | None:
    """Return the reason and the words for the condition, of the first pod that is not what was approved.

    What the shape of a pod says counts once the pod was looked at past every watch; the annotation is the record of that.
    """
    for pod in sorted(snapshot.pods, key=lambda pod: pod.name):
        if pod.deleting:
            continue
        if pod.quarantine is not None:
            reason, message = read(pod.quarantine)
            return reason, f"pod {pod.name} is out of traffic until it is replaced: {message}"
        if pod.mismatch is not None:
            return pod.mismatch_reason, f"pod {pod.name}: {pod.mismatch}"
    return None


def read(annotation: str) -> tuple[Reason, str]:
    """Read what `Drift.text` wrote, or a person."""
    head, _, message = annotation.partition(": ")
    return (Reason(head), message) if message and head in REASONS else (Reason.POD_DRIFTED, annotation)


def _found(snapshot: Snapshot) -> Iterator[tuple[PodView, Reason, str]]:
    revisions = {view.spec.number: view.spec for view in snapshot.revisions}
    engines = {engine.revision: engine for engine in snapshot.engines}
    for pod in snapshot.pods:
        revision = revisions.get(pod.revision)
        if pod.deleting or revision is None:
            continue
        if pod.mismatch is not None:
            yield pod, pod.mismatch_reason, pod.mismatch
            continue
        message = _image(pod, revision) or _template(pod, engines.get(pod.revision))
        if message is not None:
            yield pod, Reason.POD_DRIFTED, message


def _image(pod: PodView, revision: ModelRevisionSpec) -> str | None:
    """Compare the image that the node runs. It reports the digest of the index or of the platform, or one that says neither."""
    _, at, digest = (pod.image_id or "").rpartition("@")
    wanted = revision.model.engine.image.rpartition("@")[2]
    platforms = (revision.recorded.image_platforms or []) if revision.recorded is not None else []
    known = {wanted, *(platform.digest for platform in platforms)}
    if not at or digest in known or not platforms:
        return None
    return f"status.containerStatuses[engine].imageID: expected {wanted}, the node runs {digest[:80]}"


def _template(pod: PodView, engine: EngineView | None) -> str | None:
    if engine is None or engine.shape is None or not engine.settled or pod.shape is None:
        return None
    field = differing(pod.shape, engine.shape)
    return None if field is None else f"{field} is not what was rendered for revision {pod.revision}"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
