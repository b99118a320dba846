"""The command line of llama-server: what Holdfast renders is taken, anything else is an error."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from testbed.engines.llama_server import parameters, parser


def _engine() -> SimpleNamespace:
    """What the wheel's module has, as far as it is used."""
    return SimpleNamespace(
        CommonParams=lambda: SimpleNamespace(
            model=SimpleNamespace(), cpuparams=SimpleNamespace(), sampling=SimpleNamespace(seed=None), chat_template=""
        )
    )


def _parameters(line: str) -> SimpleNamespace:
    found: SimpleNamespace = parameters(parser().parse_args(line.split()), _engine())
    return found


def test_takes_what_is_rendered(tmp_path: Path) -> None:
    template = tmp_path / "template.jinja"
    template.write_text("{{ messages }}")
    found = _parameters(
        f"--model /m/x.gguf --alias chat --host 10.0.0.1 --port 8000 --ctx-size 512 --seed 7 --temp 0.7 --top-p 0.8 --top-k 20 "
        f"--min-p 0 --fit off --jinja --offline --no-webui --metrics --chat-template-file {template}"
    )
    assert (found.model.path, found.model_alias, found.hostnames, found.port) == ("/m/x.gguf", {"chat"}, ["10.0.0.1"], 8000)
    assert (found.n_ctx, found.endpoint_metrics, found.offline, found.fit_params) == (512, True, True, False)
    assert vars(found.sampling) == {"seed": 7, "temp": 0.7, "top_p": 0.8, "top_k": 20, "min_p": 0.0}
    assert found.chat_template == "{{ messages }}"


def test_what_is_not_said_stays_as_the_engine_has_it() -> None:
    found = _parameters("-m x.gguf")
    assert vars(found.sampling) == {"seed": None}
    assert not hasattr(found, "api_keys")


def test_a_seed_of_minus_1_is_the_engines_number_for_a_random_one() -> None:
    assert _parameters("-m x.gguf --seed -1").sampling.seed == 4_294_967_295


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-m x.gguf --hf-repo a/b", "unrecognized arguments: --hf-repo a/b"),
        ("-m x.gguf --metric", "unrecognized arguments: --metric"),
        ("-m x.gguf --port=x", "argument --port: invalid int value: 'x'"),
        ("--alias chat", "the following arguments are required: -m/--model"),
    ],
)
def test_anything_else_ends_with_1_and_says_why(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        parser().parse_args(line.split())
    assert message in capsys.readouterr().err
