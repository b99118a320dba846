"""What is refused before an owner is asked: each case names its field and says what to write."""

from typing import Any

import pytest

from builders import ENGINE_IMAGE
from holdfast.api.found import Found
from holdfast.api.model import Model
from holdfast.domain.checks import problems, size_problems
from holdfast.domain.pin import resolve_model
from unit.pin.answers import CONFIG, found

FOREIGN = {"auto_map": {"AutoModel": "other/code--modeling.Model"}}
LOCAL = {"auto_map": {"AutoConfig": "configuration.Config", "AutoTokenizer": ["tokenization.Slow", None]}}
CLOCK = "{% if strftime_now is defined %}{{ strftime_now('%d') }}{% endif %}"


def told(answers: dict[str, Found], **fields: Any) -> list[str]:
    wire = {
        "source": {"huggingFace": {"repository": "lab/model", "commit": "a" * 40}},
        "engine": {"type": "VLLM", "image": ENGINE_IMAGE},
    } | fields
    return problems(Model.parse(wire), answers)


def hub(repository: str, letter: str = "b") -> dict[str, Any]:
    return {"huggingFace": {"repository": repository, "commit": letter * 40}}


def test_a_plain_model_is_fine() -> None:
    assert told({"source": found({"config.json": CONFIG})}) == []


@pytest.mark.parametrize("path", ["config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json"])
def test_code_of_a_repository_that_nobody_pinned(path: str) -> None:
    (problem,) = told({"source": found({path: FOREIGN})})
    assert problem == (
        f"spec.model.source: {path} loads Python code of other/code, which is not pinned; write remoteCode: Pinned and code with"
        " repository other/code and its commit (holdfast pin --remote-code writes both), or remoteCode: Forbidden to serve without it"
    )


def test_pinning_code_of_another_repository_does_not_help() -> None:
    answers = {"source": found({"config.json": FOREIGN}), "code[0]": found({}, "modeling.py", repository="some/code")}
    code = [{"repository": "some/code", "commit": "c" * 40}]
    assert "other/code, which is not pinned" in told(answers, remoteCode="Pinned", code=code)[0]


def test_pinned_code_is_fine() -> None:
    answers = {"source": found({"config.json": FOREIGN}), "code[0]": found({}, "modeling.py", repository="other/code")}
    assert told(answers, remoteCode="Pinned", code=[{"repository": "other/code", "commit": "c" * 40}]) == []


def test_a_model_may_be_served_without_its_code_when_the_owner_says_so() -> None:
    assert told({"source": found({"config.json": FOREIGN})}, remoteCode="Forbidden") == []
    assert told({"source": found({"config.json": LOCAL})}) == []


def test_code_of_the_repository_itself_has_to_be_among_the_files() -> None:
    missing = told({"source": found({"config.json": LOCAL}, "configuration.py")}, remoteCode="Pinned")
    assert missing == ["spec.model.source: config.json loads 'tokenization'.py, which is not among the files; check include"]
    assert told({"source": found({"config.json": LOCAL}, "configuration.py", "tokenization.py")}, remoteCode="Pinned") == []


def test_the_code_of_a_tokenizer_counts() -> None:
    answers = {"source": found({"config.json": CONFIG}), "tokenizer": found({"tokenizer_config.json": FOREIGN})}
    assert "spec.model.tokenizer: tokenizer_config.json" in told(answers, tokenizer=hub("lab/words"))[0]


def adapter(config: object, *, base_model: str | None = None) -> list[str]:
    answers = {"source": found({"config.json": CONFIG}), "adapters[0].source": found({"adapter_config.json": config})}
    declared = {"name": "tone", "source": hub("lab/tone")} | ({"baseModel": base_model} if base_model else {})
    return told(answers, adapters=[declared])


def test_an_adapter_of_this_model_is_fine() -> None:
    assert adapter({"base_model_name_or_path": "lab/model"}) == []
    assert adapter({"base_model_name_or_path": "lab/model", "revision": "a" * 40}) == []
    assert adapter({"base_model_name_or_path": "lab/model", "revision": "main"}) == []


@pytest.mark.parametrize("made_for", ["lab/other", None, "/data/model", 3])
def test_an_adapter_of_another_model_is_refused(made_for: object) -> None:
    (problem,) = adapter({"base_model_name_or_path": made_for})
    assert problem.startswith(f"spec.model.adapters[0]: the adapter was made for {made_for!a}, and the model is lab/model;")


def test_an_adapter_of_another_commit_is_refused() -> None:
    assert "was made for commit" in adapter({"base_model_name_or_path": "lab/model", "revision": "c" * 40})[0]


def test_the_owner_may_say_that_two_names_are_one_model() -> None:
    assert adapter({"base_model_name_or_path": "mirror/model"}, base_model="mirror/model") == []
    assert adapter({"base_model_name_or_path": "lab/other"}, base_model="mirror/model") != []


def test_an_adapter_without_its_configuration_is_none() -> None:
    answers = {"source": found({"config.json": CONFIG}), "adapters[0].source": found({"config.json": CONFIG})}
    assert "have no adapter_config.json" in told(answers, adapters=[{"name": "tone", "source": hub("lab/tone")}])[0]


@pytest.mark.parametrize("field", ["source", "draftModel.source"])
def test_a_model_that_makes_the_engine_load_another_is_refused(field: str) -> None:
    redirect = {"speculators_config": {"verifier": {"name_or_path": "meta/llama"}}}
    answers = {"source": found({"config.json": CONFIG})} | {field: found({"config.json": redirect})}
    draft = {"draftModel": {"source": hub("lab/draft"), "tokens": 3}} if field != "source" else {}
    (problem,) = told(answers, **draft)
    assert problem.startswith(f"spec.model.{field}: config.json is in speculators format and makes the engine load 'meta/llama'")


@pytest.mark.parametrize(
    "texts",
    [
        {"chat_template.jinja": CLOCK},
        {"tokenizer_config.json": {"chat_template": CLOCK}},
        {
            "tokenizer_config.json": {
                "chat_template": [{"name": "default", "template": "A"}, {"name": "tools", "template": CLOCK}]
            }
        },
        {"chat_template.jinja": "A", "additional_chat_templates/tools.jinja": CLOCK},
    ],
)
def test_a_prompt_with_the_date_is_refused_until_it_is_accepted(texts: dict[str, Any]) -> None:
    (problem,) = told({"source": found(texts)})
    assert "strftime_now" in problem
    assert "chatTemplate.clock: Allowed" in problem
    assert told({"source": found(texts)}, chatTemplate={"clock": "Allowed"}) == []
    assert told({"source": found(texts)}, chatTemplate={"text": "A"}) == []


def test_the_owners_own_template_may_not_ask_for_the_date_either() -> None:
    (problem,) = told({"source": found({})}, chatTemplate={"text": CLOCK})
    assert problem.startswith("spec.model.chatTemplate.text asks for today's date")
    assert told({"source": found({})}, chatTemplate={"text": CLOCK, "clock": "Allowed"}) == []


def test_the_date_that_vllm_itself_writes_into_prompts_is_refused_until_it_is_fixed() -> None:
    files = {"source": found({"config.json": CONFIG | {"model_type": "gpt_oss"}, "chat_template.jinja": CLOCK})}
    (problem,) = told(files)
    assert problem.startswith("spec.model.engine: VLLM itself writes today's date into every prompt of a gpt_oss model")
    (problem,) = told(files, chatTemplate={"text": "A"})
    assert "VLLM_SYSTEM_START_DATE" in problem
    fixed = {"type": "VLLM", "image": ENGINE_IMAGE, "env": [{"name": "VLLM_SYSTEM_START_DATE", "value": "2026-01-01"}]}
    assert told(files, engine=fixed) == []
    assert told(files, chatTemplate={"clock": "Allowed"}) == []
    (problem,) = told(files, engine={"type": "SGLang", "image": ENGINE_IMAGE})
    assert "strftime_now" in problem


def test_lists_that_no_config_map_holds_together_are_refused() -> None:
    paths = [f"{'x' * 200}/{number}.safetensors" for number in range(1500)]
    wire = {
        "source": {"huggingFace": {"repository": "lab/model", "commit": "a" * 40}},
        "draftModel": {"source": hub("lab/draft"), "tokens": 3},
        "engine": {"type": "VLLM", "image": ENGINE_IMAGE},
    }
    small = {"source": found({}, *paths, read=False), "draftModel.source": found({}, "model.safetensors", read=False)}
    assert size_problems(resolve_model("chat", Model.parse(wire), small)) == []
    large = {**small, "draftModel.source": found({}, *paths, read=False)}
    (problem,) = size_problems(resolve_model("chat", Model.parse(wire), large))
    assert problem.startswith("spec.model: the lists of files of all its parts are ")


def test_a_malformed_file_is_told_and_the_rest_is_still_checked() -> None:
    found_problems = told({"source": found({"config.json": "{", "chat_template.jinja": CLOCK})})
    assert found_problems[0] == "spec.model: config.json is not JSON"
    assert any("strftime_now" in problem for problem in found_problems)
