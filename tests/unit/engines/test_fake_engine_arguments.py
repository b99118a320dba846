"""The fake engine takes each engine's command line as Holdfast renders it."""

from pathlib import Path

import pytest

from testbed.engines.fake_engine.arguments import ArgumentsError, Flavor, Settings, parse


def _parse(line: str, **environment: str) -> Settings:
    program, *arguments = line.split()
    return parse(program, arguments, environment)


@pytest.mark.parametrize(
    ("line", "flavor"),
    [
        ("vllm serve /m", Flavor.VLLM),
        ("text-generation-launcher --model-id=/m", Flavor.TGI),
        ("/opt/lib/sglang/launch_server.py --model-path=/m", Flavor.SGLANG),
        ("llama-server -m /m/x.gguf", Flavor.LLAMACPP),
        ("fake-engine --flavor tgi --model-id=/m", Flavor.TGI),
        ("fake-engine --flavor=sglang --model-path=/m", Flavor.SGLANG),
        ("fake-engine /m --served-model-name=x", Flavor.VLLM),
        ("fake-engine --model-id=/m", Flavor.TGI),
        ("fake-engine --model-path=/m", Flavor.SGLANG),
        ("fake-engine --model /m/x.gguf --alias x", Flavor.LLAMACPP),
    ],
)
def test_the_program_the_flag_or_the_arguments_tell_the_engine(line: str, flavor: Flavor) -> None:
    assert _parse(line).flavor is flavor


def test_reads_vllm() -> None:
    found = _parse(
        "vllm serve /holdfast/model --tokenizer=/holdfast/model --served-model-name=chat --host=10.0.0.1 --port=8000 "
        "--load-format=safetensors --fingerprint-mode=custom --fingerprint-value=v1:abc --shutdown-timeout=30 "
        "--max-model-len=512 --enforce-eager"
    )
    assert (found.model, found.served_name, found.host, found.port) == (Path("/holdfast/model"), "chat", "10.0.0.1", 8000)
    assert (found.fingerprint, found.drain_seconds, found.context_length) == ("v1:abc", 30, 512)


def test_reads_tgi() -> None:
    found = _parse(
        "text-generation-launcher --model-id=/holdfast/model --hostname=10.0.0.1 --port=8000 --num-shard=1 "
        "--graceful-termination-timeout=20 --max-total-tokens=64 --usage-stats=off"
    )
    assert (found.model, found.served_name, found.port) == (Path("/holdfast/model"), "/holdfast/model", 8000)
    assert (found.drain_seconds, found.context_length) == (20, 64)


def test_reads_sglang() -> None:
    found = _parse(
        "sglang --model-path=/holdfast/model --served-model-name=chat --host=10.0.0.1 --port=8000 --enable-metrics "
        "--weight-version=abc --context-length=128 --random-seed=0"
    )
    assert (found.model, found.served_name, found.port) == (Path("/holdfast/model"), "chat", 8000)
    assert (found.metrics, found.weight_version, found.context_length) == (True, "abc", 128)


def test_reads_llama_cpp() -> None:
    found = _parse(
        "llama-server --model /holdfast/model/tiny.gguf --alias chat --host 10.0.0.1 --port 8000 --ctx-size 0 --seed -1 "
        "--jinja --offline --no-webui --metrics"
    )
    assert (found.model, found.served_name, found.port) == (Path("/holdfast/model/tiny.gguf"), "chat", 8000)
    assert (found.metrics, found.context_length) == (True, 32768)


def test_metrics_are_off_where_a_flag_turns_them_on() -> None:
    assert not _parse("sglang --model-path=/m").metrics
    assert not _parse("llama-server -m /m/x.gguf").metrics


def test_an_underscore_is_a_hyphen() -> None:
    assert _parse("vllm serve /m --served_model_name chat").served_name == "chat"


def test_the_key_comes_from_the_variable_of_the_engine_unless_a_flag_says_it() -> None:
    assert _parse("vllm serve /m", VLLM_API_KEY="a").api_key == "a"
    assert _parse("vllm serve /m --api-key b", VLLM_API_KEY="a").api_key == "b"


def test_keeps_what_it_was_started_with() -> None:
    assert _parse("vllm serve /m --unknown=1").argv == ("vllm", "serve", "/m", "--unknown=1")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("vllm serve --port=1", "no model is given to the fake vllm"),
        ("fake-engine --flavor ollama /m", "--flavor is one of vllm, tgi, sglang, llamacpp, not 'ollama'"),
        ("vllm serve /m --port=x", "port is not a number: 'x'"),
        ("vllm serve /m --port", "--port has no value"),
    ],
)
def test_says_what_cannot_be_used(line: str, message: str) -> None:
    with pytest.raises(ArgumentsError, match=message):
        _parse(line)
