"""What must be true once people, faults and the rest of the world leave the operator alone."""

import re
from typing import Any, Final

from builders import NAME, NAMESPACE
from holdfast.api import names
from holdfast.api.names import TOTAL_WEIGHT, Key
from holdfast.cluster import kinds
from holdfast.cluster.port import Manifest
from model.envoys import revision_of
from model.life import Place
from model.nodes import runs_engine
from model.outcome import outcome

_RESTING: Final = frozenset({"Pending", "AwaitingApproval", "Soaking", "AwaitingPromotion", "Stable", "Aborted", "Fallback"})
_IMAGE: Final = re.compile(r"holdfast@sha256:[0-9a-f]{64}")
_GATEWAY: Final = frozenset(
    {
        ("Deployment", names.GATEWAY_NAME),
        ("Service", names.GATEWAY_NAME),
        ("NetworkPolicy", names.GATEWAY_NAME),
        ("PodDisruptionBudget", names.GATEWAY_NAME),
        *(("ConfigMap", name) for name in (names.GATEWAY_BOOTSTRAP, names.GATEWAY_ROUTES, names.GATEWAY_CLUSTERS)),
    }
)
_CLAIM: Final = ("PersistentVolumeClaim", names.weights_claim_name(NAME))


def check_rest(place: Place) -> None:
    """Check a cluster in which nothing has happened for a while, and nobody is in anybody's way.

    Raises:
        AssertionError: something is left undone, left over or told untruly.
    """
    deployment = place.cluster.view(kinds.MODEL_DEPLOYMENT).get(Key(NAMESPACE, NAME))
    if deployment is None:
        assert _children(place) <= {_CLAIM}, "the ModelDeployment is gone, and its children are not"
        return
    status: Manifest = deployment["status"]
    readable = not any(each["reason"] == "InvalidSpec" for each in status["conditions"])
    resting = _RESTING if readable else _RESTING | {"Preparing"}  # what is not declared readably is not made
    assert status["phase"] in resting, f"rests in the phase {status['phase']}"
    pending = [key.name for key, found in place.cluster.view(kinds.MODEL_APPROVAL).items() if not found.get("status")]
    assert not pending, f"decisions that nobody took up: {pending}"
    roles = {status[role]["revision"] for role in ("stable", "lastKnownGood", "candidate") if role in status}
    roles |= {status.get("fallback", {}).get("revision")} - {None}
    cached = "cache" in deployment["spec"].get("serving", {})
    expected = {*_GATEWAY, *_shared(), *(name for number in roles for name in _engine(number, cached=cached))}
    found = _children(place)
    assert _CLAIM in found or not (cached and readable), "there is no claim"
    found.discard(_CLAIM)  # it stays when nobody needs it any more
    if not readable:
        assert found >= _GATEWAY, f"{_GATEWAY - found} should be there"
        return
    assert found == expected, f"{found ^ expected} should (not) be there"
    _check_routes(place, status)
    pods = place.cluster.view(kinds.POD).items()
    let_out = [key.name for key, pod in pods if names.LABEL_FETCHING in pod["metadata"]["labels"] and runs_engine(pod)]
    assert not let_out, f"{let_out} may still leave for what they fetched long ago"


def _check_routes(place: Place, status: Manifest) -> None:
    """Status tells the truth: it is ready only if everything that is routed to answers, in every gateway pod."""
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    wanted = _wanted(status)
    for envoy in place.nodes.envoys.values():
        arms = envoy.routes()[NAME]
        assert {revision_of(arm) or arm: weight for arm, weight in arms.items() if weight} == wanted, f"{envoy.name}: {arms}"
    served = all(place.nodes.endpoints(f"{NAME}/{number}") > 0 for number in wanted if isinstance(number, int))
    assert (ready["status"] == "True") == (bool(wanted) and served), f"{ready} with {wanted}"


def _wanted(status: Manifest) -> dict[Any, int]:
    """Return the weights that follow from the roles, worked out anew."""
    fallback, stable, candidate = (status.get(name, {}) for name in ("fallback", "stable", "candidate"))
    if fallback:
        return {fallback.get("revision") or f"{NAME}/external-{fallback.get('external')}": TOTAL_WEIGHT}
    if not stable:
        return {}
    weight = candidate.get("weightIntent", 0)
    shares = {candidate.get("revision"): weight, stable["revision"]: TOTAL_WEIGHT - weight}
    return {number: share for number, share in shares.items() if share}


def serving_outcome(place: Place) -> dict[str, str]:
    """Return what a deployment that came to rest in the phase Stable is made of, whatever its history.

    Its revision is called 9, and so is every other part of its past that may differ: the image of the operator that made it.
    """
    status = place.people.status()
    number = status["stable"]["revision"]
    kept = {f"{kind} {name}" for kind, name in {*_GATEWAY, *_shared(), *_engine(number, cached=False)}} - {
        f"ConfigMap {names.GATEWAY_CLUSTERS}"
    }
    found = {name: value for name, value in outcome(place.cluster, place.nodes).items() if name in kept}
    found["conditions"] = sorted((each["type"], each["status"], each["reason"]) for each in status["conditions"])
    found["digest"] = status["stable"]["digest"]
    found["routes"] = [dict(envoy.routes()) for envoy in place.nodes.envoys.values()]
    mine = re.compile(rf"(support-chat-|arm-|revision': '|--revision=){number}\b")
    return {
        mine.sub(r"\g<1>9", name): _IMAGE.sub("an image of Holdfast", mine.sub(r"\g<1>9", repr(value)))
        for name, value in found.items()
    }


def _children(place: Place) -> set[tuple[str, str]]:
    return {(kind.kind, key.name) for kind in kinds.CHILDREN for key in place.cluster.view(kind)}


def _shared() -> set[tuple[str, str]]:
    return {("Service", NAME), ("NetworkPolicy", names.engine_network_policy_name(NAME))}


def _engine(number: int, *, cached: bool) -> set[tuple[str, str]]:
    name = names.revision_name(NAME, number)
    job = {("Job", names.weights_job_name(NAME, number))} if cached else set()
    policy = ("NetworkPolicy", names.fetch_network_policy_name(NAME, number))
    return {("Deployment", name), ("Service", name), ("ConfigMap", names.revision_config_name(NAME, number)), policy, *job}
