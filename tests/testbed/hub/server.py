"""Runs a hub beside the test that uses it, on a thread of its own."""

import asyncio
import ipaddress
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.hub import persistence
from testbed.hub.admin import HubAdmin
from testbed.hub.content import FolderStore, MemoryStore
from testbed.hub.journal import UnexpectedRequest
from testbed.hub.service import HubService
from testbed.hub.state import HubState

_START_SECONDS = 10.0


class UnexpectedRequestsError(AssertionError):
    """Clients sent the hub what no client of the Hub sends; the text lists it."""

    def __init__(self, unexpected: list[UnexpectedRequest]) -> None:
        super().__init__("the Hub stand-in got unexpected requests:\n" + "\n".join(f"  {u}" for u in unexpected))
        self.unexpected = unexpected


def make_state(root: Path | None, clock: Callable[[], float] = time.time) -> HubState:
    """Return the state kept under ``root``, or an empty one in memory when ``root`` is None."""
    key = secrets.token_bytes(32)
    if root is None:
        return HubState(store=MemoryStore(), clock=clock, signing_key=key)
    state = HubState(store=FolderStore(root / "content"), clock=clock, signing_key=key, save=lambda s: persistence.save(s, root))
    persistence.load(state, root)
    return state


def check_address(address: str) -> str:
    """Return the address to listen on. Raises ``ValueError`` unless it names one interface of this machine."""
    if ipaddress.ip_address(address).is_unspecified:
        raise ValueError(f"{address} is every interface of this machine; name one, such as 127.0.0.1 or a bridge's address")
    return address


class HubServer:
    """A Hub stand-in, for use as a context manager.

    Args:
        address: IP address to listen on: loopback, or a bridge that pods reach.
        port: port of the Hub and the admin API; 0 takes a free one.
        cdn_port: port of the CDN; 0 takes a free one.
        root: folder that keeps repositories and accounts over restarts; None keeps them in memory.
        admin_token: secret of the admin API; None makes one up.
        clock: seconds since 1970; rate limits and CDN links go by it.

    On exit the hub stops and, if the block itself did not fail, raises `UnexpectedRequestsError` when anything came in
    that the Hub's clients do not send. ``hub.admin.forget_unexpected()`` clears that for a test about strictness.
    """

    def __init__(
        self,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        cdn_port: int = 0,
        root: Path | None = None,
        admin_token: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._address = check_address(address)
        self._ports = (port, cdn_port)
        self._state = make_state(root, clock)
        self.admin_token = admin_token or secrets.token_urlsafe(24)
        self.url = ""
        self.cdn_url = ""
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="hub-stand-in", daemon=True)

    @property
    def admin(self) -> HubAdmin:
        """A client of the admin API."""
        return HubAdmin(self.url, self.admin_token)

    @property
    def unexpected(self) -> list[UnexpectedRequest]:
        """What came in so far that the Hub's clients do not send."""
        return list(self._state.journal.unexpected)

    def start(self) -> None:
        """Start listening. Raises ``OSError`` when a port is taken or the address is not of this machine."""
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise TimeoutError(f"the Hub stand-in did not start within {_START_SECONDS} s")
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """Stop listening and end all connections; does nothing when the hub does not run."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        if not self.unexpected:
            return
        error = UnexpectedRequestsError(self.unexpected)
        if failure is None:
            raise error
        failure.add_note(str(error))

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as exc:
            self._failure = exc
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        service = HubService(self._state, self.admin_token)
        await service.start(self._address, *self._ports)
        self.url, self.cdn_url = service.url, service.cdn_url
        self._started.set()
        try:
            await self._stopping.wait()
        finally:
            await service.stop()
