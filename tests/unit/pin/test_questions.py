"""What is asked about each part of a model."""

import pytest

from builders import ENGINE_IMAGE
from holdfast.api.found import Taking
from holdfast.api.model import Model, RemoteCode
from holdfast.domain.pin import resolve_model
from holdfast.domain.questions import questions
from unit.pin.answers import CONFIG, found

SOURCE = {"huggingFace": {"repository": "lab/part", "commit": "b" * 40}}


def model(engine: str, **fields: object) -> Model:
    return Model.parse({"source": SOURCE, "engine": {"type": engine, "image": ENGINE_IMAGE}} | fields)


@pytest.mark.parametrize(("engine", "weights"), [("VLLM", Taking.SAFETENSORS), ("LlamaCpp", Taking.GGUF)])
def test_each_part_is_taken_for_what_it_is(engine: str, weights: Taking) -> None:
    parts = model(
        engine,
        tokenizer=SOURCE,
        remoteCode="Pinned",
        code=[SOURCE["huggingFace"]],
        adapters=[{"name": "tone", "source": SOURCE}],
        draftModel={"source": SOURCE, "tokens": 3},
    )
    assert {field: (asked.taking, asked.python) for field, asked in questions(parts).items()} == {
        "source": (weights, True),
        "tokenizer": (Taking.TOKENIZER, True),
        "code[0]": (Taking.CODE, True),
        "adapters[0].source": (weights, False),
        "draftModel.source": (weights, True),
    }


@pytest.mark.parametrize(
    ("declared", "python"), [({}, False), ({"remoteCode": "Forbidden"}, False), ({"remoteCode": "Pinned"}, True)]
)
def test_code_is_taken_when_its_owner_says_so(declared: dict[str, str], python: bool) -> None:
    declaration = model("VLLM", **declared)
    assert questions(declaration)["source"].python is python
    resolved = resolve_model("chat", declaration, {"source": found({"config.json": CONFIG})})
    assert (resolved.remote_code is RemoteCode.PINNED) is python
