"""Steps of the demo fail when what they tell did not happen: a command that failed for another reason is no refusal."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from demo.narrator import Narrator
from demo.place import Place
from demo.story import Story, StoryError
from stage.people import Outcome

REFUSED = Outcome(5, "", "error: not allowed: decisions are taken by people; a service account cannot decide, whatever its role")
DENIED = Outcome(1, "", "Error from server (Forbidden): ValidatingAdmissionPolicy 'holdfast-workloads' denied request: pinned")
UNREACHED = Outcome(6, "", "error: cannot get modeldeployments at https://127.0.0.1:1: the connection was refused")
NOT_FOUND = Outcome(1, "", 'Error from server (NotFound): deployments.apps "support-chat-1" not found')
Answer = Callable[..., Outcome]


class FakeTeam:
    """A team whose revision 1 answers everything, and whose request waits."""

    def phase(self, _name: str) -> str:
        return "AwaitingApproval"


class FakeTraffic:
    """Traffic that is answered by revision 1."""

    def after_now(self, _requests: int) -> Any:
        return SimpleNamespace(by_revision={"1": 100})


def story(tmp_path: Path, *, holdfast: Answer = lambda *_: REFUSED, kubectl: Answer = lambda *_: DENIED) -> Story:
    bot = SimpleNamespace(holdfast=holdfast, kubectl=kubectl)
    return Story(cast("Place", SimpleNamespace(team=FakeTeam(), bot=bot)), Narrator(), tmp_path)


def test_a_refused_bot_and_refused_shortcuts_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    play: Any = story(tmp_path)
    play._bots_are_refused()
    play._guards_hold(FakeTraffic())
    told = capsys.readouterr().out
    assert "refused at admission; the request still waits for a person" in told
    assert "both refused; traffic did not notice" in told


def test_a_bot_that_reached_nothing_was_not_refused(tmp_path: Path) -> None:
    play: Any = story(tmp_path, holdfast=lambda *_: UNREACHED)
    with pytest.raises(StoryError, match="the bot was refused as one"):
        play._bots_are_refused()


@pytest.mark.parametrize("word", ["set", "patch"])
def test_a_shortcut_that_found_nothing_was_not_refused(tmp_path: Path, word: str) -> None:
    play: Any = story(tmp_path, kubectl=lambda *words: NOT_FOUND if words[0] == word else DENIED)
    with pytest.raises(StoryError, match="a guard refused"):
        play._guards_hold(FakeTraffic())
