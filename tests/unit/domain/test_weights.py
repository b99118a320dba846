"""Whose the bytes of a revision are, and when a Job has to fetch them anew."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import NAME, SETTINGS, START, deployment, model, revision, spec
from holdfast.api.deployment import ModelDeploymentStatus, RevisionRole, WeightsKept
from holdfast.api.model import Model
from holdfast.api.reasons import Reason
from holdfast.domain.snapshot import FetchView, PodView, RevisionView, Snapshot, WeightsState
from holdfast.domain.weights import RETRY, failures, kept, next_wake, to_renew
from unit.render.cases import declared as cases_declared
from unit.render.cases import revision as cases_revision

CLAIM = {"type": "PersistentVolumeClaim", "size": "1Gi"}
SECOND = timedelta(seconds=1)
DONE = FetchView(revision=1, created=START, succeeded=True, ended_at=START + 10 * SECOND)
GIVEN_UP = FetchView(revision=1, created=START, ended_at=START + 10 * SECOND)
RUNNING = FetchView(revision=1, created=START)
DIGEST = "v1:" + "0" * 64


def stable(number: int = 1) -> ModelDeploymentStatus:
    return ModelDeploymentStatus(stable=RevisionRole(revision=number, digest=DIGEST))


def pod(name: str = "pod", *, revision: int = 1, failed_at: datetime | None = None, **more: Any) -> PodView:
    return PodView(name=name, uid=name, revision=revision, ready=False, cache_failed_at=failed_at, **more)


def scene(*, serving: dict[str, Any] | None = None, revisions: tuple[RevisionView, ...] = (), **parts: Any) -> Snapshot:
    declared = spec(serving=serving) if serving else spec()
    return Snapshot(
        deployment=deployment(declared, stable()),
        settings=SETTINGS,
        revisions=revisions or (revision(Model.parse(model()), 1),),
        **parts,
    )


def told(snapshot: Snapshot) -> tuple[WeightsKept, str]:
    (found,) = kept(snapshot, snapshot.deployment.status)
    return found.kept, found.message


def test_without_a_cache_new_pods_need_the_hub() -> None:
    verdict, message = told(scene())
    assert verdict is WeightsKept.UPSTREAM
    assert message.startswith("only at hub.example/holdfast/tiny-chat-GGUF: ")


def test_a_mirror_is_what_new_pods_need_instead() -> None:
    verdict, message = told(scene(serving={"mirror": "https://mirror.example:8443/hf"}))
    assert verdict is WeightsKept.UPSTREAM
    assert message.startswith("only at mirror.example:8443: ")


@pytest.mark.parametrize(
    ("fetch", "verdict"), [(None, "Upstream"), (RUNNING, "Upstream"), (GIVEN_UP, "Upstream"), (DONE, "Durable")]
)
def test_a_claim_holds_what_its_job_has_fetched(fetch: FetchView | None, verdict: str) -> None:
    found, message = told(scene(serving={"cache": CLAIM}, fetches=(fetch,) if fetch else (), claim_created=START))
    assert found == verdict
    assert ("until the Job" in message) is (verdict == "Upstream")


def test_a_job_of_a_former_claim_fetched_nothing_into_this_one() -> None:
    snapshot = scene(serving={"cache": CLAIM}, fetches=(DONE,), claim_created=START + 60 * SECOND)
    assert told(snapshot)[0] is WeightsKept.UPSTREAM
    assert to_renew(snapshot, START + 61 * SECOND) == (1,)


def test_volumes_of_the_owner_are_the_owner_s() -> None:
    on_volume = cases_declared("VLLM", source={"volume": {"claimName": "models", "manifestDigest": f"sha256:{'1' * 64}"}})
    view = cases_revision(on_volume, ())
    snapshot = scene(revisions=(view,))
    (found,) = kept(snapshot, stable(2))
    assert (found.kept, found.message) == (WeightsKept.DURABLE, "on volumes of the owner")


def test_every_revision_with_a_role_is_listed_and_no_other() -> None:
    views = tuple(revision(Model.parse(model(letter)), number) for number, letter in enumerate("abcd", start=1))
    role = {number: RevisionRole(revision=number, digest=DIGEST) for number in (1, 2, 3, 4)}
    status = ModelDeploymentStatus(stable=role[3], last_known_good=role[1])
    assert [found.revision for found in kept(scene(revisions=views), status)] == [1, 3]


def test_a_job_that_runs_or_has_done_its_work_is_left_alone() -> None:
    for fetch in (RUNNING, DONE):
        snapshot = scene(fetches=(fetch,), claim_created=START)
        assert to_renew(snapshot, START + timedelta(days=30)) == ()
        assert next_wake(snapshot) is None


def test_a_job_that_was_given_up_waits_a_while() -> None:
    snapshot = scene(fetches=(GIVEN_UP,), claim_created=START)
    due = START + 10 * SECOND + RETRY
    assert next_wake(snapshot) == due
    assert to_renew(snapshot, due - SECOND) == ()
    assert to_renew(snapshot, due) == (1,)


@pytest.mark.parametrize(
    ("finding", "again"),
    [
        (pod(failed_at=START + 11 * SECOND), True),
        (pod(failed_at=START + 10 * SECOND), False),
        (pod(failed_at=START + 9 * SECOND), False),
        (pod(failed_at=START + 11 * SECOND, revision=2), False),
        (pod(failed_at=START + 11 * SECOND, deleting=True), False),
        (pod(), False),
    ],
    ids=["later", "in the same second", "earlier", "of another revision", "of a pod that goes", "none"],
)
def test_a_finding_after_the_fetch_fetches_again(finding: PodView, again: bool) -> None:
    snapshot = scene(fetches=(DONE,), claim_created=START, pods=(finding,))
    assert to_renew(snapshot, START + 12 * SECOND) == ((1,) if again else ())


def test_a_failed_pod_of_a_job_counts_until_the_job_is_done() -> None:
    failed = pod("fetcher", weights=WeightsState.FAILED, weights_reason=Reason.WEIGHTS_MISMATCH)
    assert failures(scene(fetches=(RUNNING,), fetchers=(failed,))) == (failed,)
    assert failures(scene(fetches=(DONE,), fetchers=(failed,), claim_created=START)) == ()


def test_the_name_of_the_job_is_told() -> None:
    _, message = told(scene(serving={"cache": CLAIM}, fetches=(RUNNING,), claim_created=START))
    assert f"{NAME}-1-weights" in message
