"""llama.cpp's own parser takes every set of arguments that is rendered for it, and understands what was meant."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from e2e.llama_parser import PYTHON, LlamaParser, RefusedError, running
from holdfast.api.engine_arguments import FREE, REFUSED, refusal
from holdfast.api.model import EngineType, Model
from holdfast.render.deployment import problems
from holdfast.render.version1.llama_cpp import LlamaCpp
from testbed import Testbed, images
from testbed_tests import probe
from testbed_tests.image_pods import NAMESPACE, config_map, serve, spec
from unit.render.cases import FULL, GGUF, MINIMAL, PARTS, TEMPLATE, declared, resolved

GOLDEN = {"minimal": MINIMAL["llama-cpp"], "full": FULL["llama-cpp"], "parts": PARTS["llama-cpp"]}
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
SAMPLING = {
    "temperature": ("sampling.temp", some.floats(0, 10)),
    "topP": ("sampling.top_p", some.floats(0, 1)),
    "topK": ("sampling.top_k", some.integers(0, 1_000_000)),
    "minP": ("sampling.min_p", some.floats(0, 1)),
    "repetitionPenalty": ("sampling.penalty_repeat", some.floats(0.01, 10)),
    "presencePenalty": ("sampling.penalty_present", some.floats(-2, 2)),
    "frequencyPenalty": ("sampling.penalty_freq", some.floats(-2, 2)),
}
"""Sampling defaults, and llama.cpp's own fields for them."""
OPTIONS = some.fixed_dictionaries(
    {},
    optional={
        "contextLength": some.integers(1, 16_777_216),
        "seed": some.integers(0, 2**32 - 1),
        "kvCacheDataType": some.sampled_from(CACHE_TYPES),
    },
)
GENERATION = some.fixed_dictionaries({}, optional={name: values for name, (_, values) in SAMPLING.items()}).filter(bool)

HOSTILE = [
    "--model=/tmp/other.gguf",
    "--lora=/tmp/adapter.gguf",
    "--lora_scaled=/tmp/adapter.gguf:2",
    "--control-vector=/tmp/vector.gguf",
    "--override-kv=tokenizer.ggml.add_bos_token=bool:true",
    "--mmproj=/tmp/projector.gguf",
    "--model-draft=/tmp/draft.gguf",
    "-md=/tmp/draft.gguf",
    "--spec-draft-hf=other/model",
    "--lookup-cache-static=/tmp/lookup",
    "--models-dir=/tmp",
    "--slot-save-path=/tmp",
    "--path=/tmp",
    "--tools=all",
    "--agent",
    "--props",
    "--alias=other",
    "--no-jinja",
    "--chat-template=chatml",
    "--temp=2",
    "--repeat_last_n=1",
    "--ctx-size=1",
    "-c=1",
    "--fit=on",
]
"""What llama.cpp would take, and what loosens the pin or says again what is said."""


@pytest.fixture(scope="module")
def parser(bed: Testbed) -> Iterator[LlamaParser]:
    bed.kubectl.apply([probe.namespace(NAMESPACE)])
    bed.kubectl.apply([config_map("llama-parser", {"chat-template.jinja": TEMPLATE.encode()})])
    of = spec(images.ensure(bed, "llamacpp"), command=["sleep", "infinity"], files="llama-parser", at="/holdfast/revision")
    serve(bed, "llama-parser", of)
    with running(bed.kubectl.command("exec", "--stdin", "--namespace", NAMESPACE, "llama-parser", "--", PYTHON)) as found:
        yield found
    bed.kubectl.run("delete", "pod", "llama-parser", "--namespace", NAMESPACE, "--wait=false")


def arguments(model: Model, paths: tuple[str, ...] = GGUF) -> tuple[str, ...]:
    found = resolved(model, paths)
    assert problems(found) == []
    return LlamaCpp().container(found, fingerprint="", drain_seconds=30).args


@pytest.mark.parametrize(("model", "paths"), GOLDEN.values(), ids=GOLDEN)
def test_it_takes_what_the_golden_files_have(parser: LlamaParser, model: Model, paths: tuple[str, ...]) -> None:
    found = parser.parse(arguments(model, paths), "model.path", "hostnames", "port", "offline", "fit_params", "endpoint_metrics")
    assert found["model.path"].startswith("/holdfast/model/")
    assert (found["hostnames"], found["port"]) == (["0.0.0.0"], 8000)  # noqa: S104 - an argument that was rendered
    assert (found["offline"], found["fit_params"], found["endpoint_metrics"]) == (True, False, True)


def test_it_takes_a_template_and_a_draft_model(parser: LlamaParser) -> None:
    assert parser.parse(arguments(*FULL["llama-cpp"]), "chat_template", "use_jinja") == {
        "chat_template": TEMPLATE,
        "use_jinja": True,
    }
    found = parser.parse(arguments(*PARTS["llama-cpp"]), "speculative.draft.mparams.path", "speculative.draft.n_max")
    assert found == {"speculative.draft.mparams.path": "/holdfast/draft/draft.gguf", "speculative.draft.n_max": 4}


@given(options=OPTIONS, generation=GENERATION)
@settings(deadline=None, max_examples=100)
def test_it_takes_whatever_an_owner_can_declare(
    parser: LlamaParser, options: dict[str, Any], generation: dict[str, float]
) -> None:
    model = declared("LlamaCpp", engine_fields={"options": options} if options else None, generation=generation)
    fields = {SAMPLING[name][0]: value for name, value in generation.items()}
    found = parser.parse(arguments(model), "n_ctx", "sampling.seed", "sampling.penalty_last_n", *fields)
    assert found["n_ctx"] == options.get("contextLength", 0)
    assert found["sampling.seed"] == options.get("seed", 2**32 - 1)
    assert found["sampling.penalty_last_n"] == options.get("contextLength", 262_144)
    assert {name: found[name] for name in fields} == pytest.approx(fields, rel=1e-6)


@pytest.mark.parametrize("argument", ["--nonsense", "--metric", "--seed=1", "--repeat-last-n -1", "--ctx-size many"])
def test_it_would_tell(parser: LlamaParser, argument: str) -> None:
    with pytest.raises(RefusedError):
        parser.parse(["--model", "/holdfast/model/tiny.gguf", *argument.split()])


@pytest.mark.parametrize("argument", HOSTILE)
def test_what_it_would_take_from_a_hostile_editor_is_refused(parser: LlamaParser, argument: str) -> None:
    parser.parse(["--offline", "--model", "/holdfast/model/tiny.gguf", *argument.split("=", 1)])
    assert refusal(EngineType.LLAMA_CPP, argument)


def test_each_flag_that_is_refused_or_freed_by_name_is_one_of_its_own(parser: LlamaParser) -> None:
    """A flag that was renamed would no longer be refused under its new name."""
    known = set(re.findall(r"(?<![\w-])--[a-z0-9][a-z0-9.-]*", parser.help()))
    refused = REFUSED[EngineType.LLAMA_CPP]
    assert {flag for flag in refused if not flag.endswith("*")} - known == set()
    families = [flag.removesuffix("*") for flag in refused if flag.endswith("*")]
    assert [family for family in families if not any(flag.startswith(family) for flag in known)] == []
    assert set(FREE[EngineType.LLAMA_CPP]) - known == set()
