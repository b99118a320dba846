"""vLLM's own parser takes every set of arguments that is rendered for it, and understands what was meant."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from e2e.vllm_models import models
from e2e.vllm_parser import RefusedError, VllmParser, running
from holdfast.api.engine_arguments import FREE, REFUSED, refusal
from holdfast.api.model import EngineType, Model
from holdfast.render.deployment import problems
from holdfast.render.version1.vllm import VLLM
from testbed import Testbed, images
from testbed_tests import probe
from testbed_tests.image_pods import NAMESPACE, serve, spec
from unit.render.cases import FULL, MINIMAL, PARTS, SAFETENSORS, resolved

pytestmark = pytest.mark.vllm

FINGERPRINT = "v1:0123456789ab"
GOLDEN = {"minimal": MINIMAL["vllm"], "full": FULL["vllm"], "parts": PARTS["vllm"]}

HOSTILE = [
    "--model=other/model",
    "--revis=main",
    "--trust-remote-code",
    "--trust-request-ch",
    "--load-format=auto",
    "--hf-overrides={}",
    "--hf-overrides.architectures+=Other",
    '--speculative-config={"model": "other/model"}',
    "--speculative_config.model=other/model",
    "--spec-model=other/model",
    "--lora-modules=other=lab/adapter",
    "--enable-lora",
    "--middleware=os.system",
    "--worker-cls=os.system",
    '--structured-outputs-config={"reasoning_parser_plugin": "/holdfast/model/x.py"}',
    '--structured-outputs-config={"reasoning\\u005fparser_plugin": "/holdfast/model/x.py"}',
    "--structured-outputs-config.reasoning_parser_plugin=/holdfast/model/x.py",
    '--compilation-config={"cache_dir": "/holdfast/model"}',
    '--compilation-config={"inductor_compile_config": {"cpp.cxx": "/holdfast/model/x"}}',
    "-cc.cache_dir=/holdfast/model",
    '--ec-manager-config={"encoder_cache_manager_cls": "os.system"}',
    '--profiler-config={"profiler": "torch", "torch_profiler_dir": "/tmp"}',
    "--enable-fault-tolerance",
    "--kv-offloading-backend=lmcache",
    "--otlp-traces-endpoint=http://other",
    "--allowed-local-media-path=/",
    "--seed=1",
    "-tp=2",
]
"""What vLLM would take, and what loosens the pin or says again what is said."""


@pytest.fixture(scope="module")
def parser(bed: Testbed) -> Iterator[VllmParser]:
    bed.kubectl.apply([probe.namespace(NAMESPACE)])
    limits = {"resources": {"limits": {"memory": "2Gi"}}}
    serve(bed, "vllm-parser", spec(images.ensure(bed, "vllm"), command=["sleep", "infinity"], container=limits), within=300)
    with running(bed.kubectl.command("exec", "--stdin", "--namespace", NAMESPACE, "vllm-parser", "--", "python3")) as found:
        yield found
    bed.kubectl.run("delete", "pod", "vllm-parser", "--namespace", NAMESPACE, "--wait=true")


def arguments(model: Model, paths: tuple[str, ...] = SAFETENSORS) -> tuple[str, ...]:
    found = resolved(model, paths)
    assert problems(found) == []
    return VLLM().container(found, fingerprint=FINGERPRINT, drain_seconds=30).args


@pytest.mark.timeout(1500)  # the first one builds the image
@pytest.mark.parametrize(("model", "paths"), GOLDEN.values(), ids=GOLDEN)
def test_it_takes_what_the_golden_files_have(parser: VllmParser, model: Model, paths: tuple[str, ...]) -> None:
    found = parser.parse(arguments(model, paths))
    assert found["model_tag"] == "/holdfast/model"
    assert found["load_format"] == "safetensors"
    assert (found["fingerprint_mode"], found["fingerprint_value"]) == ("custom", FINGERPRINT)


@given(model=models())
@settings(deadline=None, max_examples=200)
def test_it_takes_whatever_an_owner_can_declare(parser: VllmParser, model: Model) -> None:
    found = parser.parse(arguments(model))
    options = model.engine.options
    assert options is not None
    assert found["max_model_len"] == options.context_length
    assert found["quantization"] == options.quantization
    assert found["kv_cache_dtype"] == (options.kv_cache_data_type or "auto")
    assert found["pipeline_parallel_size"] == (options.pipeline_parallelism or 1)
    assert found["trust_remote_code"] is (model.remote_code == "Pinned")
    assert [each["name"] for each in found["lora_modules"] or []] == [each.name for each in model.adapters or ()]
    tokens = model.draft_model.tokens if model.draft_model else None
    assert (found["speculative_config"] or {}).get("num_speculative_tokens") == tokens
    said = model.generation.temperature if model.generation else None
    assert found["override_generation_config"]["temperature"] == (1.0 if said is None else said)


@pytest.mark.parametrize("argument", ["--nonsense=1", "--kv-cache-dtype=nonsense", "--seed=many"])
def test_it_would_tell(parser: VllmParser, argument: str) -> None:
    with pytest.raises(RefusedError):
        parser.parse(["/holdfast/model", argument])


@pytest.mark.parametrize("argument", HOSTILE)
def test_what_it_would_take_from_a_hostile_editor_is_refused(parser: VllmParser, argument: str) -> None:
    parser.parse(["/holdfast/model", argument])
    assert refusal(EngineType.VLLM, argument)


def test_a_flag_is_refused_under_each_of_its_names(parser: VllmParser) -> None:
    for names in parser.flags().values():
        whole = [name for name in names if name.startswith("--")]
        assert len({refusal(EngineType.VLLM, name) is None for name in whole}) <= 1, names


def test_each_flag_that_is_refused_or_freed_by_name_is_one_of_its_own(parser: VllmParser) -> None:
    """A flag that was renamed would no longer be refused under its new name."""
    known = {name for names in parser.flags().values() for name in names}
    assert {flag for flag in REFUSED[EngineType.VLLM] if not flag.endswith("*")} - known == set()
    families = [flag.removesuffix("*") for flag in REFUSED[EngineType.VLLM] if flag.endswith("*")]
    assert [family for family in families if not any(flag.startswith(family) for flag in known)] == []
    assert set(FREE[EngineType.VLLM]) - known == set()
