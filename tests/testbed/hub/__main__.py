"""``python -m testbed.hub``: the Hub stand-in as a program of its own."""

import argparse
import asyncio
import json
import secrets
import signal
import sys
from pathlib import Path

from testbed.hub.admin import HubAdmin
from testbed.hub.content import write_atomically
from testbed.hub.seed import seed_demo
from testbed.hub.server import check_address, make_state
from testbed.hub.service import HubService

EXIT_UNEXPECTED = 3

_DESCRIPTION = "A stand-in for the Hugging Face Hub: point HF_ENDPOINT of the real client at it."
_EPILOG = """\
When it listens, one line of JSON on standard output says where: {"url": ..., "cdn_url": ..., "admin_token_file": ...}.
SIGTERM or SIGINT ends it. Exit status 3: requests came in that no client of the Hub sends; they are listed.

example:
  python -m testbed.hub --listen 127.0.0.1:8100 --root /var/tmp/hub --seed-demo
  HF_ENDPOINT=http://127.0.0.1:8100 hf download holdfast/tiny-chat
"""


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal and return the exit status."""
    options = _parse(arguments)
    token_file: Path = options.admin_token_file or options.root / "admin-token"
    return asyncio.run(_serve(options, token_file))


async def _serve(options: argparse.Namespace, token_file: Path) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    token = _admin_token(token_file)
    state = make_state(options.root)
    service = HubService(state, token)
    address, port = options.listen
    try:
        await service.start(address, port, options.cdn_port, loopback=options.loopback)
    except OSError as exc:
        print(f"error: cannot listen on {address}: {exc.strerror or exc}", file=sys.stderr)
        return 1
    if options.seed_demo and not state.repositories:
        await asyncio.to_thread(seed_demo, HubAdmin(service.url, token))
    ready = {"url": service.url, "cdn_url": service.cdn_url, "admin_token_file": str(token_file)}
    print(json.dumps(ready), flush=True)
    await stopping.wait()
    await service.stop()
    for unexpected in state.journal.unexpected:
        print(f"unexpected: {unexpected}", file=sys.stderr)
    return EXIT_UNEXPECTED if state.journal.unexpected else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m testbed.hub",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--listen", type=_listen, default=("127.0.0.1", 0), metavar="ADDRESS:PORT",
                        help="where the Hub and the admin API listen (127.0.0.1, a free port)")  # fmt: skip
    parser.add_argument("--cdn-port", type=int, default=0, metavar="PORT",
                        help="port of the CDN at the same address (a free port)")  # fmt: skip
    parser.add_argument("--loopback", action="store_true",
                        help="the Hub listens on 127.0.0.1 as well, for kubectl port-forward to a pod")  # fmt: skip
    parser.add_argument("--root", type=Path, metavar="DIR",
                        help="folder that keeps repositories and accounts over restarts (in memory)")  # fmt: skip
    parser.add_argument("--admin-token-file", type=Path, metavar="FILE",
                        help="file with the secret of the admin API, made if absent (DIR/admin-token)")  # fmt: skip
    parser.add_argument("--seed-demo", action="store_true",
                        help="fill an empty hub with the demo's repositories")  # fmt: skip
    options = parser.parse_args(arguments)
    if options.root is None and options.admin_token_file is None:
        parser.error("give --root DIR, or --admin-token-file FILE: the admin token has to be somewhere")
    return options


def _listen(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    try:
        return check_address(address.strip("[]")), int(port)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDRESS:PORT of one interface: {exc}") from exc


def _admin_token(path: Path) -> str:
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(24).encode())
    return path.read_text().strip()


if __name__ == "__main__":
    sys.exit(main())
