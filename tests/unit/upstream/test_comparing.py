"""What changed upstream, in the words of conditions and Events."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import START, commit
from holdfast.api.reasons import ConditionType, Reason
from holdfast.api.revision import License, Recorded
from holdfast.domain.snapshot import FetchView, RepositoryMissing, RepositorySeen
from unit.upstream.scene import PINNED, RECORDED, REPOSITORY, TEXTS, Scene, seen, view

NEW = commit("f")
TOKEN = {"hubToken": {"name": "hub", "key": "token"}}


def test_before_the_first_look_nothing_is_claimed() -> None:
    scene = Scene()
    assert scene.moved() == scene.available() == ("Unknown", Reason.UPSTREAM_NOT_CHECKED)


def test_what_did_not_change_is_said_so() -> None:
    scene = Scene()
    scene.look(seen())
    assert scene.moved() == ("False", Reason.UPSTREAM_UNCHANGED)
    assert scene.available() == ("True", Reason.UPSTREAM_AVAILABLE)
    assert scene.notes == []


TERMS = {**TEXTS, "LICENSE": "other"}
CARD = {**TEXTS, "README.md": "other"}
MOVES: dict[str, tuple[RepositorySeen, Reason, str]] = {
    "a moved branch": (seen(refs={"refs/heads/main": NEW}), Reason.UPSTREAM_MOVED, "branch main is at ffffffffffff"),
    "a deleted branch": (seen(refs={}), Reason.UPSTREAM_MOVED, "branch main is gone"),
    "another name": (seen(name="other/model"), Reason.UPSTREAM_RENAMED, f"{REPOSITORY} is now other/model"),
    "another license in the card": (
        seen(license="proprietary"),
        Reason.UPSTREAM_LICENSE_CHANGED,
        "is proprietary now and was apache",
    ),
    "no license any more": (seen(license=None), Reason.UPSTREAM_LICENSE_CHANGED, "is absent now and was apache"),
    "other terms in a file": (seen(texts=TERMS), Reason.UPSTREAM_LICENSE_CHANGED, "terms in LICENSE"),
    "another card": (seen(texts=CARD), Reason.UPSTREAM_CARD_CHANGED, "the card of"),
}


@pytest.mark.parametrize("what", MOVES)
def test_a_move_is_found_and_told_once(what: str) -> None:
    found, reason, text = MOVES[what]
    scene = Scene()
    scene.look(seen())
    scene.look(found)
    assert scene.moved() == ("True", reason)
    assert text in scene.message(ConditionType.UPSTREAM_MOVED)
    assert scene.available() == ("True", Reason.UPSTREAM_AVAILABLE)
    assert [note.reason for note in scene.notes] == [reason]
    writes = scene.writes
    scene.now += timedelta(days=1)
    scene.look(found)
    scene.restart()
    scene.look()
    assert (scene.writes, len(scene.notes)) == (writes, 1)


def test_of_several_findings_the_gravest_gives_the_reason_and_all_are_told() -> None:
    scene = Scene()
    scene.look(seen(refs={"refs/heads/main": NEW}, license="other", texts=CARD))
    assert scene.moved() == ("True", Reason.UPSTREAM_LICENSE_CHANGED)
    assert "branch main is at" in scene.message(ConditionType.UPSTREAM_MOVED)
    assert {note.reason for note in scene.notes} == {
        Reason.UPSTREAM_LICENSE_CHANGED,
        Reason.UPSTREAM_MOVED,
        Reason.UPSTREAM_CARD_CHANGED,
    }


def test_a_branch_that_moves_on_is_in_the_message_and_no_new_event() -> None:
    scene = Scene()
    scene.look(seen(refs={"refs/heads/main": NEW}))
    scene.look(seen(refs={"refs/heads/main": commit("e")}))
    assert "eeeeeeeeeeee" in scene.message(ConditionType.UPSTREAM_MOVED)
    assert len(scene.notes) == 1


def test_what_comes_back_is_told_as_well() -> None:
    scene = Scene()
    scene.look(seen(refs={"refs/heads/main": NEW}))
    scene.look(seen())
    assert scene.moved() == ("False", Reason.UPSTREAM_UNCHANGED)
    assert [(note.type, note.reason) for note in scene.notes] == [
        ("Normal", Reason.UPSTREAM_MOVED),
        ("Normal", Reason.UPSTREAM_UNCHANGED),
    ]


class TestRefs:
    def test_the_refs_that_named_the_commit_are_followed_and_no_others(self) -> None:
        scene = Scene(view(recorded=RECORDED.model_copy(update={"refs": ["v1"]})))
        scene.look(seen(refs={"refs/heads/main": NEW, "refs/tags/v1": PINNED}))
        assert scene.moved() == ("False", Reason.UPSTREAM_UNCHANGED)

    def test_a_tag_that_moved_is_named(self) -> None:
        scene = Scene(view(recorded=RECORDED.model_copy(update={"refs": ["refs/tags/v1"]})))
        scene.look(seen(refs={"refs/heads/main": NEW, "refs/tags/v1": NEW}))
        assert scene.moved() == ("True", Reason.UPSTREAM_MOVED)
        assert "tag v1 is at" in scene.message(ConditionType.UPSTREAM_MOVED)

    def test_a_tag_is_new_if_it_was_not_there_at_the_first_look(self) -> None:
        scene = Scene()
        tags = {"refs/heads/main": PINNED, "refs/tags/v1": NEW}
        scene.look(seen(refs=tags))
        assert scene.moved() == ("False", Reason.UPSTREAM_UNCHANGED)
        scene.restart()
        scene.look(seen(refs={**tags, "refs/tags/v2": NEW}))
        assert scene.moved() == ("True", Reason.UPSTREAM_MOVED)
        assert "tag v2 is new" in scene.message(ConditionType.UPSTREAM_MOVED)

    def test_a_repository_of_very_many_tags_does_not_fill_the_status(self) -> None:
        scene = Scene()
        tags = {f"refs/tags/step{n}": NEW for n in range(100)}
        scene.look(seen(refs={"refs/heads/main": PINNED, **tags}))
        scene.look(seen(refs={"refs/heads/main": PINNED, **tags, "refs/tags/last": NEW}))
        assert scene.status.upstream is not None
        assert scene.status.upstream.sources[0].known_tags is None
        assert scene.moved() == ("False", Reason.UPSTREAM_UNCHANGED)


class TestAvailability:
    @pytest.mark.parametrize(
        ("found", "reason", "text"),
        [
            (RepositoryMissing(), Reason.UPSTREAM_GONE, "is not on the Hub any more"),
            (RepositoryMissing(disabled=True), Reason.UPSTREAM_DISABLED, "is disabled"),
            (seen(commits={PINNED: None}), Reason.UPSTREAM_GONE, "has no commit aaaaaaaaaaaa any more"),
            (seen(gated=True), Reason.UPSTREAM_GATED, "is gated now"),
        ],
    )
    def test_what_cannot_be_fetched_again_is_a_warning(self, found: Any, reason: Reason, text: str) -> None:
        scene = Scene()
        scene.look(seen())
        scene.look(found)
        assert scene.available() == ("False", reason)
        assert text in scene.message(ConditionType.UPSTREAM_AVAILABLE)
        assert [(note.type, note.reason) for note in scene.notes] == [("Warning", reason)]

    def test_the_message_says_that_files_kept_here_go_on(self) -> None:
        scene = Scene(cache={"type": "PersistentVolumeClaim", "size": "1Gi"})
        scene.fetches = (FetchView(revision=1, created=START, succeeded=True),)
        scene.look(RepositoryMissing())
        assert "kept in storage of your own" in scene.message(ConditionType.UPSTREAM_AVAILABLE)
        assert "cannot fetch" not in scene.message(ConditionType.UPSTREAM_AVAILABLE)

    def test_the_message_says_that_files_kept_nowhere_are_lost_with_the_pods(self) -> None:
        scene = Scene()
        scene.look(RepositoryMissing())
        assert "do not restart these pods" in scene.message(ConditionType.UPSTREAM_AVAILABLE)

    def test_with_a_token_a_new_gate_is_open_to_doubt_only(self) -> None:
        scene = Scene(**TOKEN)
        scene.look(seen(gated=True))
        assert scene.available() == ("Unknown", Reason.UPSTREAM_GATED)

    def test_a_gate_that_was_there_when_it_was_pinned_is_no_news(self) -> None:
        scene = Scene(view(recorded=RECORDED.model_copy(update={"gated": True})), **TOKEN)
        scene.look(seen(gated=True))
        assert scene.available() == ("True", Reason.UPSTREAM_AVAILABLE)

    def test_of_what_is_gone_nobody_knows_whether_it_moved(self) -> None:
        scene = Scene()
        scene.look(RepositoryMissing())
        assert scene.moved() == ("Unknown", Reason.UPSTREAM_GONE)

    def test_a_squashed_branch_moved_and_its_commit_is_gone(self) -> None:
        scene = Scene()
        scene.look(seen(refs={"refs/heads/main": NEW}, commits={PINNED: None}))
        assert scene.moved() == ("True", Reason.UPSTREAM_MOVED)
        assert scene.available() == ("False", Reason.UPSTREAM_GONE)


class TestWhatIsWatched:
    def test_a_revision_that_serves_beside_a_newer_declaration_must_be_available_too(self) -> None:
        old = view(2, "b")
        scene = Scene(view(1, "a"), old)
        role = scene.status.stable
        assert role is not None
        scene.status = scene.status.model_copy(
            update={"last_known_good": role.model_copy(update={"revision": 2, "digest": old.spec.digest})}
        )
        scene.look(seen(commits={PINNED: TEXTS, commit("b"): None}))
        assert scene.moved() == ("False", Reason.UPSTREAM_UNCHANGED)
        assert scene.available() == ("False", Reason.UPSTREAM_GONE)

    def test_a_look_that_did_not_ask_for_the_commit_says_nothing_about_it(self) -> None:
        scene = Scene()
        scene.look(seen(commits={NEW: TEXTS}))
        assert scene.moved() == ("Unknown", Reason.UPSTREAM_NOT_CHECKED)

    def test_what_was_found_stands_over_a_restart(self) -> None:
        scene = Scene()
        scene.look(seen(refs={"refs/heads/main": NEW}))
        writes = scene.writes
        scene.restart()
        scene.look()
        assert scene.moved() == ("True", Reason.UPSTREAM_MOVED)
        assert scene.writes == writes

    def test_without_checks_nothing_is_claimed_or_kept(self) -> None:
        scene = Scene()
        scene.look(seen(refs={"refs/heads/main": NEW}))
        scene.more = {"upstream": {"checkSeconds": 0}}
        scene.look()
        assert scene.status.upstream is None
        assert scene.condition(ConditionType.UPSTREAM_MOVED) is None
        assert scene.condition(ConditionType.UPSTREAM_AVAILABLE) is None

    def test_another_hub_than_the_operators_is_not_spoken_of(self) -> None:
        other = view()
        origin = other.spec.model.source.hugging_face
        assert origin is not None
        source = other.spec.model.source.model_copy(
            update={"hugging_face": origin.model_copy(update={"endpoint": "https://elsewhere.example"})}
        )
        model = other.spec.model.model_copy(update={"source": source})
        scene = Scene(replace(other, spec=other.spec.model_copy(update={"model": model})))
        assert scene.condition(ConditionType.UPSTREAM_MOVED) is None

    def test_without_a_record_the_default_branch_is_followed_and_the_license_is_not_judged(self) -> None:
        scene = Scene(view(recorded=None))
        scene.look(seen(license="other"))
        assert scene.moved() == ("False", Reason.UPSTREAM_UNCHANGED)
        scene.look(seen(refs={"refs/heads/main": NEW}))
        assert scene.moved() == ("True", Reason.UPSTREAM_MOVED)

    def test_long_findings_fit_the_status(self) -> None:
        scene = Scene(view(recorded=Recorded(license=License(id="x" * 256), refs=["r" * 256 for _ in range(16)])))
        scene.look(seen(license="y" * 256, name="n" * 193, refs={}))
        assert scene.moved()[0] == "True"
