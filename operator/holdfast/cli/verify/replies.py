"""What do the engines report, and what are the bytes that the pods see? The sidecar of each pod is asked, and answers in its log.

The question travels as a word: an annotation of the ModelDeployment, which the operator copies to the pods, which the kubelet shows
to the sidecar. The answer is a line of JSON with the same word, so an old one is never taken for it.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from holdfast.api import names
from holdfast.api.reasons import Reason
from holdfast.cli.cluster import Cluster
from holdfast.cli.exits import CommandError, ExitCode
from holdfast.cli.verify.finding import Check, DifferenceError, Verified
from holdfast.cli.verify.pods import running
from holdfast.cluster import kinds

Object = dict[str, Any]
SIDECAR: Final = "identity"
_LINES: Final = 500
"""Of a log: the answer is followed by little."""
_PAUSE_SECONDS: Final = 1.0
_HANDED_ON_SECONDS: Final = 60.0
"""For the operator to tell the pods; it takes less than a second."""
_VERIFIED: Final = "verified"
_MISMATCH: Final = "mismatch"


def ask(
    cluster: Cluster,
    deployment: str,
    pods: list[Object],
    word: str,
    *,
    timeout: float,
    monotonic: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[Verified]:
    """Ask every pod that runs, and yield each answer as it comes. Pods that go meanwhile need not answer.

    Raises:
        DifferenceError: an engine or its bytes are not what was approved.
        CommandError: the operator does not hand the question on, or a pod does not answer in time.
    """
    waiting = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in running(pods)}
    if not waiting:
        return
    cluster.annotate(deployment, names.ANNOTATION_VERIFY, word)
    try:
        yield from _collect(cluster, deployment, waiting, word, timeout=timeout, monotonic=monotonic, sleep=sleep)
    finally:
        cluster.annotate(deployment, names.ANNOTATION_VERIFY, None)


def _collect(
    cluster: Cluster,
    deployment: str,
    waiting: dict[str, str],
    word: str,
    *,
    timeout: float,
    monotonic: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[Verified]:
    began = monotonic()
    selector = f"{names.LABEL_DEPLOYMENT}={deployment},{names.LABEL_COMPONENT}={names.COMPONENT_ENGINE}"
    while True:
        live = {pod["metadata"]["name"]: pod for pod in cluster.listed(kinds.POD, selector)}
        for name, uid in list(waiting.items()):
            pod = live.get(name)
            if pod is None or pod["metadata"]["uid"] != uid or "deletionTimestamp" in pod["metadata"]:
                del waiting[name]
                continue
            answer = _answer(cluster.log(name, SIDECAR, _LINES) or "", word)
            if answer is not None:
                del waiting[name]
                yield from _judge(name, answer)
            else:
                _gave_up(name, pod)
        if not waiting:
            return
        _check_time(live, waiting, word, monotonic() - began, timeout)
        sleep(_PAUSE_SECONDS)


def _check_time(live: dict[str, Object], waiting: dict[str, str], word: str, passed: float, timeout: float) -> None:
    untold = [name for name in waiting if (live[name]["metadata"].get("annotations") or {}).get(names.ANNOTATION_VERIFY) != word]
    if untold and passed > min(timeout, _HANDED_ON_SECONDS):
        raise CommandError(
            f"the operator did not hand the question on to Pod {untold[0]} within {passed:.0f} s; is it running?",
            ExitCode.TIMED_OUT,
        )
    if passed > timeout:
        raise CommandError(f"Pod {min(waiting)} did not answer within {timeout:.0f} s", ExitCode.TIMED_OUT)


def _answer(log: str, word: str) -> Object | None:
    for line in reversed(log.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("verify") == word:
            return found
    return None


def _judge(name: str, answer: Object) -> Iterator[Verified]:
    about, message = f"Pod {name}", str(answer.get("message"))
    if answer.get("outcome") == _MISMATCH:
        raise DifferenceError(Check.BYTES, about, message)
    if answer.get("outcome") != _VERIFIED:
        raise DifferenceError(Check.BYTES, about, f"they could not be read: {message}")
    if answer.get("ready") is not True:
        raise DifferenceError(Check.ENGINE, about, str(answer.get("engine")))
    reported = answer.get("reported")
    said = ", ".join(f"{field} {value}" for field, value in sorted(reported.items())) if isinstance(reported, dict) else ""
    yield Verified(check=Check.ENGINE, about=about, message=str(answer.get("engine")) + (f" ({said})" if said else ""))
    yield Verified(check=Check.BYTES, about=about, message=message)


def _gave_up(name: str, pod: Object) -> None:
    """Read why a sidecar ended: one that found something wrong is started again, and its log with it."""
    statuses: list[Object] = pod["status"].get("initContainerStatuses") or []
    status = next((each for each in statuses if each["name"] == SIDECAR), {})
    for state in (status.get("state"), status.get("lastState")):
        try:
            said = json.loads(((state or {}).get("terminated") or {}).get("message") or "{}")
        except ValueError:
            continue
        reason = said.get("reason") if isinstance(said, dict) else None
        if reason in (Reason.ENGINE_MISMATCH, Reason.WEIGHTS_MISMATCH):
            check = Check.BYTES if reason == Reason.WEIGHTS_MISMATCH else Check.ENGINE
            raise DifferenceError(check, f"Pod {name}", str(said.get("message")))
