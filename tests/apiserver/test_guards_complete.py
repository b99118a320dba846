"""Nothing in the guards is there for nothing: each guard and each of its rules is missed by a case when it is gone."""

import copy
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apiserver.guard_cases import Case, judge
from apiserver.test_guards_cases import CASES
from apiserver.world import Manifest, World, eventually

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
TEMPLATES = Path(__file__).parents[2] / "charts/holdfast/templates/guards"
NAMES = sorted(
    {name for file in TEMPLATES.iterdir() for name in re.findall(r"^  name: (holdfast-[a-z-]+)$", file.read_text(), re.MULTILINE)}
)


def policies(world: World) -> Iterator[Manifest]:
    for item in world.root.get(POLICIES).must()["items"]:
        if item["metadata"]["name"].startswith("holdfast-"):
            yield item


def cases_of(policy: Manifest, validation: Manifest) -> list[Case]:
    """The cases that are refused by this rule, told by what it says."""
    literals = [text for text in re.findall(r"'([^']*)'", validation.get("messageExpression", "")) if len(text) > 8]

    def by_this(case: Case) -> bool:
        texts = (validation["message"], *literals)
        return bool(case.says) and any(case.says in text or (text in case.says and text in literals) for text in texts)

    return [case for case in CASES if case.denied == policy["metadata"]["name"] and by_this(case)]


def problem(world: World, case: Case) -> str | None:
    return judge(case, case.act(world.people[case.who], world))


def test_every_guard_is_installed_and_denies(world: World) -> None:
    assert [policy["metadata"]["name"] for policy in policies(world)] == NAMES
    bindings = {item["metadata"]["name"]: item["spec"] for item in world.root.get(BINDINGS).must()["items"]}
    assert {name: bindings[name]["validationActions"] for name in NAMES} == {name: ["Deny", "Audit"] for name in NAMES}
    assert all(policy["spec"]["failurePolicy"] == "Fail" for policy in policies(world))


def test_no_guard_has_a_type_error(world: World) -> None:
    def checked() -> list[Manifest] | None:
        found = list(policies(world))
        return found if all("typeChecking" in policy.get("status", {}) for policy in found) else None

    warned = {
        policy["metadata"]["name"]: policy["status"]["typeChecking"].get("expressionWarnings", [])
        for policy in eventually(checked, "type checking")
    }
    assert warned == {name: [] for name in NAMES}


def test_every_rule_says_why_and_is_tried(world: World) -> None:
    untried = [
        (policy["metadata"]["name"], validation["message"])
        for policy in policies(world)
        for validation in policy["spec"]["validations"]
        if not cases_of(policy, validation)
    ]
    assert untried == []


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_guard_is_noticed(world: World, name: str) -> None:
    case = next(case for case in CASES if case.denied == name)
    binding = world.root.get(f"{BINDINGS}/{name}").must()
    world.root.delete(f"{BINDINGS}/{name}").must()
    try:
        eventually(lambda: problem(world, case), f"{case.name} passes without {name}")
    finally:
        metadata = {key: binding["metadata"][key] for key in ("name", "labels", "annotations") if key in binding["metadata"]}
        world.root.post(BINDINGS, {**binding, "metadata": metadata}).must()
    settled(world, [case])


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_rule_is_noticed(world: World, name: str) -> None:
    policy = world.root.get(f"{POLICIES}/{name}").must()
    rules = policy["spec"]["validations"]
    tried = [cases_of(policy, rule)[0] for rule in rules]
    try:
        for index, case in enumerate(tried):
            less = copy.deepcopy(policy["spec"])
            del less["validations"][index]
            less["validations"] = less["validations"] or [{"expression": "true"}]
            world.root.patch(f"{POLICIES}/{name}", {"spec": less}).must()
            eventually(lambda case=case: problem(world, case), f"{case.name} passes without {rules[index]['message']}")  # type: ignore[misc]
    finally:
        world.root.patch(f"{POLICIES}/{name}", {"spec": policy["spec"]}).must()
    settled(world, tried)


def settled(world: World, cases: list[Case]) -> None:
    """Wait until a guard is in force again."""
    deadline = time.monotonic() + 30
    while wrong := [found for case in cases if (found := problem(world, case))]:
        assert time.monotonic() < deadline, wrong
        time.sleep(0.05)
