"""A ModelDeployment in words: what serves, what is going on, and who has to do what."""

from datetime import datetime
from typing import Any

from holdfast.api.deployment import RequestState
from holdfast.api.reasons import ConditionType, Phase
from holdfast.cli import words
from holdfast.cli.objects import Deployment
from holdfast.cli.terminal import Terminal
from holdfast.domain import defaults
from holdfast.domain.approvals import last_known_good
from holdfast.domain.lookup import BUSY
from holdfast.domain.pin import short_digest

HEADER = ("NAME", "PHASE", "READY", "SERVING", "CANDIDATE", "WEIGHT", "WAITS FOR")


def row(found: Deployment) -> tuple[str, ...]:
    """Return one line of the table; its columns are `HEADER`."""
    status = found.status
    candidate = status.candidate
    ready = next((c.status for c in status.conditions or [] if c.type is ConditionType.READY), "-")
    return (
        found.name,
        str(status.phase or "-"),
        ready,
        _serving(found),
        f"{candidate.revision} {short_digest(candidate.digest)}" if candidate else "-",
        words.weight(candidate.weight_observed) if candidate else "-",
        waits_for(found),
    )


def _serving(found: Deployment) -> str:
    """Return what answers now: in a fallback that is not the stable revision."""
    fallback, stable = found.status.fallback, found.status.stable
    if fallback is not None:
        return f"fallback: {words.target(fallback.type, fallback.revision, fallback.external)}"
    return f"{stable.revision} {short_digest(stable.digest)}" if stable else "-"


def waits_for(found: Deployment) -> str:
    """Return whose turn it is."""
    if found.behind:
        return "operator"
    status = found.status
    match status.phase:
        case Phase.AWAITING_APPROVAL:
            return "owner: start"
        case Phase.AWAITING_PROMOTION:
            return "owner: promotion"
        case Phase.FALLBACK:
            return "owner: resume"
        case Phase.ABORTED:
            return "owner: resume, or another spec"
        case Phase.STABLE if status.request is not None and status.request.state is RequestState.REJECTED:
            return "owner: another spec"
        case _:
            return "-"


def advice(found: Deployment, program: str) -> list[str]:
    """Return the commands that make sense now; the way out is always among them, if there is one."""
    way_out = [f"{program} fallback {found.name} -n {found.namespace}{_to(found)}"] if _may_fall_back(found) else []
    return [*_next_steps(found, program), *way_out]


def _may_fall_back(found: Deployment) -> bool:
    return found.status.phase is not Phase.FALLBACK and (last_known_good(found.status) is not None or bool(_externals(found)))


def _to(found: Deployment) -> str:
    """Return the option that is needed where there is no last known good revision."""
    return "" if last_known_good(found.status) is not None else f" --to external/{_externals(found)[0]}"


def _externals(found: Deployment) -> list[str]:
    declared = found.spec.fallback if found.spec is not None else None
    return [external.name for external in (declared.external or ())] if declared is not None else []


def _next_steps(found: Deployment, program: str) -> list[str]:
    status, name = found.status, f"{found.name} -n {found.namespace}"
    rejected = status.request is not None and status.request.state is RequestState.REJECTED
    match status.phase:
        case Phase.AWAITING_APPROVAL:
            return [f"{program} diff {name}", f"{program} approve {name}", f"{program} reject {name}"]
        case Phase.AWAITING_PROMOTION:
            return [f"{program} approve {name}", f"{program} abort {name}"]
        case Phase.FALLBACK | Phase.ABORTED:
            return [f"{program} resume {name}"]
        case phase if phase in BUSY:
            return [f"{program} abort {name}"]
        case _:
            return [f"{program} resume {name}"] if rejected else [f"{program} propose {name}"] if _moved(found) else []


def _moved(found: Deployment) -> bool:
    conditions = found.status.conditions or []
    return any(condition.type is ConditionType.UPSTREAM_MOVED and condition.status == "True" for condition in conditions)


def show(terminal: Terminal, found: Deployment, program: str, now: datetime) -> None:
    """Print everything about one deployment."""
    status = found.status
    terminal.line(f"{found.name} in {found.namespace}", style="bold")
    rows = [("phase", f"{status.phase or 'unknown'}{': ' + status.message if status.message else ''}")]
    if found.behind:
        rows.append(("note", "the operator has not seen the latest spec yet; what follows is about the one before"))
    if status.fallback:
        rows.append(("serving", words.fallback(status.fallback)))
    rows.append(("stable" if status.fallback else "serving", words.role(status.stable)))
    if status.last_known_good:
        rows.append(("last known good", words.role(status.last_known_good)))
    rows += _candidate(found, now)
    if status.request:
        request = status.request
        why = f": {request.message}" if request.message else ""
        rows.append(("request", f"{request.number}, {request.state}, revision {request.revision}{why}"))
        rows.append(("  digest", request.digest))
        rows.append(("  base", request.base or "nothing served"))
    if status.url:
        rows.append(("clients use", status.url))
    terminal.pairs(rows, indent=2)
    if status.conditions:
        terminal.line("  conditions", style="bold")
        terminal.pairs([(str(c.type), f"{c.status:<7} {c.reason}: {c.message}") for c in status.conditions], indent=4)
    commands = advice(found, program)
    if commands:
        terminal.line("  what you can do now", style="bold")
        for command in commands:
            terminal.line(f"    {command}")


def _candidate(found: Deployment, now: datetime) -> list[tuple[str, str]]:
    candidate = found.status.candidate
    if candidate is None:
        return []
    rows = [
        (
            "candidate",
            f"revision {candidate.revision} ({short_digest(candidate.digest)}), started {_ago(candidate.started_at, now)}",
        )
    ]
    rows.append(("  ready", _ago(candidate.ready_at, now) if candidate.ready_at else "not yet"))
    seen = (
        "" if candidate.weight_observed == candidate.weight_intent else f", {words.weight(candidate.weight_observed)} seen so far"
    )
    rows.append(("  weight", f"{words.weight(candidate.weight_intent)}{seen}"))
    if candidate.step is not None:
        steps = defaults.steps(found.spec.rollout if found.spec else None)
        entered = f", entered {_ago(candidate.step_entered_at, now)}" if candidate.step_entered_at else ""
        total = f" of {len(steps)}" if candidate.step < len(steps) else ""
        rows.append(("  step", f"{candidate.step + 1}{total}{entered}"))
    if candidate.unready_since:
        rows.append(("  trouble", f"no ready pod since {_ago(candidate.unready_since, now)}"))
    if candidate.failed:
        rows.append(("  failed", f"{candidate.failed}: {candidate.failed_message or ''}"))
    return rows


def _ago(value: datetime, now: datetime) -> str:
    return f"{words.moment(value)} ({words.span(now - value)} ago)"


def change(found: Deployment, now: datetime, *, named: bool) -> str:
    """Return one line for a stream of changes."""
    status = found.status
    parts = [now.strftime("%H:%M:%SZ")]
    if named:
        parts.append(found.name)
    parts.append(str(status.phase or "-"))
    if status.candidate:
        parts.append(f"candidate {status.candidate.revision} at {words.weight(status.candidate.weight_observed)}")
    if status.message:
        parts.append(status.message)
    return "  ".join(parts)


def data(found: Deployment) -> dict[str, Any]:
    """Return name, namespace and status as the API server has them."""
    return {"name": found.name, "namespace": found.namespace, "generation": found.generation, "status": found.raw_status}
