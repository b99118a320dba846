"""The command line of llama.cpp's `llama-server` over the HTTP server inside the xllamacpp wheel.

Engine and server are llama.cpp's own C++ code; only the reading of the arguments is ours. The flags are those of
https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md that Holdfast renders; any other is an error, as there.

Differences from the original program: the process ends at once on SIGTERM (the wheel would wait up to 30 s for open streams),
and `system_fingerprint` does not carry a build number.
"""

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

_SAMPLING = {
    "temp": "temp",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repeat_penalty": "penalty_repeat",
    "presence_penalty": "penalty_present",
    "frequency_penalty": "penalty_freq",
    "repeat_last_n": "penalty_last_n",
}
"""Names of options and of the engine's own fields."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as llama-server does, and exits with 1."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(1)


def parser() -> argparse.ArgumentParser:
    """Return a parser of the flags."""
    flags = _Parser(prog="llama-server", allow_abbrev=False)
    flags.add_argument("-m", "--model", required=True, help="path of the GGUF file")
    flags.add_argument("-a", "--alias", help="name of the model in answers")
    flags.add_argument("--host", default="127.0.0.1")
    flags.add_argument("--port", type=int, default=8080)
    flags.add_argument("-c", "--ctx-size", type=int, default=0, help="tokens over all slots; 0: as the model says")
    flags.add_argument("-np", "--parallel", type=int, default=1, help="slots, each with its share of the context")
    flags.add_argument("-t", "--threads", type=int, default=1)
    flags.add_argument("-s", "--seed", type=int)
    flags.add_argument("--temp", type=float)
    flags.add_argument("--top-p", type=float)
    flags.add_argument("--top-k", type=int)
    flags.add_argument("--min-p", type=float)
    flags.add_argument("--repeat-penalty", type=float)
    flags.add_argument("--presence-penalty", type=float)
    flags.add_argument("--frequency-penalty", type=float)
    flags.add_argument("--repeat-last-n", type=int, help="tokens to look back for these; -1: all")
    flags.add_argument("--chat-template-file")
    flags.add_argument("--jinja", action="store_true", help="read the chat template with Jinja (the default)")
    flags.add_argument("--no-webui", action="store_true", help="serve no page (there is none in the wheel)")
    flags.add_argument("--metrics", action="store_true")
    flags.add_argument("--props", action="store_true")
    flags.add_argument("--api-key", default=os.environ.get("LLAMA_API_KEY"))
    flags.add_argument("--offline", action="store_true")
    flags.add_argument("-fit", "--fit", choices=["on", "off"], default="on")
    return flags


def parameters(options: argparse.Namespace, engine: Any) -> Any:
    """Return the engine's parameters for these options; `engine` is the module of the wheel, which has no types."""
    found = engine.CommonParams()
    found.model.path, found.hostnames, found.port = options.model, [options.host], options.port
    found.n_ctx, found.n_parallel, found.cpuparams.n_threads = options.ctx_size, options.parallel, options.threads
    found.endpoint_metrics, found.endpoint_props = options.metrics, options.props
    found.offline, found.fit_params = options.offline, options.fit == "on"
    if options.alias:
        found.model_alias = {options.alias}
    if options.seed is not None:
        found.sampling.seed = options.seed % 2**32  # -1 is the largest one: another seed for each request
    for name, field in _SAMPLING.items():
        if getattr(options, name) is not None:
            setattr(found.sampling, field, getattr(options, name))
    if options.chat_template_file:
        found.chat_template = Path(options.chat_template_file).read_text(encoding="utf-8")
    if options.api_key:
        found.api_keys = [options.api_key]
    return found


def main(arguments: Sequence[str]) -> NoReturn:
    """Serve until SIGTERM or SIGINT; exits with 1 when the model cannot be loaded."""
    options = parser().parse_args(arguments)
    engine = importlib.import_module("xllamacpp")  # in the image only, not where this file is checked

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        server = engine.Server(parameters(options, engine))
    except (OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    print(f"listening on {server.listening_address}", flush=True)
    stop.wait()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
