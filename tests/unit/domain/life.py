"""Steps of a life, and what is to be seen of it."""

from datetime import timedelta

from builders import approval
from holdfast.api.decision import DecisionType, Gate
from holdfast.api.reasons import ConditionType, Phase, Reason
from model.world import World

ROLLOUT = {"steps": [{"weight": 5, "holdSeconds": 60}, {"weight": 50, "holdSeconds": 60}]}


def decision(world: World, kind: DecisionType, *, gate: Gate | None = None, name: str | None = None, **changes: object) -> str:
    request = world.status.request
    bound: dict[str, object] = (
        {"request": request.number, "digest": request.digest, "base": request.base} if request is not None else {}
    )
    name = name or f"decision-{len(world.approvals)}"
    world.decide_as_person(approval(kind, gate=gate, name=name, uid=f"uid-{name}", **(bound | changes)))  # type: ignore[arg-type]
    return name


def condition(world: World, kind: ConditionType) -> tuple[str, Reason] | None:
    return next(((c.status, c.reason) for c in world.status.conditions or [] if c.type is kind), None)


def soak(world: World) -> None:
    for _ in range(2):
        world.now += timedelta(seconds=61)
        world.settle()
    assert phase_of(world) is Phase.AWAITING_PROMOTION


def arms(world: World) -> dict[str, int]:
    assert world.published is not None
    return dict(world.published.arms)


def phase_of(world: World) -> Phase | None:
    return world.status.phase
