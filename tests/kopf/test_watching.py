"""The operator under the real kopf, with a real API server and a connection that is disturbed."""

from pathlib import Path

import pytest
from aiohttp import web

from apiserver.operator_process import Running, running
from apiserver.proxy import Proxy, Seen
from apiserver.space import NAME, Namespace
from holdfast.api.names import Key
from holdfast.cluster import kinds


async def serving(operator: Running, space: Namespace) -> None:
    space.declare()
    await operator.until(lambda: space.phase() == "AwaitingApproval", "a request")
    space.approve()
    await operator.until(lambda: space.exists("deployments", f"{NAME}-1"), "an engine")
    await operator.until(space.run_pods, "pods")
    await operator.until(lambda: space.phase() == "Stable", "service")
    await operator.rest()


def uid(space: Namespace, plural: str, name: str) -> str | None:
    answer = space.admin.get(space.path(plural, name))
    return answer.body["metadata"]["uid"] if answer.ok else None


async def test_the_server_selects_what_is_watched(space: Namespace, line: Proxy) -> None:
    async with running(space.name) as operator:
        await operator.until(lambda: len(watched(line)) == len(kinds.WATCHED), "all watches")
    for kind in kinds.WATCHED:
        path = kind.path(space.name)
        assert watched(line)[path] == kinds.selector(kind), path


def watched(line: Proxy) -> dict[str, str | None]:
    return {each.path: each.query.get("labelSelector") for each in line.seen if each.is_watch}


async def test_kopf_writes_nothing(space: Namespace, line: Proxy) -> None:
    async with running(space.name) as operator:
        await serving(operator, space)
    writers = {each.agent.split("/")[0] for each in line.writes()}
    assert writers == {"holdfast-operator-test"}


async def test_the_operator_needs_no_rights_on_definitions_and_namespaces(space: Namespace, line: Proxy) -> None:
    async with running(space.name) as operator:
        await serving(operator, space)
    paths = [each.path for each in line.seen]
    assert paths
    assert not [path for path in paths if "customresourcedefinitions" in path or path == "/api/v1/namespaces"]


async def test_a_deletion_in_a_gap_of_the_watch_is_repaired(space: Namespace, line: Proxy) -> None:
    """After its 410 kopf lists anew and says nothing of what is gone: the operator finds out by itself."""
    async with running(space.name) as operator:
        await serving(operator, space)
        old = uid(space, "services", f"{NAME}-1")
        line.interrupt()
        space.admin.call("DELETE", space.path("services", f"{NAME}-1")).must()
        line.resume(gone=True)
        await operator.until(lambda: uid(space, "services", f"{NAME}-1") not in (None, old), "a new Service")


async def test_a_change_made_in_a_gap_of_the_watch_is_not_lost(space: Namespace, line: Proxy) -> None:
    async with running(space.name) as operator:
        await serving(operator, space)
        line.interrupt()
        space.patch("modeldeployments", NAME, {"spec": {"serving": {"replicas": 2}}})
        line.resume(gone=True)
        await operator.until(lambda: space.read("deployments", f"{NAME}-1")["spec"]["replicas"] == 2, "two replicas")


async def test_a_list_anew_writes_nothing(space: Namespace, line: Proxy) -> None:
    async with running(space.name) as operator:
        await serving(operator, space)
        before = space.versions()
        line.seen.clear()
        line.interrupt()
        line.resume(gone=True)
        await operator.until(lambda: len(watched(line)) == len(kinds.WATCHED), "all watches")
        await operator.rest(quiet=1.5)
        assert line.writes() == []
    assert space.versions() == before


async def test_a_child_that_loses_our_label_is_noticed_and_not_taken_back_silently(space: Namespace, line: Proxy) -> None:
    async with running(space.name) as operator:
        await serving(operator, space)
        space.patch("services", f"{NAME}-1", {"metadata": {"labels": {"holdfast.dev/component": None}}})
        await operator.until(
            lambda: any(each["reason"] == "NameConflict" for each in space.status()["conditions"]), "a condition"
        )


async def test_a_token_that_was_rotated_is_read_again(space: Namespace, line: Proxy, tmp_path: Path) -> None:
    def refuse_the_old_one(seen: Seen) -> web.Response | None:
        if not seen.is_watch or seen.token != "first":
            return None
        return web.json_response({"kind": "Status", "code": 401, "reason": "Unauthorized"}, status=401)

    async with running(space.name) as operator:
        await serving(operator, space)
        line.kubeconfig(tmp_path, token="second")
        line.answer = refuse_the_old_one
        line.interrupt()
        line.resume(gone=False)
        space.patch("modeldeployments", NAME, {"spec": {"serving": {"replicas": 2}}})
        await operator.until(lambda: space.read("deployments", f"{NAME}-1")["spec"]["replicas"] == 2, "two replicas")
        assert "second" in {each.token for each in line.seen if each.is_watch}


@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_writes_that_fail_are_repeated_until_they_succeed(space: Namespace, line: Proxy, status: int) -> None:
    failed: list[str] = []

    def fail_first(seen: Seen) -> web.Response | None:
        if seen.method == "GET" or "/events" in seen.path or failed.count(seen.path) >= 2:
            return None
        failed.append(seen.path)
        headers = {"Retry-After": "1"} if status == 429 else {}
        return web.json_response({"kind": "Status", "code": status, "reason": "Test"}, status=status, headers=headers)

    line.answer = fail_first
    async with running(space.name) as operator:
        await serving(operator, space)
    assert len(set(failed)) >= 5
    assert len(space.read("modelrevisions")["items"]) == 1


async def test_an_object_that_cannot_be_read_harms_no_other(space: Namespace, line: Proxy) -> None:
    async with running(space.name) as operator:
        path = space.path("modeldeployments", "odd")
        odd = {
            "apiVersion": "holdfast.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"namespace": space.name, "name": "odd", "uid": "u", "resourceVersion": "1"},
            "spec": {"model": "from the future"},
        }
        operator.controller.feed.event(kinds.MODEL_DEPLOYMENT, odd)
        assert operator.controller.mirror.deployment(Key(space.name, "odd")) is not None
        await serving(operator, space)
        assert not space.admin.get(path).ok
