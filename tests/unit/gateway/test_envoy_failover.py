"""What clients get from the real Envoy when a revision does not answer."""

import pytest

from unit.gateway.conftest import NAME, Bench

USERS = [f"user-{number}" for number in range(200)]


async def split(bench: Bench) -> None:
    await bench.know(1, 2, failover={2: 1})
    await bench.route(r1=5000, r2=5000)


async def test_answers_are_marked_with_revision_and_role(bench: Bench) -> None:
    await split(bench)
    seen = {(answer.revision, answer.served_by) for answer in [await bench.gateway.ask(user=user) for user in USERS]}
    assert seen == {("1", "stable"), ("2", "candidate")}


async def test_marks_of_the_engine_do_not_pass(bench: Bench) -> None:
    """The stand-in sends lies in both headers."""
    await split(bench)
    answer = await bench.gateway.ask()
    assert "a lie" not in (*answer.headers.getall("x-holdfast-revision"), *answer.headers.getall("x-holdfast-served-by"))


@pytest.mark.parametrize("failure", [500, 503, "refused"])
async def test_the_stable_revision_answers_for_a_candidate_that_fails(bench: Bench, failure: int | str) -> None:
    await split(bench)
    if isinstance(failure, int):
        bench.engines[2].status = failure
    else:
        await bench.engines[2].stop()
    answers = [await bench.gateway.ask(user=user) for user in USERS]
    assert {(answer.status, answer.revision, answer.served_by) for answer in answers} == {(200, "1", "stable")}


async def test_a_client_error_of_the_candidate_is_its_answer(bench: Bench) -> None:
    await split(bench)
    bench.engines[2].status = 400
    statuses = {answer.revision: answer.status for answer in [await bench.gateway.ask(user=user) for user in USERS]}
    assert statuses == {"1": 200, "2": 400}


async def test_nothing_answers_for_the_stable_revision(bench: Bench) -> None:
    """Another model in its place would be a change that nobody approved."""
    await split(bench)
    await bench.engines[1].stop()
    answers = {answer.revision: answer for answer in [await bench.gateway.ask(user=user) for user in USERS]}
    assert (answers["1"].status, answers["2"].status) == (503, 200)
    error = answers["1"].json()["error"]
    assert (error["type"], error["code"]) == ("server_error", "gateway_503")
    assert bench.engines[2].seen


async def test_large_requests_fail_over_too(bench: Bench) -> None:
    await bench.know(1, 2, failover={2: 1})
    await bench.route(r2=10000)
    bench.engines[2].status = 503
    body = b'{"messages":"' + b"x" * 8_000_000 + b'"}'
    answer = await bench.gateway.ask(data=body)
    assert (answer.status, answer.revision) == (200, "1")
    assert bench.engines[1].bodies == [body]


async def test_a_revision_of_which_all_pods_were_set_aside_is_tried_again_when_nothing_else_is_left(bench: Bench) -> None:
    await bench.know(1)
    await bench.route(r1=10000)
    bench.engines[1].status = 500
    for _ in range(10):
        assert (await bench.gateway.ask()).status == 500
    assert (await bench.gateway.clusters())[f"{NAME}/1"]["host_statuses"][0]["health_status"]["failed_outlier_check"]
    bench.engines[1].status = 200
    assert (await bench.gateway.ask()).status == 200


async def test_many_requests_at_once_fail_over(bench: Bench) -> None:
    """Envoy's default allows three retries at a time and fails the others."""
    await bench.know(1, 2, failover={2: 1})
    await bench.route(r2=10000)
    bench.engines[2].status = 503
    assert set((await bench.gateway.revisions([f"u{number}" for number in range(600)], parallel=64)).values()) == {"1"}


async def test_attempts_are_counted_by_revision(bench: Bench) -> None:
    """The client sees no failure of the candidate; whoever judges it must."""
    await bench.know(1, 2, failover={2: 1})
    await bench.route(r2=10000)
    bench.engines[2].status = 503
    assert (await bench.gateway.ask()).status == 200
    lines = [line for line in (await bench.gateway.metrics()).splitlines() if line.startswith("envoy_holdfast_")]
    text = "\n".join(lines)
    assert 'envoy_holdfast_attempt_total{deployment="support-chat",revision="2",code="503",flags="-"} 2' in text
    assert 'envoy_holdfast_attempt_total{deployment="support-chat",revision="1",code="200",flags="-"} 1' in text
    assert 'envoy_holdfast_request_total{deployment="support-chat",revision="1",code="200",attempts="3"} 1' in text
