"""`python -m testbed …`: a bed by hand."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence

from testbed import places
from testbed.bed import Testbed
from testbed.errors import TestbedError
from testbed.programs import FAMILIES, Programs
from testbed.progress import Progress

_EXAMPLES = """\
examples:
  python -m testbed up                               a node and a control plane, named "default"
  python -m testbed up --name api --control-plane-only
  python -m testbed up --name scale --control-plane-only --nodes kwok:1000
  export KUBECONFIG=$(python -m testbed status -o kubeconfig)
  python -m testbed user alice --group team-a        a kubeconfig for alice
  python -m testbed shell -- kubectl get pods -A     a command in the bed's namespaces, with its programs on PATH
  python -m testbed logs kubelet --follow
  python -m testbed down
"""


def main(arguments: Sequence[str]) -> int:
    """Run one command; 0 if it did what was asked, 1 with a message if not, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except TestbedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m testbed",
        description="A real single-node Kubernetes on this machine.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=text, description=text)
        found.set_defaults(run=run)
        if name != "build":
            found.add_argument("--name", default="default", help="the bed's name (default: %(default)s)")
        return found

    up = command("up", _up, "Build what is missing, start a bed and leave it running.")
    up.add_argument("--control-plane-only", action="store_true", help="no node: needs no root, ready in seconds")
    up.add_argument("--nodes", type=_fake_nodes, default=0, metavar="kwok:N", help="N more nodes that only pretend")
    up.add_argument("--prometheus", action="store_true", help="run Prometheus too")
    command("down", _down, "End a bed and remove everything of it.")
    status = command("status", _status, "Show a bed's addresses and programs.")
    status.add_argument("-o", "--output", choices=["text", "json", "kubeconfig"], default="text")
    shell = command("shell", _shell, "Run a shell, or a command after --, in the bed's namespaces.")
    shell.add_argument("command", nargs="*", metavar="-- COMMAND")
    logs = command("logs", _logs, "Show a program's log; without a program list them.")
    logs.add_argument("program", nargs="?")
    logs.add_argument("--follow", action="store_true", help="go on with what is added")
    image = command("image", _image, "Make images, push them to the bed's registry and print their references.")
    image.add_argument("image", nargs="*", metavar="IMAGE", help="without one, list the known images")
    user = command("user", _user, "Write a kubeconfig for a person and print its path.")
    user.add_argument("user")
    user.add_argument("--group", action="append", default=[], help="may be given more than once")
    build = command("build", _build, "Build programs into the cache without starting anything.")
    build.add_argument("family", nargs="*", metavar="FAMILY", help=f"of {', '.join(FAMILIES)} (default: all)")
    return parser


def _fake_nodes(text: str) -> int:
    kind, _, count = text.partition(":")
    if kind != "kwok" or not count.isdigit() or int(count) == 0:
        raise argparse.ArgumentTypeError(f"give kwok:N with N of at least 1, such as kwok:100, not {text!r}")
    return int(count)


def _up(options: argparse.Namespace) -> int:
    bed = Testbed(
        options.name,
        control_plane_only=options.control_plane_only,
        kwok_nodes=options.nodes,
        progress=Progress(),
    )
    bed.up()
    if options.prometheus:
        print(f"Prometheus  {bed.prometheus()}")
    _describe(bed)
    return 0


def _describe(bed: Testbed) -> None:
    print(f"bed         {bed.name}")
    print(f"KUBECONFIG  {bed.kubeconfig}")
    print(f"registry    {bed.registry}")
    print(f"kubectl     {bed.programs.kubectl}")
    print(f"folder      {bed.directory}")


def _down(options: argparse.Namespace) -> int:
    Testbed(options.name).down()
    return 0


def _status(options: argparse.Namespace) -> int:
    bed = Testbed.attach(options.name)
    programs = bed.status()
    if options.output == "kubeconfig":
        print(bed.kubeconfig)
    elif options.output == "json":
        facts = {
            "name": bed.name,
            "controlPlaneOnly": bed.control_plane_only,
            "kubeconfig": str(bed.kubeconfig),
            "registry": bed.registry,
            "nodeAddress": bed.node_address,
            "hostAddress": bed.host_address,
            "folder": str(bed.directory),
            "programs": [
                {"name": entry.name, "running": entry.running, "restarts": entry.restarts, "log": entry.log} for entry in programs
            ],
        }
        print(json.dumps(facts, indent=2))
    else:
        _describe(bed)
        for entry in programs:
            state = "running" if entry.running else f"ended ({entry.exit_code})" if entry.wanted else "stopped"
            print(f"  {entry.name:<26}{state:<12}restarts {entry.restarts}")
    return 0 if all(entry.running or not entry.wanted for entry in programs) else 1


def _shell(options: argparse.Namespace) -> int:
    bed = Testbed.attach(options.name)
    command = options.command or [os.environ.get("SHELL", "/bin/sh")]
    return subprocess.run(bed.inside(command), env=bed.environment(), check=False).returncode


def _logs(options: argparse.Namespace) -> int:
    folder = places.bed(options.name) / "logs"
    if options.program is None:
        names = sorted(path.stem for path in folder.glob("*.log"))
        if not names:
            raise TestbedError(f"the bed {options.name!r} has no logs")
        print("\n".join(names))
        return 0
    path = folder / f"{options.program}.log"
    if not path.exists():
        raise TestbedError(f"{options.program!r} has no log; `logs` without a program lists those that have")
    command = ["tail", "--lines=+1", *(["--follow"] if options.follow else []), str(path)]
    return subprocess.run(command, check=False).returncode


def _image(options: argparse.Namespace) -> int:
    # The images need buildah, engines and much time to import: only this command loads them.
    from testbed import images

    if not options.image:
        print("\n".join(images.NAMES))
        return 0
    bed = Testbed.attach(options.name)
    unknown = [name for name in options.image if name not in images.NAMES]
    if unknown:
        raise TestbedError(f"unknown images {', '.join(unknown)}; known: {', '.join(images.NAMES)}")
    for name in options.image:
        print(images.ensure(bed, name))
    return 0


def _user(options: argparse.Namespace) -> int:
    print(Testbed.attach(options.name).user(options.user, groups=options.group))
    return 0


def _build(options: argparse.Namespace) -> int:
    unknown = [name for name in options.family if name not in FAMILIES]
    if unknown:
        raise TestbedError(f"unknown families {', '.join(unknown)}; known: {', '.join(FAMILIES)}")
    for folder in Programs().ensure(options.family or FAMILIES):
        print(folder)
    return 0
