"""Keeps the hub's state in a folder, so that a restarted hub serves the same commits to the same tokens.

``state.json`` has repositories, redirects and accounts (tokens too: mode 0600); ``content/`` has the bytes.
Faults, the request log and settings are of one run and are not kept.
"""

from pathlib import Path

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from testbed.hub.accounts import Account
from testbed.hub.content import write_atomically
from testbed.hub.repository import Repository
from testbed.hub.state import HubState


@dataclass(frozen=True, slots=True)
class _Snapshot:
    repositories: dict[str, Repository]
    redirects: dict[str, str]
    accounts: dict[str, Account]


_SNAPSHOT = TypeAdapter(_Snapshot)


def save(state: HubState, root: Path) -> None:
    """Write the state; a crash leaves the former state or the new one."""
    snapshot = _Snapshot(state.repositories, state.redirects, state.accounts)
    write_atomically(root / "state.json", _SNAPSHOT.dump_json(snapshot))


def load(state: HubState, root: Path) -> None:
    """Read the state back, if there is one. Raises ``pydantic.ValidationError`` when the file is not ours."""
    path = root / "state.json"
    if path.exists():
        snapshot = _SNAPSHOT.validate_json(path.read_bytes())
        state.repositories, state.redirects = snapshot.repositories, snapshot.redirects
        state.accounts = snapshot.accounts
