"""Exit codes, and the one exception that carries them: a sentence for the person, never a traceback."""

from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """What the command line returns to the shell. Documented in ``docs/reference/cli.md``."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    TIMED_OUT = 4
    FORBIDDEN = 5
    UNREACHABLE = 6
    BUG = 70  # EX_SOFTWARE of sysexits.h
    INTERRUPTED = 130
    UNREAD = 141  # 128 + SIGPIPE, as shells say it of programs that the signal ends


MEANINGS: Final = {
    ExitCode.OK: "Done; for a decision: the operator accepted it.",
    ExitCode.FAILED: "The operator refused the decision, or the command failed for a reason that it printed.",
    ExitCode.USAGE: "The command was called wrongly: an unknown option, a malformed value, a question without a terminal.",
    ExitCode.NOT_FOUND: "A ModelDeployment, revision, repository, file or image does not exist.",
    ExitCode.TIMED_OUT: "The operator did not answer within --timeout. A decision that was made stays made.",
    ExitCode.FORBIDDEN: "The cluster, the Hub or the registry refused the caller.",
    ExitCode.UNREACHABLE: "The cluster, the Hub or the registry was not reached, or kubeconfig does not lead there.",
    ExitCode.BUG: "A bug in the command line.",
    ExitCode.INTERRUPTED: "Interrupted from the keyboard. A decision that was made stays made.",
    ExitCode.UNREAD: "What reads the output ended first, such as `head`. A decision that was made stays made.",
}


class CommandError(Exception):
    """The command ends here. The text is one sentence: what is wrong, where, and what to do."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code


class UnreadError(CommandError):
    """Whoever read the output is gone, such as ``head`` after its last line; there is nobody to tell it."""

    def __init__(self) -> None:
        super().__init__("nobody reads the output", ExitCode.UNREAD)
