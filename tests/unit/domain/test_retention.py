"""What must stay in a claim: what any ModelRevision names, and everything while it is not known what something reads."""

import json
from typing import Any

import pytest

from builders import SETTINGS, START, deployment, files, model, revision, spec
from holdfast.api.deployment import ModelDeploymentStatus, RevisionRole
from holdfast.api.manifest import manifest_digest
from holdfast.api.model import Model
from holdfast.domain.artifacts import artifacts
from holdfast.domain.retention import Named, named, named_bytes
from holdfast.domain.snapshot import EngineView, FetchView, PodView, RevisionView, Snapshot
from unit.render.cases import MANY_PARTS
from unit.render.cases import revision as cases_revision

CLAIM = {"type": "PersistentVolumeClaim", "size": "1Gi", "unused": "Delete"}
DIGEST = "v1:" + "0" * 64
FIRST, SECOND = (manifest_digest(files(letter)) for letter in "ab")


def views(*letters: str) -> tuple[RevisionView, ...]:
    """Revisions of these commits, numbered from 1."""
    return tuple(revision(Model.parse(model(letter)), number) for number, letter in enumerate(letters, start=1))


def scene(*, cache: dict[str, Any] | None = CLAIM, status: ModelDeploymentStatus | None = None, **parts: Any) -> Snapshot:
    declared = spec(serving={"cache": cache}) if cache else spec()
    found = {"revisions": views("a", "b")} | parts
    return Snapshot(deployment=deployment(declared, status or ModelDeploymentStatus()), settings=SETTINGS, **found)


def test_what_every_revision_names_stays_whatever_became_of_it() -> None:
    status = ModelDeploymentStatus(stable=RevisionRole(revision=2, digest=DIGEST))
    assert named(scene(status=status)) == Named(revision=2, manifest_digests=tuple(sorted((FIRST, SECOND))))


def test_every_part_of_a_model_stays() -> None:
    view = cases_revision(*MANY_PARTS)
    found = named(scene(revisions=(view,)))
    assert found is not None
    parts = {artifact.source.manifest_digest for artifact in artifacts(view.spec.model)}
    assert set(found.manifest_digests) == parts


def test_what_a_deleted_revision_named_goes() -> None:
    found = named(scene(revisions=views("a", "b")[1:]))
    assert found == Named(revision=2, manifest_digests=(SECOND,))


def test_what_two_revisions_name_stays_when_one_is_deleted() -> None:
    found = named(scene(revisions=views("a", "a")[1:]))
    assert found == Named(revision=2, manifest_digests=(FIRST,))


@pytest.mark.parametrize(
    "cache", [None, {"type": "EmptyDir"}, CLAIM | {"unused": "Keep"}, {"type": "PersistentVolumeClaim", "size": "1Gi"}]
)
def test_nothing_goes_without_the_owner_s_word(cache: dict[str, Any] | None) -> None:
    assert named(scene(cache=cache)) is None


def test_nothing_goes_without_a_history() -> None:
    assert named(scene(revisions=())) is None


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({"pods": (PodView(name="pod", uid="pod", revision=1, ready=False, deleting=True),)}, id="a pod that drains"),
        pytest.param({"fetchers": (PodView(name="pod", uid="pod", revision=1, ready=False),)}, id="a pod that fetches"),
        pytest.param({"engines": (EngineView(revision=1, replicas=0, ready_replicas=0),)}, id="a Deployment"),
        pytest.param({"fetches": (FetchView(revision=1, created=START),)}, id="a Job"),
        *(
            pytest.param({"status": ModelDeploymentStatus(**{role: RevisionRole(revision=1, digest=DIGEST)})}, id=role)
            for role in ("stable", "last_known_good")
        ),
    ],
)
def test_nothing_goes_while_it_is_not_known_what_something_reads(parts: dict[str, Any]) -> None:
    known = parts | {"revisions": views("a", "b")}
    assert named(scene(**known)) is not None
    assert named(scene(**parts | {"revisions": views("a", "b")[1:]})) is None


def test_it_is_written_as_the_program_in_the_job_reads_it() -> None:
    assert json.loads(named_bytes(Named(revision=2, manifest_digests=(FIRST,)))) == {
        "revision": 2,
        "manifestDigests": [FIRST],
    }
