"""The entry point of ``holdfast`` and ``kubectl-holdfast``: the commands, and the edge at which errors become sentences."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.commands import abort, approve, diff, fallback, history, pin, propose, reject, render, resume, status, verify
from holdfast.cli.exits import CommandError, ExitCode, UnreadError
from holdfast.cli.session import Session
from holdfast.cli.terminal import Terminal

app = typer.Typer(
    name="holdfast",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _examples(lines: Sequence[str]) -> str:
    """Return the end of a help page; the backspace keeps its lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


app.command(epilog=_examples(pin.EXAMPLES))(pin.pin)
app.command(epilog=_examples(propose.EXAMPLES))(propose.propose)
app.command(epilog=_examples(status.EXAMPLES))(status.status)
app.command(epilog=_examples(diff.EXAMPLES))(diff.diff)
app.command(epilog=_examples(approve.EXAMPLES))(approve.approve)
app.command(epilog=_examples(reject.EXAMPLES))(reject.reject)
app.command(epilog=_examples(abort.EXAMPLES))(abort.abort)
app.command(epilog=_examples(fallback.EXAMPLES))(fallback.fallback)
app.command(epilog=_examples(resume.EXAMPLES))(resume.resume)
app.command(epilog=_examples(history.EXAMPLES))(history.history)
app.command(epilog=_examples(verify.EXAMPLES))(verify.verify)
app.command(epilog=_examples(render.EXAMPLES))(render.render)


def _print_version(value: bool) -> None:
    if value:
        from holdfast import __version__

        sys.stdout.write(f"holdfast {__version__}\n")
        raise typer.Exit


@app.callback(
    epilog=_examples(
        (
            "holdfast pin Qwen/Qwen2.5-7B-Instruct --name support-chat | kubectl apply -f -",
            "holdfast status support-chat --watch",
            "holdfast approve support-chat",
            "holdfast fallback support-chat",
        )
    )
)
def holdfast(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.", show_default=False)
    ] = False,
) -> None:
    """Pin a model, and decide what becomes of it.

    The model changes only when its owner decides. Decisions are made in your own name, with your own kubeconfig; the operator
    judges them and answers. Data goes to stdout, everything else to stderr.
    """


def main(arguments: Sequence[str], *, session: Session) -> int:
    """Run one command and return its exit code; no exception leaves it."""
    try:
        app(args=list(arguments), prog_name=session.program, obj=session)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else ExitCode.FAILED
    except UnreadError as error:
        return error.code
    except CommandError as error:
        with suppress(CommandError):  # stderr may be what cannot be written
            session.terminal.error(str(error))
            if session.verbose:
                _show_causes(session.terminal, error)
        return error.code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # the last edge: whatever it is, a person reads it
        with suppress(CommandError):
            _show_bug(session, error)
        return ExitCode.BUG
    return ExitCode.OK


def _show_bug(session: Session, error: Exception) -> None:
    session.terminal.error(f"a bug in holdfast: {type(error).__name__}: {error}; run it again with --verbose and report both")
    if session.verbose:
        _show_traceback(session.terminal, error)


def _show_causes(terminal: Terminal, error: BaseException) -> None:
    cause = error.__cause__ or error.__context__
    while cause is not None:
        terminal.note(f"  because {type(cause).__name__}: {' '.join(str(cause).split())}")
        cause = cause.__cause__ or cause.__context__


def _show_traceback(terminal: Terminal, error: BaseException) -> None:
    import traceback

    terminal.note("".join(traceback.format_exception(error)).rstrip())


def program_name(path: str) -> str:
    """Return how the person called it, for messages that name commands."""
    return "kubectl holdfast" if Path(path).name.startswith("kubectl-") else "holdfast"


def run() -> None:
    """Entry point of the installed programs."""
    session = Session(terminal=Terminal(), environ=os.environ, program=program_name(sys.argv[0]))
    sys.exit(main(sys.argv[1:], session=session))
