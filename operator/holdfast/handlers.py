"""kopf: the watch engine and the shell of the process. Nothing is decided here.

Only events, the probe and the login are registered. kopf's change-detecting handlers, timers, daemons and indices would write to
every object, take minutes at the size that Holdfast is made for, or keep what is gone (docs/decisions has the figures).
"""

import logging
import os
import threading
from dataclasses import dataclass
from typing import Any, Final

import kopf

from holdfast.cluster import kinds
from holdfast.cluster.connection import load_configuration
from holdfast.cluster.errors import Failure
from holdfast.cluster.kinds import Kind
from holdfast.controller.assembly import Controller
from holdfast.probes import Health

logger = logging.getLogger(__name__)

_END_SECONDS: Final = 10.0
"""For kopf to end by itself once it has no credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What the handlers feed and ask."""

    controller: Controller
    health: Health


def kopf_settings() -> kopf.OperatorSettings:
    """Return kopf's settings."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False  # Events of ours are written by `holdfast.cluster.events`
    settings.scanning.disabled = True  # the CRDs are there before the operator, so it needs no right to watch them
    settings.queueing.worker_limit = None  # a limit lets each worker idle on its slot: minutes at a start
    settings.queueing.idle_timeout = 0.5  # an idle worker holds the last event of its object in memory
    settings.watching.chunk_size = 500
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 60
    for kind in kinds.WATCHED:
        selector = kinds.selector(kind)
        if selector is not None:
            # The API server filters: an object that loses the label is told as deleted.
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = selector
    return settings


def register(registry: kopf.OperatorRegistry, runtime: Runtime) -> None:
    """Feed kopf's watches into the controller."""
    for kind in kinds.WATCHED:
        _observe(registry, runtime, kind)

    @kopf.on.probe(id="work", registry=registry, errors=kopf.ErrorsMode.PERMANENT)
    async def probe(**_: Any) -> str:
        problems = runtime.health.problems()
        if problems:
            raise kopf.PermanentError("; ".join(problems))
        return "ok"

    refused: list[kopf.ConnectionInfo] = []

    @kopf.on.login(id="login", registry=registry, errors=kopf.ErrorsMode.PERMANENT)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        connection = await _connection()
        if connection in refused:
            _end_soon()
        refused.append(connection)  # kopf asks again only after it was refused
        return connection


def _end_soon() -> None:
    """Bound the end of a process whose credentials are refused: kopf stops, and may wait for its own watches for ever."""

    def end() -> None:
        logger.critical(
            "the operator cannot go on", extra={"error": "the API server no longer accepts the operator's credentials"}
        )
        logging.shutdown()
        os._exit(1)

    timer = threading.Timer(_END_SECONDS, end)
    timer.daemon = True
    timer.start()


def _observe(registry: kopf.OperatorRegistry, runtime: Runtime, kind: Kind) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, id=f"observe-{kind.plural}", registry=registry)
    async def observe(type: str | None, event: kopf.RawEvent, **_: Any) -> None:  # noqa: A002 - kopf's name
        runtime.controller.feed.event(kind, dict(event["object"]), deleted=type == "DELETED")
        if type is None:
            runtime.controller.resync.soon(kind)  # kopf listed anew; it does not tell what is gone


async def _connection() -> kopf.ConnectionInfo:
    """Log in as the writing client does, so that there is one truth about where the cluster is.

    Raises:
        kopf.LoginError: there is no usable configuration.
    """
    try:
        configuration = await load_configuration()
    except Failure as failure:
        raise kopf.LoginError(str(failure)) from failure
    token = await configuration.get_api_key_with_prefix("BearerToken")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        token=token.split()[-1] if token else None,  # the client keeps it with its scheme
    )
