"""Who may do what near a pinned model, on a real API server with the chart's guards."""

import pytest

from apiserver import guard_cases_children, guard_cases_decisions, guard_cases_traffic
from apiserver.guard_cases import Case, judge
from apiserver.world import World

CASES = (*guard_cases_decisions.CASES, *guard_cases_children.CASES, *guard_cases_traffic.CASES)


@pytest.mark.parametrize("case", [case for case in CASES if case.denied], ids=lambda case: case.name)
def test_denied(world: World, case: Case) -> None:
    assert judge(case, case.act(world.people[case.who], world)) is None


@pytest.mark.parametrize("case", [case for case in CASES if not case.denied], ids=lambda case: case.name)
def test_allowed(world: World, case: Case) -> None:
    assert judge(case, case.act(world.people[case.who], world)) is None
