"""llama.cpp's `llama-server` from the xllamacpp wheel, which has all of it but the program itself.

llama.cpp's own parser reads the command line (``common_params_parse`` of common/arg.cpp, for the example ``server``), and its own
HTTP server answers; the wheel's Python classes only pass neither of them on.

Differences from the original program: the process ends at once on SIGTERM (the wheel would wait up to 30 s for open streams),
and `system_fingerprint` does not carry a build number.
"""

import ctypes
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, NoReturn

_PARSE = "_Z19common_params_parseiPPcR13common_params13llama_examplePFviS0_E"
"""bool common_params_parse(int argc, char ** argv, common_params &, llama_example, void (*print_usage)(int, char **))"""
_SERVER = 12
"""LLAMA_EXAMPLE_SERVER: which of llama.cpp's programs the flags are for."""


def parameters(arguments: Sequence[str], engine: Any) -> Any:
    """Return the engine's parameters for a command line.

    Args:
        arguments: without the program's name.
        engine: the module of the wheel, which has no types.

    Raises:
        SystemExit: llama.cpp does not take the arguments; it has said why.
    """
    found = engine.CommonParams()
    words = [b"llama-server", *(argument.encode() for argument in arguments)]
    parse = ctypes.PyDLL(engine.xllamacpp.__file__)[_PARSE]
    parse.restype = ctypes.c_bool
    # The object of the wheel's class is a Python object's header with the C++ object behind it.
    target = ctypes.c_void_p(id(found) + object.__basicsize__)
    if not parse(len(words), (ctypes.c_char_p * (len(words) + 1))(*words, None), target, _SERVER, None):
        raise SystemExit(1)
    return found


def main(arguments: Sequence[str]) -> NoReturn:
    """Serve until SIGTERM or SIGINT; exits with 1 when the arguments or the model cannot be used."""
    engine = importlib.import_module("xllamacpp")  # in the image only, not where this file is checked
    found = parameters(arguments, engine)

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        server = engine.Server(found)
    except (OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    print(f"listening on {server.listening_address}", flush=True)
    stop.wait()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
