"""Who tries what, and whether it is allowed. The tables by subject are in the modules `guard_cases_*`."""

from collections.abc import Callable
from dataclasses import dataclass

from apiserver.rest import JSON_PATCH, MERGE, Answer, Rest
from apiserver.world import Manifest, World

Act = Callable[[Rest, World], Answer]
Where = str | Callable[[World], str]
"""A path, or how to find it in the world."""

DRY = {"dryRun": "All"}
"""Admission runs in full and nothing changes, so that the cases do not depend on one another."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """An attempt. `denied` names the policy that must refuse it (or two, with ``|``, where either may be first), and `says` a part of the message that tells why and who may."""

    what: str
    who: str
    act: Act
    denied: str | None = None
    says: str = ""

    @property
    def name(self) -> str:
        return f"{self.who} {self.what}"


def allowed(what: str, who: str, act: Act) -> Case:
    return Case(what=what, who=who, act=act)


def denied(what: str, who: str, act: Act, policy: str, says: str) -> Case:
    return Case(what=what, who=who, act=act, denied=policy, says=says)


def create(path: Where, body: Manifest) -> Act:
    return lambda person, world: person.post(_where(path, world), body, **DRY)


def merge(path: Where, body: object) -> Act:
    return lambda person, world: person.patch(_where(path, world), body, content=MERGE, **DRY)


def edit(path: Where, *operations: Manifest) -> Act:
    return lambda person, world: person.patch(_where(path, world), list(operations), content=JSON_PATCH, **DRY)


def apply(path: Where, body: Manifest, *, force: bool) -> Act:
    return lambda person, world: person.apply(_where(path, world), body, manager="somebody", force=force, **DRY)


def delete(path: Where) -> Act:
    return lambda person, world: person.delete(_where(path, world), **DRY)


def delete_all(path: str) -> Act:
    return lambda person, _: person.delete(path, **DRY)


def connect(path: Where, method: str = "POST", **query: str) -> Act:
    """A CONNECT request cannot be dry; what is let through here fails later, because no kubelet answers."""
    return lambda person, world: person.call(method, _where(path, world), **query)


def set_(path: str, value: object) -> Manifest:
    return {"op": "add", "path": path, "value": value}


def remove(path: str) -> Manifest:
    return {"op": "remove", "path": path}


def _where(path: Where, world: World) -> str:
    return path if isinstance(path, str) else path(world)


def refused_by_policy(answer: Answer) -> bool:
    return "ValidatingAdmissionPolicy '" in answer.message


def judge(case: Case, answer: Answer) -> str | None:
    """Return what is wrong with the answer; None if it is as expected."""
    if case.denied:
        refusals = [
            f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: " for name in case.denied.split("|")
        ]
        if any(refusal in answer.message for refusal in refusals) and case.says in answer.message:
            return None
        return f"expected {refusals}…{case.says}…; got {answer.status}: {answer.message}"
    # A CONNECT that passed the guards finds no kubelet: 400, 404, 500 or 503, and never 403.
    if answer.ok or (answer.status in (400, 404, 500, 503) and not refused_by_policy(answer)):
        return None
    return f"expected to pass; got {answer.status}: {answer.message}"
