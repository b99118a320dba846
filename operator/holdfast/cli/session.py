"""What a command has at hand: the terminal, the environment, the clocks and the cluster. Tests give their own."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import typer

from holdfast.cli.cluster import Cluster
from holdfast.cli.terminal import Terminal


class Session:
    """One run of the command line."""

    def __init__(
        self,
        *,
        terminal: Terminal,
        environ: Mapping[str, str],
        program: str = "holdfast",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        unique: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self.terminal = terminal
        self.environ = environ
        self.program = program
        self.now = now
        self.monotonic = monotonic
        self.unique = unique
        self.verbose = False
        self.sleep = sleep

    @contextmanager
    def cluster(self, *, kubeconfig: str | None, context: str | None, namespace: str | None) -> Iterator[Cluster]:
        """Connect as kubeconfig says.

        Raises:
            CommandError: kubeconfig cannot be used.
        """
        from holdfast.cli import kubeconfig as files

        connection = files.load(kubeconfig=kubeconfig, context=context, namespace=namespace, environ=self.environ)
        cluster = Cluster(connection, monotonic=self.monotonic, sleep=self.sleep)
        try:
            yield cluster
        finally:
            cluster.close()


def session_of(ctx: typer.Context, *, verbose: bool) -> Session:
    """Return the session of this run, with the wish to see the causes of errors."""
    session: Session = ctx.obj
    session.verbose = verbose
    return session
