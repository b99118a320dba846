"""What is read from wire objects."""

import json

import pytest

from builders import NAME
from holdfast.api.reasons import Reason
from holdfast.cluster import kinds
from holdfast.controller.projections import project
from holdfast.controller.records import LiveObject, PodRecord
from holdfast.domain.snapshot import ApprovalView, DeploymentView, EngineView, PodView, WeightsState
from unit.controller.objects import Manifest, deployment, engine, metadata, pod


def view_of(raw: Manifest) -> PodView:
    record = project(kinds.POD, raw)
    assert isinstance(record, PodRecord)
    assert record.view is not None
    return record.view


def engine_of(raw: Manifest) -> EngineView:
    live = project(kinds.DEPLOYMENT, raw)
    assert isinstance(live, LiveObject)
    assert live.engine is not None
    return live.engine


def weights(**state: Manifest) -> Manifest:
    return pod(initContainerStatuses=[{"name": "weights", **state}])


def ended(code: int, message: str = "", reason: str = "Error") -> Manifest:
    return {"terminated": {"exitCode": code, "message": message, "reason": reason}}


def report(reason: str, message: str) -> str:
    return json.dumps({"reason": reason, "message": message})


def test_a_spec_that_cannot_be_read_says_what_is_wrong_and_where() -> None:
    raw = deployment()
    raw["spec"]["model"]["engine"]["image"] = "engine:latest"
    found = project(kinds.MODEL_DEPLOYMENT, raw)
    assert isinstance(found, DeploymentView)
    assert found.spec is None
    assert found.invalid is not None
    assert found.invalid.startswith("spec.model.engine.image: String should match pattern")


def test_a_spec_of_another_shape_does_not_raise() -> None:
    found = project(kinds.MODEL_DEPLOYMENT, {"metadata": metadata(NAME, 1, "u"), "spec": ["nonsense"]})
    assert isinstance(found, DeploymentView)
    assert found.spec is None


def test_long_lists_of_problems_are_cut() -> None:
    raw = deployment(spec={"model": {"source": 1, "engine": 2, "chatTemplate": 3, "generation": 4, "servedName": 5}})
    found = project(kinds.MODEL_DEPLOYMENT, raw)
    assert isinstance(found, DeploymentView)
    assert found.invalid is not None
    assert found.invalid.endswith("(and 2 more)")


def test_an_approval_is_read() -> None:
    spec = {"decision": "Abort", "target": {"name": NAME}, "approver": {"username": "alice"}}
    found = project(kinds.MODEL_APPROVAL, {"metadata": metadata("stop", 1, "u"), "spec": spec})
    assert isinstance(found, ApprovalView)
    assert found.spec.approver.username == "alice"


def test_an_engine_has_the_pods_that_were_asked_for_and_those_that_are_ready() -> None:
    found = engine_of(engine(observedGeneration=1, readyReplicas=1))
    assert (found.revision, found.replicas, found.ready_replicas) == (1, 2, 1)


@pytest.mark.parametrize(
    ("status", "settled"),
    [
        ({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2}, True),
        ({"observedGeneration": 1, "replicas": 3, "updatedReplicas": 2}, False),
        ({"observedGeneration": 0, "replicas": 2, "updatedReplicas": 2}, False),
        ({"observedGeneration": 1, "replicas": 2}, False),
    ],
)
def test_all_pods_are_of_one_template_when_the_deployment_says_so(status: Manifest, settled: bool) -> None:
    assert engine_of(engine(**status)).settled is settled


def identity(**state: Manifest) -> Manifest:
    return pod(initContainerStatuses=[{"name": "identity", **state}])


def test_what_the_sidecar_found_stays_after_it_was_started_again() -> None:
    state = ended(3, report("EngineMismatch", "servedName: \x1b[31mother"))
    assert view_of(identity(state=state)).mismatch == "servedName:  [31mother"
    assert view_of(identity(state={"running": {}}, lastState=state)).mismatch == "servedName:  [31mother"


@pytest.mark.parametrize(
    "state",
    [
        {"running": {}},
        ended(137, ""),
        ended(1, report("InternalError", "memory.json: broken")),
        ended(3, "[]"),
    ],
)
def test_another_end_of_the_sidecar_says_nothing_of_the_engine(state: Manifest) -> None:
    assert view_of(identity(state=state)).mismatch is None


def test_a_pod_that_is_out_of_traffic_says_why() -> None:
    raw = pod()
    assert view_of(raw).quarantine is None
    raw["metadata"]["annotations"] = {"holdfast.dev/quarantine": "PodDrifted: x\n"}
    assert view_of(raw).quarantine == "PodDrifted: x"


def fetching(state: Manifest | None = None, *, verb: str = "fetch", engine: Manifest | None = None) -> Manifest:
    raw = pod(
        initContainerStatuses=[{"name": "weights", "state": state}] if state else [],
        containerStatuses=[{"name": "engine", "state": engine}] if engine else [],
    )
    raw["spec"] = {"initContainers": [{"name": "weights", "args": [verb, "--directory=/x"]}]}
    return raw


@pytest.mark.parametrize(
    ("raw", "fetches"),
    [
        (fetching(), True),
        (fetching({"running": {}}), True),
        (fetching(ended(4)), True),
        (fetching(ended(0, "", "Completed")), False),
        (fetching({"waiting": {}}, engine={"running": {}}), False),
        (fetching({"waiting": {}}, engine={"waiting": {}}), True),
        (fetching({"running": {}}, verb="verify"), False),
        (pod(), False),
    ],
    ids=["new", "at it", "failed", "done", "the engine runs", "begins anew", "a Job fetches", "nothing to fetch"],
)
def test_a_pod_fetches_until_its_own_container_has(raw: Manifest, fetches: bool) -> None:
    assert view_of(raw).fetches is fetches


def test_a_pod_is_let_out_by_its_label() -> None:
    raw = pod()
    assert not view_of(raw).way_out
    raw["metadata"]["labels"]["holdfast.dev/fetching"] = "true"
    assert view_of(raw).way_out


def test_the_image_that_a_node_runs_is_that_of_the_engine() -> None:
    statuses = [{"name": "mesh", "imageID": "other"}, {"name": "engine", "imageID": "registry.example/engine@sha256:1"}]
    assert view_of(pod(containerStatuses=statuses)).image_id == "registry.example/engine@sha256:1"


def test_ready_pods_of_an_outdated_observation_do_not_count() -> None:
    raw = engine(observedGeneration=1, readyReplicas=2)
    raw["metadata"]["generation"] = 2
    assert engine_of(raw).ready_replicas == 0


def test_a_pod_is_ready_by_its_condition() -> None:
    ready = view_of(pod(conditions=[{"type": "Ready", "status": "True"}]))
    unready = view_of(pod(conditions=[{"type": "Ready", "status": "False"}]))
    assert (ready.ready, unready.ready) == (True, False)


def test_a_pod_that_is_being_deleted_is_not_ready() -> None:
    raw = pod(conditions=[{"type": "Ready", "status": "True"}])
    raw["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
    view = view_of(raw)
    assert (view.ready, view.deleting) == (False, True)


@pytest.mark.parametrize("label", ["", "one", "-1", "1.0", "²", "9" * 30])
def test_a_pod_without_a_number_is_no_engines(label: str) -> None:
    record = project(kinds.POD, pod(number=label))
    assert isinstance(record, PodRecord)
    assert record.view is None


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        (pod(), WeightsState.WAITING),
        (weights(state={"waiting": {"reason": "PodInitializing"}}), WeightsState.WAITING),
        (weights(state={"running": {}}), WeightsState.RUNNING),
        (weights(state=ended(0, report("Verified", ""), "Completed")), WeightsState.VERIFIED),
        (weights(state=ended(3)), WeightsState.FAILED),
        (weights(state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=ended(3)), WeightsState.FAILED),
        (weights(state={"running": {}}, lastState=ended(3)), WeightsState.FAILED),
        (weights(state=ended(0, "", "Completed"), lastState=ended(3)), WeightsState.VERIFIED),
    ],
)
def test_the_last_report_of_the_weights_container_counts(raw: Manifest, state: WeightsState) -> None:
    assert view_of(raw).weights is state


@pytest.mark.parametrize("order", [("weights", "weights-tokenizer"), ("weights-tokenizer", "weights")])
def test_every_volume_is_verified_before_the_pod_is(order: tuple[str, str]) -> None:
    first, second = order
    done, failed = ended(0, "", "Completed"), ended(3, report("WeightsMismatch", "tokenizer.json: expected aa, found bb"))
    both = [{"name": first, "state": done}, {"name": second, "state": failed}]
    assert view_of(pod(initContainerStatuses=both)).weights is WeightsState.FAILED
    both[1]["state"] = done
    assert view_of(pod(initContainerStatuses=both)).weights is WeightsState.VERIFIED


def test_the_pod_of_a_job_reports_like_the_first_container_of_an_engine() -> None:
    failed = ended(3, report("WeightsMismatch", "model.gguf: expected aa, found bb"))
    view = view_of(pod(component="weights", containerStatuses=[{"name": "weights", "lastState": failed}]))
    assert (view.weights, view.weights_reason) == (WeightsState.FAILED, Reason.WEIGHTS_MISMATCH)


def job(*conditions: Manifest) -> Manifest:
    labels = {"holdfast.dev/component": "weights", "holdfast.dev/deployment": NAME, "holdfast.dev/revision": "1"}
    made = metadata(f"{NAME}-1-weights", 1, "job-1", labels=labels)
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": made, "spec": {}, "status": {"conditions": list(conditions)}}


@pytest.mark.parametrize(
    ("conditions", "succeeded", "failed"),
    [
        ((), False, False),
        (({"type": "SuccessCriteriaMet", "status": "True"},), False, False),
        (({"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-21T09:30:00Z"},), True, False),
        (({"type": "Failed", "status": "False"},), False, False),
        (({"type": "Failed", "status": "True", "lastTransitionTime": "2026-11-21T09:30:00Z"},), False, True),
    ],
)
def test_a_job_has_ended_when_a_condition_says_so(conditions: tuple[Manifest, ...], succeeded: bool, failed: bool) -> None:
    found = project(kinds.JOB, job(*conditions))
    assert isinstance(found, LiveObject)
    assert found.fetch is not None
    assert (found.fetch.revision, found.fetch.succeeded) == (1, succeeded)
    ended = found.fetch.ended_at is not None and not found.fetch.succeeded
    assert ended is failed


def test_a_mismatch_is_reported_in_the_words_of_the_pod() -> None:
    view = view_of(weights(state=ended(3, report("WeightsMismatch", "model.gguf: expected aa, found bb"))))
    assert (view.weights_reason, view.weights_message) == (Reason.WEIGHTS_MISMATCH, "model.gguf: expected aa, found bb")


@pytest.mark.parametrize("message", ["", "no json", "[1]", report("Promoted", "x"), '{"reason": {}}'])
def test_a_container_that_left_no_report_is_unavailable_with_what_the_kubelet_says(message: str) -> None:
    view = view_of(weights(state=ended(137, message, "OOMKilled")))
    assert view.weights_reason is Reason.WEIGHTS_UNAVAILABLE
    assert view.weights_message.startswith("the weights container ended with OOMKilled, exit code 137")


def test_what_a_pod_writes_cannot_reach_a_terminal_as_it_is() -> None:
    view = view_of(weights(state=ended(3, report("WeightsMismatch", "evil\x1b[31m\nname" + "x" * 2000))))
    assert view.weights_message.startswith("evil [31m name")
    assert len(view.weights_message) == 512


def test_why_an_image_cannot_be_pulled_is_told() -> None:
    view = view_of(weights(state={"waiting": {"reason": "ErrImagePull", "message": "not found"}}))
    assert (view.weights_reason, view.weights_message) == (None, "ErrImagePull: not found")


def test_a_gateway_pod_tells_its_address_its_configuration_and_whether_it_runs() -> None:
    raw = pod(component="gateway", podIP="10.0.0.7", containerStatuses=[{"name": "envoy", "state": {"running": {}}}])
    raw["metadata"]["annotations"] = {"holdfast.dev/config": "12"}
    record = project(kinds.POD, raw)
    assert isinstance(record, PodRecord)
    assert (record.address, record.config, record.running, record.view) == ("10.0.0.7", "12", True, None)
