"""A deployment whose revision serves, and a Hub that says things about its repository."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from builders import NAME, START, commit, deployment, meta, model, revision_spec, snapshot, spec
from holdfast.api.deployment import Condition, Desired, ModelDeploymentStatus, RevisionRole
from holdfast.api.model import Model
from holdfast.api.names import revision_name
from holdfast.api.reasons import ConditionType, Phase, Reason
from holdfast.api.revision import License, ModelRevisionStatus, Recorded
from holdfast.domain.decide import decide
from holdfast.domain.plan import Note, WriteStatus
from holdfast.domain.snapshot import FetchView, RepositoryMissing, RepositorySeen, RevisionView, Snapshot

REPOSITORY: Final = "holdfast/tiny-chat-GGUF"
PINNED: Final = commit("a")
TEXTS: Final = {"README.md": "1", "LICENSE": "2"}
RECORDED: Final = Recorded(license=License(id="apache-2.0"), gated=False, refs=["main"])


def seen(**changes: Any) -> RepositorySeen:
    """What the Hub shows when nothing changed since the pin, but for `changes`."""
    same = RepositorySeen(
        name=REPOSITORY, license="apache-2.0", refs={"refs/heads/main": PINNED}, texts=TEXTS, commits={PINNED: TEXTS}
    )
    return replace(same, **changes)


def view(number: int = 1, letter: str = "a", *, recorded: Recorded | None = RECORDED, **model_changes: Any) -> RevisionView:
    declared = Model.parse(model(letter, **model_changes))
    return RevisionView(
        meta=meta(revision_name(NAME, number), uid=f"revision-{number}"),
        spec=revision_spec(declared, number).model_copy(update={"recorded": recorded}),
        status=ModelRevisionStatus(),
    )


class Scene:
    """One deployment at rest, looked at again and again."""

    def __init__(self, *revisions: RevisionView, **serving: Any) -> None:
        self.revisions = revisions or (view(),)
        self.serving = serving
        self.upstream: dict[str, RepositorySeen | RepositoryMissing] = {}
        self.more: dict[str, Any] = {}
        self.fetches: tuple[FetchView, ...] = ()
        self.now = START + timedelta(hours=1)
        first = self.revisions[0].spec
        role = RevisionRole(revision=first.number, digest=first.digest)
        self.status = ModelDeploymentStatus(
            phase=Phase.STABLE,
            desired=Desired(declared=first.declared, digest=first.digest, revision=first.number),
            stable=role,
        )
        self.notes: list[Note] = []
        self.writes = 0
        self.look()
        self.notes.clear()

    def snapshot(self) -> Snapshot:
        declared = spec(self.revisions[0].spec.model.source.hugging_face.commit[0], serving=self.serving, **self.more)  # type: ignore[union-attr]
        return snapshot(deployment(declared, self.status), revisions=self.revisions, fetches=self.fetches, upstream=self.upstream)

    def look(self, found: RepositorySeen | RepositoryMissing | None = None, repository: str = REPOSITORY) -> None:
        """Let the Hub say something, and the operator come to rest."""
        if found is not None:
            self.upstream[repository] = found
        for _ in range(5):
            write = decide(self.snapshot(), self.now).write
            if write is None:
                return
            assert isinstance(write, WriteStatus), write
            self.status = write.status
            self.notes += write.notes
            self.writes += 1
        raise AssertionError("no rest")

    def restart(self) -> None:
        """Forget what the Hub said."""
        self.upstream.clear()

    def condition(self, kind: ConditionType) -> Condition | None:
        return next((c for c in self.status.conditions or [] if c.type is kind), None)

    def moved(self) -> tuple[str, Reason]:
        found = self.condition(ConditionType.UPSTREAM_MOVED)
        assert found is not None
        return found.status, found.reason

    def available(self) -> tuple[str, Reason]:
        found = self.condition(ConditionType.UPSTREAM_AVAILABLE)
        assert found is not None
        return found.status, found.reason

    def message(self, kind: ConditionType) -> str:
        found = self.condition(kind)
        assert found is not None
        return found.message
