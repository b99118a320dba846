"""Lanes run side by side, fail as one, and leave nothing behind."""

import io
import sys
import time
from pathlib import Path

from lanes.run import run


def program(name: str, text: str) -> tuple[str, list[str]]:
    return name, [sys.executable, "-c", f"import pathlib, sys, time, os\n{text}"]


def waits_for(path: Path) -> str:
    return f"p = pathlib.Path({str(path)!r})\nwhile not p.exists(): time.sleep(0.01)"


def played(lanes: list[list[tuple[str, list[str]]]], folder: Path) -> tuple[int, str]:
    screen = io.StringIO()
    code = run(lanes, folder, out=screen)
    return code, screen.getvalue()


def test_lanes_run_side_by_side_and_tiers_in_their_order(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    first = [program("first", f"pathlib.Path({str(one)!r}).touch()\n{waits_for(two)}"), program("after", "print(3)")]
    second = [program("second", f"{waits_for(one)}\npathlib.Path({str(two)!r}).touch()")]
    code, text = played([first, second], tmp_path)
    assert code == 0
    assert text.index("first: passed") < text.index("after: passed")


def test_the_output_of_a_tier_is_printed_in_one_piece(tmp_path: Path) -> None:
    talk = "for n in range(3): print('line', n, flush=True); time.sleep(0.05)"
    _, text = played([[program("a", talk)], [program("b", talk)]], tmp_path)
    assert text.count("line 0\nline 1\nline 2\n") == 2


def test_a_failure_ends_the_other_lanes_and_is_the_exit_status(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    sleeper = f"pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\ntime.sleep(600)"
    failing = f"{waits_for(pid)}\nwhile not p.read_text(): time.sleep(0.01)\nprint('what was wrong')\nsys.exit(3)"
    began = time.monotonic()
    code, text = played(
        [[program("sleeper", sleeper), program("never", "print('never')")], [program("failing", failing)]], tmp_path
    )
    assert code == 1
    assert "failing: FAILED with status 3" in text
    assert "what was wrong" in text
    assert "never" not in text
    assert time.monotonic() - began < 60
    assert not Path(f"/proc/{pid.read_text()}").exists(), "the other lane's process is gone"


def test_a_tier_that_is_killed_is_a_failure(tmp_path: Path) -> None:
    code, text = played([[program("killed", "os.kill(os.getpid(), 9)")]], tmp_path)
    assert code == 1
    assert "FAILED with status -9" in text
