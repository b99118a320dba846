"""The operator on a real API server: what it makes, what it repairs, what it leaves alone."""

from collections.abc import Callable
from typing import Any

import pytest

from apiserver.operator_process import Running, running
from apiserver.space import NAME, Manifest, Namespace
from holdfast.cluster import kinds


async def serving(operator: Running, space: Namespace, **serving: Any) -> None:
    """Bring the first revision into service."""
    space.declare(**serving)
    await operator.until(lambda: space.phase() == "AwaitingApproval", "a request")
    space.approve()
    await operator.until(lambda: space.exists("deployments", f"{NAME}-1"), "an engine")
    await operator.until(space.run_pods, "pods")
    await operator.until(lambda: space.phase() == "Stable", "service")
    await operator.rest()


def told(space: Namespace) -> list[str]:
    """The reasons of the operator's Events."""
    return [
        event["reason"] for event in space.read("events")["items"] if event.get("reportingController") == "holdfast.dev/operator"
    ]


async def test_a_declared_model_is_served_after_its_approval_and_not_before(space: Namespace) -> None:
    async with running(space.name) as operator:
        space.declare()
        await operator.until(lambda: space.phase() == "AwaitingApproval", "a request")
        await operator.rest()
        assert not space.exists("deployments", f"{NAME}-1")
        space.approve()
        await operator.until(lambda: space.exists("deployments", f"{NAME}-1"), "an engine")
        await operator.until(space.run_pods, "pods")
        await operator.until(lambda: space.phase() == "Stable", "service")
        await operator.until(lambda: "Promoted" in told(space), "the last Event, which follows its status")
    assert sorted(told(space)) == ["CandidateReady", "Promoted", "Proposed", "Started"]


async def test_what_was_just_made_equals_what_is_desired(space: Namespace) -> None:
    """No field that the API server fills in may look like a difference: that would be a write at every start."""
    async with running(space.name) as operator:
        await serving(operator, space, replicas=2)
        verbs = [(verb, kind.plural) for verb, kind in operator.writes if kind.plural in ("deployments", "services")]
    assert verbs
    assert all(verb == "create" for verb, _ in verbs)


async def test_a_restart_with_everything_in_place_writes_nothing(space: Namespace) -> None:
    async with running(space.name) as operator:
        await serving(operator, space)
    before = space.versions()
    async with running(space.name) as operator:
        await operator.rest()
        assert operator.writes == []
    assert space.versions() == before


def _add_environment(container: Manifest) -> None:
    container.setdefault("env", []).append({"name": "LD_PRELOAD", "value": "/tmp/evil.so"})


DRIFT: dict[str, tuple[str, Callable[[Manifest], object]]] = {
    "replicas": ("deployments", lambda found: found["spec"].update(replicas=5)),
    "another image": (
        "deployments",
        lambda found: found["spec"]["template"]["spec"]["containers"][0].update(image="evil:latest"),
    ),
    "an added variable": ("deployments", lambda found: _add_environment(found["spec"]["template"]["spec"]["containers"][0])),
    "an added container": (
        "deployments",
        lambda found: found["spec"]["template"]["spec"]["containers"].append({"name": "evil", "image": "evil:latest"}),
    ),
    "host networking": ("deployments", lambda found: found["spec"]["template"]["spec"].update(hostNetwork=True)),
    "another selector of the service": ("services", lambda found: found["spec"]["selector"].update(evil="yes")),
    "external addresses": ("services", lambda found: found["spec"].update(externalIPs=["192.0.2.1"])),
    "unready endpoints": ("services", lambda found: found["spec"].update(publishNotReadyAddresses=True)),
    "a mark of ours": ("services", lambda found: found["metadata"]["labels"].update({"holdfast.dev/revision": "7"})),
}


@pytest.mark.parametrize("what", DRIFT)
async def test_drift_is_repaired(space: Namespace, what: str) -> None:
    plural, change = DRIFT[what]
    async with running(space.name) as operator:
        await serving(operator, space)
        good = space.read(plural, f"{NAME}-1")
        bad = space.read(plural, f"{NAME}-1")
        change(bad)
        space.admin.call("PUT", space.path(plural, f"{NAME}-1"), bad, fieldManager="somebody").must()
        await operator.until(lambda: _essence(space.read(plural, f"{NAME}-1")) == _essence(good), "repair")


def _essence(found: Manifest) -> Manifest:
    return {"labels": found["metadata"].get("labels"), "owners": found["metadata"].get("ownerReferences"), "spec": found["spec"]}


async def test_marks_of_other_tools_are_left_alone(space: Namespace) -> None:
    async with running(space.name) as operator:
        await serving(operator, space)
        space.patch("deployments", f"{NAME}-1", {"metadata": {"annotations": {"example.com/note": "ours"}}})
        await operator.rest()
        count = len(operator.writes)
        space.patch("services", f"{NAME}-1", {"metadata": {"labels": {"team": "a"}}})
        await operator.rest()
        assert len(operator.writes) == count
    assert space.read("deployments", f"{NAME}-1")["metadata"]["annotations"]["example.com/note"] == "ours"


async def test_a_deleted_child_comes_back(space: Namespace) -> None:
    async with running(space.name) as operator:
        await serving(operator, space)
        old = space.read("services", f"{NAME}-1")["metadata"]["uid"]
        space.admin.call("DELETE", space.path("services", f"{NAME}-1")).must()
        await operator.until(
            lambda: space.exists("services", f"{NAME}-1") and space.read("services", f"{NAME}-1")["metadata"]["uid"] != old,
            "a new Service",
        )


async def test_a_squatted_name_is_reported_and_left_alone(space: Namespace) -> None:
    mine = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{NAME}-1"},
        "spec": {"selector": {"app": "mine"}, "ports": [{"port": 8000}], "externalIPs": ["192.0.2.1"]},
    }
    squat = space.create("services", mine)
    async with running(space.name) as operator:
        space.declare()
        await operator.until(lambda: space.phase() == "AwaitingApproval", "a request")
        space.approve()
        await operator.until(lambda: "NameConflict" in _reasons(space), "a condition")
        await operator.rest()
        assert not space.exists("deployments", f"{NAME}-1"), "no pod may run behind somebody else's Service"
        stalled = next(each for each in space.status()["conditions"] if each["type"] == "Stalled")
        assert f"Service {NAME}-1" in stalled["message"]
        before = space.versions()
    assert space.read("services", f"{NAME}-1")["spec"] == squat["spec"]
    async with running(space.name) as operator:
        await operator.rest()
    assert space.versions() == before, "a restart must not take the condition back for a moment"


def _reasons(space: Namespace) -> list[str]:
    return [condition["reason"] for condition in space.status().get("conditions", [])]


async def test_a_deletion_that_no_watch_told_of_is_noticed(space: Namespace) -> None:
    async with running(space.name) as operator:
        await serving(operator, space)
    async with running(space.name, watching=False) as operator:
        await operator.rest(quiet=0)
        old = space.read("services", f"{NAME}-1")["metadata"]["uid"]
        space.admin.call("DELETE", space.path("services", f"{NAME}-1")).must()
        operator.controller.resync.soon(kinds.SERVICE)
        await operator.until(
            lambda: space.exists("services", f"{NAME}-1") and space.read("services", f"{NAME}-1")["metadata"]["uid"] != old,
            "a new Service",
        )
