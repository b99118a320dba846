"""The admin API: ``POST /admin/<operation>`` with a JSON body, for the holder of the admin token."""

import hmac
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from testbed.hub import admin_messages as m
from testbed.hub.accounts import Account
from testbed.hub.content import Bytes
from testbed.hub.repository import Commit, Repository
from testbed.hub.state import HubState, InvalidOperationError
from testbed.hub.wire import Answer

PREFIX = "/admin/"

_A = TypeVar("_A", bound=m.Message)
_Operation = Callable[[HubState, bytes], BaseModel]


def administer(state: HubState, name: str, authorization: str | None, body: bytes, token: str) -> Answer:
    """Carry out one operation. Every refusal says why in ``error``."""
    if not hmac.compare_digest((authorization or "").encode(), f"Bearer {token}".encode()):
        return _failure(401, "the admin API needs the header 'Authorization: Bearer <admin token>'")
    operation = OPERATIONS.get(name)
    if operation is None:
        return _failure(404, f"there is no operation {name!r}; there are {sorted(OPERATIONS)}")
    try:
        result = operation(state, body)
    except ValidationError as exc:
        return _failure(422, f"{name}: {exc}")
    except InvalidOperationError as exc:
        return _failure(409, f"{name}: {exc}")
    return Answer(body=Bytes(result.model_dump_json().encode()))


def _failure(status: int, text: str) -> Answer:
    return Answer(status=status, body=Bytes(m.Failure(error=text).model_dump_json().encode()))


def _operation(argument: type[_A], run: Callable[[HubState, _A], BaseModel | Commit | None]) -> _Operation:
    def operation(state: HubState, body: bytes) -> BaseModel:
        result = run(state, argument.model_validate_json(body))
        if isinstance(result, Commit):
            return m.CommitId(sha=result.sha)
        return result or m.Nothing()

    return operation


def _commit(state: HubState, a: m.CommitFiles) -> Commit:
    return state.commit(a.repo, a.files, lfs=a.lfs, ref=a.ref, author=a.author, title=a.title, message=a.message)


def _configure(state: HubState, a: m.Configure) -> None:
    state.configure(a.repo, private=a.private, gated=a.gated, disabled=a.disabled)


def _remove_fault(state: HubState, a: m.OneFault) -> None:
    try:
        state.faults.remove(a.id)
    except KeyError as exc:
        raise InvalidOperationError(f"there is no fault {a.id}") from exc


def _change_settings(state: HubState, a: m.ChangeSettings) -> None:
    changes = a.model_dump(include={"page_size", "commit_page_size", "cdn_link_seconds"}, exclude_none=True)
    for name, value in changes.items():
        setattr(state.settings, name, value)
    state.limiter.configure(a.quotas, a.rate_limit_window_seconds)


def _summary(repository: Repository) -> m.RepoSummary:
    return m.RepoSummary(
        repo=repository.id,
        private=repository.private,
        gated=repository.gated,
        disabled=repository.disabled,
        refs=repository.refs,
        commits=list(repository.commits),
        vanished=sorted(repository.vanished),
        access=sorted(repository.access),
    )


def _repos(state: HubState, _: m.Nothing) -> m.Repos:
    return m.Repos(repos=[_summary(r) for r in state.repositories.values()], redirects=state.redirects)


def _faults(state: HubState, _: m.Nothing) -> m.Faults:
    found = state.faults.states()
    return m.Faults(faults=[m.FaultReport(id=f.id, fault=f.fault, seen=f.seen, hits=f.hits) for f in found])


OPERATIONS: dict[str, _Operation] = {
    "health": _operation(m.Nothing, lambda _s, _a: None),
    "repos": _operation(m.Nothing, _repos),
    "create-repo": _operation(m.CreateRepo, lambda s, a: s.create_repo(a.repo, private=a.private, gated=a.gated)),
    "delete-repo": _operation(m.OneRepo, lambda s, a: s.delete_repo(a.repo)),
    "rename": _operation(m.Rename, lambda s, a: s.rename(a.repo, a.to)),
    "commit": _operation(m.CommitFiles, _commit),
    "set-card": _operation(m.SetCard, lambda s, a: s.set_card(a.repo, a.card, ref=a.ref)),
    "set-ref": _operation(m.SetRef, lambda s, a: s.set_ref(a.repo, a.ref, a.revision)),
    "delete-ref": _operation(m.OneRef, lambda s, a: s.delete_ref(a.repo, a.ref)),
    "delete-commit": _operation(m.OneCommit, lambda s, a: s.delete_commit(a.repo, a.sha)),
    "squash": _operation(m.Squash, lambda s, a: s.squash(a.repo, a.ref, a.title)),
    "configure": _operation(m.Configure, _configure),
    "set-access": _operation(m.SetAccess, lambda s, a: s.set_access(a.repo, a.account, granted=a.granted)),
    "add-account": _operation(m.AddAccount, lambda s, a: s.add_account(Account(a.name, a.token, a.organizations))),
    "delete-account": _operation(m.OneAccount, lambda s, a: s.delete_account(a.name)),
    "add-fault": _operation(m.AddFault, lambda s, a: m.FaultId(id=s.faults.add(a.fault))),
    "remove-fault": _operation(m.OneFault, _remove_fault),
    "clear-faults": _operation(m.Nothing, lambda s, _: s.faults.clear()),
    "faults": _operation(m.Nothing, _faults),
    "requests": _operation(m.FindRequests, lambda s, a: m.Requests(requests=s.journal.requests(a.match, a.after))),
    "counters": _operation(m.Nothing, lambda s, _: s.journal.counters()),
    "reset-journal": _operation(m.Nothing, lambda s, _: s.journal.reset()),
    "unexpected": _operation(m.Nothing, lambda s, _: m.Unexpected(unexpected=s.journal.unexpected)),
    "forget-unexpected": _operation(m.Nothing, lambda s, _: s.journal.unexpected.clear()),
    "change-settings": _operation(m.ChangeSettings, _change_settings),
}
