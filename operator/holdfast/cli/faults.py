"""From what an API server, or the way to it, says to one sentence: what is wrong, where, and what to do."""

import json
from dataclasses import dataclass
from typing import Final

from holdfast.api.names import GROUP
from holdfast.cli.exits import CommandError, ExitCode

_KINDS: Final = {"modeldeployments": "ModelDeployment", "modelrevisions": "ModelRevision", "modelapprovals": "ModelApproval"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command was about to do."""

    verb: str
    resource: str = ""
    name: str = ""
    namespace: str = ""


def from_status(code: int, body: bytes, server: str, asked: Asked) -> CommandError:
    """Translate an answer of the API server that is not a success (a ``Status`` object, meta/v1)."""
    message, reason, kind = _status(body)
    kind_name = _KINDS.get(asked.resource, asked.resource)
    if code == 401:
        return CommandError(
            f"{server} does not accept the credentials in kubeconfig: {message or 'Unauthorized'}; log in again",
            ExitCode.FORBIDDEN,
        )
    if code == 403:
        return CommandError(f"not allowed: {_without_boilerplate(message)}", ExitCode.FORBIDDEN)
    if code == 404 and asked.name and kind and asked.verb != "create":
        return CommandError(f"there is no {kind_name} {asked.name!r} in the namespace {asked.namespace!r}", ExitCode.NOT_FOUND)
    if code == 404 and asked.resource and not kind:
        return CommandError(
            f"{server} has no {asked.resource}.{GROUP}: Holdfast is not installed there; install its chart or choose another --context",
            ExitCode.NOT_FOUND,
        )
    if code == 404:
        return CommandError(f"not found: {message}", ExitCode.NOT_FOUND)
    if code == 409 and asked.verb == "apply" and "conflict with" in message:
        return CommandError(
            f"another tool manages what would change: {message}; change it there, such as with --file in Git, "
            "or take it over with --force-conflicts"
        )
    if code == 409 and asked.verb == "apply":
        return CommandError(f"the {kind_name} {asked.name!r} changed meanwhile, and nothing was done: look at it again")
    if code == 422 or reason == "Invalid":
        return CommandError(f"the API server refused the {kind_name}: {_without_boilerplate(message)}")
    if code == 429 or code >= 500:
        return CommandError(f"{server} could not answer (HTTP {code}): {message or 'no reason given'}", ExitCode.UNREACHABLE)
    return CommandError(f"{server} refused to {asked.verb} {asked.resource} (HTTP {code}): {message or 'no reason given'}")


def from_connection(error: BaseException, server: str, asked: Asked) -> CommandError:
    """Translate a failure below HTTP: name, connection, TLS, time-out."""
    said = _root(error)
    lowered = said.lower()
    if "refused" in lowered:
        what = "the connection was refused; is the cluster running?"
    elif "name or service not known" in lowered or "name resolution" in lowered or "nodename nor servname" in lowered:
        what = "its name cannot be resolved; is the context the right one?"
    elif "certificate" in lowered:
        what = f"its certificate is not trusted ({said}); is the certificate authority in kubeconfig the right one?"
    elif "timed out" in lowered:
        what = "it did not answer in time"
    else:
        what = said
    doing = f"{asked.verb} {asked.resource}".rstrip()
    return CommandError(f"cannot {doing} at {server}: {what}", ExitCode.UNREACHABLE)


def _status(body: bytes) -> tuple[str, str, str]:
    """Return message, reason and the kind in the details of a Status object; plain text is its own message."""
    try:
        status = json.loads(body)
    except ValueError:
        return " ".join(body.decode("utf-8", "replace").split())[:500], "", ""
    if not isinstance(status, dict):
        return "", "", ""
    details = status.get("details")
    kind = details.get("kind", "") if isinstance(details, dict) else ""
    return str(status.get("message", "")), str(status.get("reason", "")), str(kind)


def _without_boilerplate(message: str) -> str:
    """Cut the API server's frame around a policy's or a rule's own words.

    The frame: ``modelapprovals.holdfast.dev "x" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: …``.
    """
    for mark in (" denied request: ", " is forbidden: ", " is invalid: "):
        _, found, words = message.partition(mark)
        if found:
            return words
    return message or "no reason given"


def _root(error: BaseException) -> str:
    """Return what the innermost error says."""
    inner: BaseException | None = error
    last = error
    while inner is not None:
        last = inner
        reason = getattr(inner, "reason", None)
        inner = reason if isinstance(reason, BaseException) else inner.__cause__ or inner.__context__
    text = " ".join(str(last).split())
    if isinstance(getattr(error, "reason", None), str):  # the client's own wrapper around a TLS error
        text = " ".join(str(error.reason).split())  # type: ignore[attr-defined]
    return text or type(last).__name__
