"""From wire objects to records: total functions. What cannot be read becomes data that says so, never an exception."""

import json
import re
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError

from holdfast.api import names
from holdfast.api.approval import ModelApprovalSpec, ModelApprovalStatus
from holdfast.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus
from holdfast.api.names import Key
from holdfast.api.reasons import Reason
from holdfast.api.revision import ModelRevisionSpec, ModelRevisionStatus
from holdfast.cluster import kinds
from holdfast.cluster.kinds import Kind
from holdfast.cluster.port import Manifest
from holdfast.controller.records import LiveObject, PodRecord, Unreadable, Value, pack
from holdfast.domain.drift import shape
from holdfast.domain.snapshot import (
    ApprovalView,
    DeploymentView,
    EngineView,
    FetchView,
    Meta,
    PodView,
    RevisionView,
    WeightsState,
)

_WEIGHTS: Final = "weights"
"""Name of the container that fetches and verifies, and the beginning of those that verify one volume each."""
_WEIGHTS_IN: Final = {names.COMPONENT_ENGINE: "initContainerStatuses", names.COMPONENT_WEIGHTS: "containerStatuses"}
"""Where pods report it, by their component."""
_FETCH: Final = "fetch"
"""Its first argument in pods that fetch for themselves."""
_ENGINE: Final = "engine"
_IDENTITY: Final = "identity"
_MESSAGE_LENGTH: Final = 512
_WORD: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,62}[A-Za-z0-9])?")
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\uffff]+")
"""Controls, and halves of characters (surrogates), which JSON can say and a status cannot."""


def project(kind: Kind, raw: Manifest) -> Value:
    """Return what is remembered of an object of a watched kind."""
    if kind is kinds.MODEL_DEPLOYMENT:
        return _deployment(raw)
    if kind is kinds.MODEL_REVISION:
        return _revision(raw)
    if kind is kinds.MODEL_APPROVAL:
        return _approval(raw)
    if kind is kinds.POD:
        return _pod(raw)
    return _live(kind, raw)


def deployment_names(kind: Kind, raw: Manifest) -> tuple[str, ...]:
    """Return the names of the ModelDeployments that an object belongs to or speaks of: by owner, by label and by content."""
    metadata, spec = _dict(raw.get("metadata")), _dict(raw.get("spec"))
    if kind is kinds.MODEL_DEPLOYMENT:
        found: list[object] = [metadata.get("name")]
    elif kind is kinds.MODEL_REVISION:
        found = [spec.get("deployment")]
    elif kind is kinds.MODEL_APPROVAL:
        found = [_dict(spec.get("target")).get("name")]
    else:
        owner = _controller(metadata)
        found = [_dict(metadata.get("labels")).get(names.LABEL_DEPLOYMENT)]
        if owner.get("kind") == kinds.MODEL_DEPLOYMENT.kind:
            found.append(owner.get("name"))
    return tuple(sorted({name for name in found if isinstance(name, str) and name}))


def explain(error: ValidationError, root: str) -> str:
    """Say what is wrong with an object and where, for people: ``spec.model.engine.image: String should match pattern …``."""
    found = [f"{'.'.join([root, *map(str, item['loc'])])}: {item['msg']}" for item in error.errors(include_url=False)]
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    return ("; ".join(found[:3]) + more)[:_MESSAGE_LENGTH]


def _deployment(raw: Manifest) -> DeploymentView | Unreadable:
    meta = _meta(raw)
    try:
        status = ModelDeploymentStatus.parse(raw.get("status") or {})
    except ValidationError as error:
        return Unreadable(meta=meta, problem=explain(error, "status"))
    verify = _word(_dict(raw.get("metadata")))
    try:
        return DeploymentView(meta=meta, spec=ModelDeploymentSpec.parse(raw.get("spec")), status=status, verify=verify)
    except ValidationError as error:
        return DeploymentView(meta=meta, spec=None, status=status, invalid=explain(error, "spec"), verify=verify)


def _revision(raw: Manifest) -> RevisionView | Unreadable:
    meta = _meta(raw)
    try:
        spec = ModelRevisionSpec.parse(raw.get("spec"))
    except ValidationError as error:
        return Unreadable(meta=meta, problem=explain(error, "spec"))
    try:
        return RevisionView(meta=meta, spec=spec, status=ModelRevisionStatus.parse(raw.get("status") or {}))
    except ValidationError as error:
        return Unreadable(meta=meta, problem=explain(error, "status"))


def _approval(raw: Manifest) -> ApprovalView | Unreadable:
    meta = _meta(raw)
    try:
        spec = ModelApprovalSpec.parse(raw.get("spec"))
    except ValidationError as error:
        return Unreadable(meta=meta, problem=explain(error, "spec"))
    try:
        return ApprovalView(meta=meta, spec=spec, status=ModelApprovalStatus.parse(raw.get("status") or {}))
    except ValidationError as error:
        return Unreadable(meta=meta, problem=explain(error, "status"))


def _live(kind: Kind, raw: Manifest) -> LiveObject:
    metadata = _dict(raw.get("metadata"))
    labels = _dict(metadata.get("labels"))
    revision = _number(labels.get(names.LABEL_REVISION))
    component = str(labels.get(names.LABEL_COMPONENT) or "")
    engine = None
    if kind is kinds.DEPLOYMENT and component == names.COMPONENT_ENGINE and revision is not None:
        engine = _engine(raw, revision)
    fetch = _fetch(raw, revision) if kind is kinds.JOB and revision is not None else None
    return LiveObject(
        kind=kind,
        key=_key(metadata),
        uid=str(metadata.get("uid") or ""),
        resource_version=str(metadata.get("resourceVersion") or ""),
        owner_uid=_controller(metadata).get("uid"),
        component=component,
        deployment=labels.get(names.LABEL_DEPLOYMENT),
        revision=revision,
        deleting="deletionTimestamp" in metadata,
        created=_time(metadata.get("creationTimestamp")),
        engine=engine,
        fetch=fetch,
        packed=pack(raw),
    )


def _engine(raw: Manifest, revision: int) -> EngineView:
    metadata, spec, status = _dict(raw.get("metadata")), _dict(raw.get("spec")), _dict(raw.get("status"))
    current = int(status.get("observedGeneration") or 0) >= int(metadata.get("generation") or 0)
    return EngineView(
        revision=revision,
        replicas=int(spec.get("replicas", 1)),
        ready_replicas=int(status.get("readyReplicas") or 0) if current else 0,
        shape=shape(_dict(_dict(spec.get("template")).get("spec"))),
        settled=current and status.get("updatedReplicas") == status.get("replicas"),
    )


def _fetch(raw: Manifest, revision: int) -> FetchView:
    """Read how far a Job is (batch/v1 JobCondition)."""
    found = {
        condition.get("type"): condition
        for condition in _dict(raw.get("status")).get("conditions") or []
        if condition.get("status") == "True"
    }
    return FetchView(
        revision=revision,
        created=_time(_dict(raw.get("metadata")).get("creationTimestamp")),
        succeeded="Complete" in found,
        ended_at=next((_time(found[kind].get("lastTransitionTime")) for kind in ("Complete", "Failed") if kind in found), None),
    )


def _pod(raw: Manifest) -> PodRecord:
    metadata, status = _dict(raw.get("metadata")), _dict(raw.get("status"))
    labels = _dict(metadata.get("labels"))
    component = str(labels.get(names.LABEL_COMPONENT) or "")
    deleting = "deletionTimestamp" in metadata
    ready = not deleting and any(
        condition.get("type") == "Ready" and condition.get("status") == "True" for condition in status.get("conditions") or []
    )
    running = any("running" in _dict(each.get("state")) for each in status.get("containerStatuses") or [])
    ended = deleting or status.get("phase") in ("Succeeded", "Failed")
    return PodRecord(
        key=_key(metadata),
        uid=str(metadata.get("uid") or ""),
        resource_version=str(metadata.get("resourceVersion") or ""),
        component=component,
        deployment=labels.get(names.LABEL_DEPLOYMENT),
        ready=ready,
        running=running,
        starting=bool(_dict(raw.get("spec")).get("nodeName")) and not running and not ended,
        deleting=deleting,
        address=status.get("podIP"),
        config=_dict(metadata.get("annotations")).get(names.ANNOTATION_CONFIG),
        view=_pod_view(raw, ready, component) if component in _WEIGHTS_IN else None,
    )


def _pod_view(raw: Manifest, ready: bool, component: str) -> PodView | None:
    metadata, status = _dict(raw.get("metadata")), _dict(raw.get("status"))
    revision = _number(_dict(metadata.get("labels")).get(names.LABEL_REVISION))
    if revision is None:
        return None
    found_by_sidecar = _mismatch(status)
    containers = status.get(_WEIGHTS_IN[component]) or []
    reports = [_weights(each) for each in containers if str(each.get("name") or "").split("-")[0] == _WEIGHTS]
    # They run one after the other: the first that has not verified is the one at work.
    waiting = (WeightsState.WAITING, None, "") if not reports else reports[-1]
    state, reason, message = next((each for each in reports if each[0] is not WeightsState.VERIFIED), waiting)
    cache: Manifest = next((each for each in containers if each.get("name") == _WEIGHTS), {})
    return PodView(
        name=str(metadata.get("name") or ""),
        uid=str(metadata.get("uid") or ""),
        revision=revision,
        ready=ready,
        deleting="deletionTimestamp" in metadata,
        weights=state,
        weights_reason=reason,
        weights_message=message,
        verify=_word(metadata),
        way_out=names.LABEL_FETCHING in _dict(metadata.get("labels")),
        fetches=_fetches(raw),
        cache_failed_at=_failed_at(cache),
        image_id=_image_id(status),
        shape=shape(_dict(raw.get("spec"))) if component == names.COMPONENT_ENGINE else None,
        mismatch=found_by_sidecar[1] if found_by_sidecar is not None else None,
        mismatch_reason=found_by_sidecar[0] if found_by_sidecar is not None else Reason.ENGINE_MISMATCH,
        quarantine=_clean(str(_dict(metadata.get("annotations")).get(names.ANNOTATION_QUARANTINE) or "")) or None,
    )


def _fetches(raw: Manifest) -> bool:
    """Whether the pod's own container that fetches has work to do. It has none while the engine runs, whatever became of its status."""
    spec, status = _dict(raw.get("spec")), _dict(raw.get("status"))
    if (_named(spec.get("initContainers"), _WEIGHTS).get("args") or [""])[0] != _FETCH:
        return False
    if "running" in _dict(_named(status.get("containerStatuses"), _ENGINE).get("state")):
        return False
    return _weights(_named(status.get("initContainerStatuses"), _WEIGHTS))[0] is not WeightsState.VERIFIED


def _named(containers: list[Manifest] | None, name: str) -> Manifest:
    """Return a container, or its status, by its name; an empty one if there is none."""
    return next((each for each in containers or [] if each.get("name") == name), {})


def _image_id(status: Manifest) -> str | None:
    found = (each.get("imageID") for each in status.get("containerStatuses") or [] if each.get("name") == _ENGINE)
    return _clean(str(next(found, None) or "")) or None


def _mismatch(status: Manifest) -> tuple[Reason, str] | None:
    """Read what the sidecar found; it ends once, and its last end stays in the pod's status."""
    found = (each for each in status.get("initContainerStatuses") or [] if each.get("name") == _IDENTITY)
    sidecar: Manifest = next(found, {})
    for state in (_dict(sidecar.get("state")), _dict(sidecar.get("lastState"))):
        report = _json(_dict(state.get("terminated")).get("message"))
        for reason in (Reason.ENGINE_MISMATCH, Reason.WEIGHTS_MISMATCH):
            if report.get("reason") == reason:
                return reason, _clean(str(report.get("message") or ""))
    return None


def _weights(container: Manifest) -> tuple[WeightsState, Reason | None, str]:
    """Read what the weights container last reported: a failure stands until a later run succeeds."""
    state = _dict(container.get("state"))
    ended = _dict(state.get("terminated"))
    if ended and ended.get("exitCode") == 0:
        return WeightsState.VERIFIED, None, ""
    failed = _failure(container)
    if failed:
        return WeightsState.FAILED, *_report(failed)
    if "running" in state:
        return WeightsState.RUNNING, None, ""
    waiting = _dict(state.get("waiting"))
    text = ": ".join(str(part) for part in (waiting.get("reason"), waiting.get("message")) if part)
    return WeightsState.WAITING, None, _clean(text)


def _failure(container: Manifest) -> Manifest:
    """Return how the container last ended, if that was a failure; else nothing."""
    state, last = _dict(container.get("state")), _dict(container.get("lastState"))
    ended = _dict(state.get("terminated")) or _dict(last.get("terminated"))
    return ended if ended and ended.get("exitCode") != 0 else {}


def _failed_at(container: Manifest) -> datetime | None:
    failed = _failure(container)
    return _time(failed.get("finishedAt")) if failed else None


def _word(metadata: Manifest) -> str | None:
    """Read the word with which somebody asks to hash all bytes anew; what is no word asks for nothing."""
    found = _dict(metadata.get("annotations")).get(names.ANNOTATION_VERIFY)
    return found if isinstance(found, str) and _WORD.fullmatch(found) else None


def _report(terminated: Manifest) -> tuple[Reason, str]:
    """Read the termination message: ``{"reason": …, "message": …}``, or what the kubelet says of a container that left none."""
    text = str(terminated.get("message") or "")
    report = _json(text)
    if report.get("reason") in (Reason.WEIGHTS_MISMATCH, Reason.WEIGHTS_UNAVAILABLE):
        return Reason(report["reason"]), _clean(str(report.get("message") or ""))
    why = f"the weights container ended with {terminated.get('reason') or 'Error'}, exit code {terminated.get('exitCode')}"
    return Reason.WEIGHTS_UNAVAILABLE, _clean(f"{why}: {text}" if text else why)


def _json(text: object) -> dict[str, Any]:
    """Read a termination message; what is no JSON object is an empty one."""
    try:
        return _dict(json.loads(str(text or "")))
    except ValueError:
        return {}


def _meta(raw: Manifest) -> Meta:
    metadata = _dict(raw.get("metadata"))
    return Meta(
        key=_key(metadata),
        uid=str(metadata.get("uid") or ""),
        resource_version=str(metadata.get("resourceVersion") or ""),
        generation=int(metadata.get("generation") or 0),
        created=_time(metadata.get("creationTimestamp")),
        deleting="deletionTimestamp" in metadata,
    )


def _key(metadata: Manifest) -> Key:
    return Key(str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))


def _controller(metadata: Manifest) -> Manifest:
    return next((owner for owner in metadata.get("ownerReferences") or [] if owner.get("controller")), {})


def _time(value: object) -> datetime:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def _number(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _clean(text: str) -> str:
    """Make text that a pod wrote fit for a condition and a terminal."""
    return _UNPRINTABLE.sub(" ", text).strip()[:_MESSAGE_LENGTH]
