"""Logs: one line per entry, fields beside the message, in both forms."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from holdfast import logging_setup
from holdfast.api.names import Key
from holdfast.api.reasons import Reason


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("kopf", "aiohttp.access", "asyncio", "httpx", "huggingface_hub")}
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def entry(stream: io.StringIO) -> dict[str, object]:
    (line,) = stream.getvalue().splitlines()
    found: dict[str, object] = json.loads(line)
    return found


def test_an_entry_is_one_json_object_with_its_fields(stream: io.StringIO) -> None:
    logging_setup.configure("json", stream)
    logging.getLogger("holdfast.x").info("transition", extra={"deployment": Key("ns", "chat"), "reason": Reason.PROMOTED})
    found = entry(stream)
    assert found.pop("time")
    assert found == {
        "level": "info",
        "logger": "holdfast.x",
        "message": "transition",
        "deployment": "ns/chat",
        "reason": "Promoted",
    }


def test_a_traceback_stays_within_its_entry(stream: io.StringIO) -> None:
    logging_setup.configure("json", stream)
    try:
        raise KeyError("oops")
    except KeyError:
        logging.getLogger("holdfast.x").exception("internal error")
    assert "KeyError: 'oops'" in str(entry(stream)["exception"])


def test_text_is_for_people(stream: io.StringIO) -> None:
    logging_setup.configure("text", stream)
    logging.getLogger("holdfast.x").warning("waiting", extra={"key": Key("ns", "chat")})
    assert stream.getvalue().endswith("Z WARNING waiting key=ns/chat\n")


def test_the_chatter_of_the_watch_engine_is_left_out(stream: io.StringIO) -> None:
    logging_setup.configure("json", stream)
    logging.getLogger("kopf.objects").info("Handler 'observe' succeeded.")
    assert stream.getvalue() == ""
