"""Whatever people, sources and engines say, a decision of a person finds its way: what is written keeps within the API's limits.

`World` takes no status that the API server would refuse.
"""

import json
from dataclasses import replace

import pytest

from builders import approval, fallback_to, spec
from holdfast.api.approval import ApprovalState
from holdfast.api.decision import DecisionType, FallbackTargetType, Gate
from holdfast.api.reasons import Phase, RefusalReason
from holdfast.api.revision import DECISIONS_MAX
from model.world import World
from unit.domain.life import ROLLOUT, arms, decision, phase_of

LONGEST_HOST = "a" * 500


def test_a_mirror_with_the_longest_host_holds_nobody_up(second: World) -> None:
    second.apply(spec("b", rollout=ROLLOUT, serving={"mirror": f"http://{LONGEST_HOST}"}))
    second.settle()
    decision(second, DecisionType.FALLBACK)
    second.settle()
    assert arms(second) == {"1": 10000}


def test_a_refusal_of_a_revision_among_hundreds_holds_nobody_up(second: World) -> None:
    view = second.revisions[2]
    for number in range(3, 500):
        second.revisions[number] = replace(
            view, spec=view.spec.model_copy(update={"number": number, "declared": "x", "digest": "x"})
        )
    wrong = decision(second, DecisionType.FALLBACK, fallback_to=fallback_to(FallbackTargetType.REVISION, revision=9999))
    second.settle()
    assert second.approvals[wrong].status.reason is RefusalReason.NO_SUCH_FALLBACK
    assert "499" in (second.approvals[wrong].status.message or ""), "the newest are those that help"
    decision(second, DecisionType.FALLBACK)
    second.settle()
    assert arms(second) == {"1": 10000}


@pytest.mark.parametrize("kind", [DecisionType.ABORT, DecisionType.REJECT, DecisionType.FALLBACK])
def test_the_longest_name_and_the_longest_reason_are_taken(canary: World, kind: DecisionType) -> None:
    request = canary.status.request
    assert request is not None
    made = approval(kind, by="\U0001f600" * 512, request=request.number, digest=request.digest, base=request.base)
    canary.decide_as_person(replace(made, spec=made.spec.model_copy(update={"reason": "\U0001f600" * 1024})))
    canary.settle()
    assert canary.approvals["decision"].status.state is ApprovalState.ACCEPTED


def test_a_history_that_is_full_holds_nobody_up(second: World) -> None:
    for number in range(DECISIONS_MAX):
        decision(second, DecisionType.FALLBACK if number % 2 == 0 else DecisionType.RESUME)
        second.settle()
        assert phase_of(second) is (Phase.FALLBACK if number % 2 == 0 else Phase.STABLE)
    recorded = second.revisions[2].status.decisions or []
    assert len(recorded) == DECISIONS_MAX
    name = decision(second, DecisionType.FALLBACK)
    second.settle()
    assert arms(second) == {"1": 10000}
    assert second.approvals[name].status.state is ApprovalState.ACCEPTED
    assert second.revisions[2].status.decisions == recorded
    told = [note.message for note in second.notes if "history" in note.message]
    assert told
    assert name in told[-1]


def test_a_canary_keeps_its_steps_though_its_history_is_full(first: World) -> None:
    first.apply(spec("b", rollout=ROLLOUT))
    first.settle()
    start = decision(first, DecisionType.APPROVE, gate=Gate.START)
    first.step()
    last = first.status.last_decision
    assert last is not None
    assert last.approval == start
    full = [last.model_copy(update={"uid": f"uid-{number}", "request": 0}) for number in range(DECISIONS_MAX)]
    view = first.revisions[2]
    first.revisions[2] = replace(view, status=view.status.model_copy(update={"decisions": full}))
    first.settle()
    assert phase_of(first) is Phase.SOAKING
    assert first.status.candidate is not None
    assert first.status.candidate.weight_intent == 500


def test_long_reasons_fill_a_history_before_it_is_too_large_for_the_server(second: World) -> None:
    for number in range(80):
        request = second.status.request
        assert request is not None
        kind = DecisionType.FALLBACK if number % 2 == 0 else DecisionType.RESUME
        name = f"long-{number}"
        made = approval(kind, name=name, request=request.number, digest=request.digest, base=request.base)
        second.decide_as_person(replace(made, spec=made.spec.model_copy(update={"reason": "\U0001f600" * 1024})))
        second.settle()
        assert second.approvals[name].status.state is ApprovalState.ACCEPTED
    recorded = second.revisions[2].status.wire()
    assert 300_000 < len(json.dumps(recorded, ensure_ascii=False).encode()) < 400_000
    assert phase_of(second) is Phase.STABLE
