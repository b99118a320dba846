"""The operator's process: everything is put together here, and any part that ends takes the process with it."""

import asyncio
import logging
import os
import random
import secrets
import socket
import sys
from contextlib import AsyncExitStack
from functools import partial

import aiohttp
import kopf
import prometheus_client

from holdfast import __version__, handlers, logging_setup
from holdfast.cluster.connection import connect
from holdfast.cluster.errors import Failure, Rejected
from holdfast.cluster.kube import KubeCluster
from holdfast.controller.assembly import assemble
from holdfast.controller.gateway import GatewayReconciler
from holdfast.domain.decide import decide
from holdfast.domain.snapshot import Settings
from holdfast.metrics import Metrics
from holdfast.probes import Health
from holdfast.render import deployment as renderer
from holdfast.settings import OperatorSettings, SettingsError
from holdfast.sources.gateway import GatewayPoller
from holdfast.sources.hub import HubResolver
from holdfast.sources.hub_upstream import HubUpstream
from holdfast.sources.registry_access import RegistryAccess
from holdfast.sources.registry_credentials import operator_credentials
from holdfast.sources.token_file import read_token

logger = logging.getLogger(__name__)

_WORKERS = 16


def run() -> None:
    """Run the operator until it is told to end; the entry point ``holdfast-operator``.

    Exits with 0 after SIGTERM or SIGINT, with 1 if it could not start or went wrong, with 2 if its settings are wrong.
    """
    try:
        settings = OperatorSettings.from_environment(os.environ)
    except SettingsError as error:
        sys.exit(_say(f"holdfast-operator: {error}", 2))
    logging_setup.configure(settings.log_format)
    try:
        asyncio.run(serve(settings))
    except Exception as error:
        logger.critical("the operator cannot go on", extra={"error": str(_cause(error))}, exc_info=_is_bug(error))
        sys.exit(1)


def _cause(error: Exception) -> Exception:
    """Return what ended the parts of the operator, if it was one thing."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _is_bug(error: Exception) -> bool:
    """Whether the details help; what the API server said speaks for itself."""
    return not isinstance(_cause(error), Failure)


async def serve(settings: OperatorSettings) -> None:
    """Run the operator in this event loop until it is told to end.

    Raises:
        Failure: the cluster cannot be reached, or Holdfast's CRDs or rights are missing.
        ExceptionGroup: a part of the operator ended.
    """
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # a series per counter that nobody reads
    metrics, clock = Metrics(), asyncio.get_running_loop().time
    rng = random.Random()  # noqa: S311 - it spreads retries
    async with AsyncExitStack() as stack:
        client = await connect()
        stack.push_async_callback(client.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        resolver = HubResolver(
            settings.hub_endpoint, token=partial(read_token, settings.hub_token_file), registries=_registries(settings)
        )
        stack.push_async_callback(resolver.close)
        upstream = HubUpstream(settings.hub_endpoint, token=partial(read_token, settings.hub_token_file))
        stack.push_async_callback(upstream.close)
        controller = assemble(
            cluster=KubeCluster(client, on_write=metrics.wrote),
            resolver=resolver,
            upstream=upstream,
            renderer=renderer,
            decide=decide,
            make_gateway=partial(GatewayReconciler, poller=GatewayPoller(session), image=settings.gateway_image, clock=clock),
            settings=Settings(
                render_version=renderer.CURRENT_VERSION,
                weights_image=settings.weights_image,
                hub_endpoint=settings.hub_endpoint,
            ),
            instance=os.environ.get("HOSTNAME") or socket.gethostname(),
            namespaces=settings.namespaces,
            clock=clock,
            rng=rng,
            random_bytes=secrets.token_bytes,
            observer=metrics,
        )
        stack.push_async_callback(controller.resolutions.close)
        metrics.watch_queue(controller.queue)
        metrics.watch_upstream(controller.upstream)
        stack.enter_context(metrics.serve(settings.listen_address, settings.metrics_port))
        await controller.resync.start()
        logger.info("started", extra={"version": __version__, "namespaces": ",".join(settings.namespaces) or "all"})
        runtime = handlers.Runtime(controller=controller, health=Health(controller, clock=clock))
        async with asyncio.TaskGroup() as group:
            # These exist before kopf starts: at its end kopf cancels every task that came after it.
            tasks = [group.create_task(controller.worker.run(), name=f"worker {n}") for n in range(_WORKERS)]
            tasks.append(group.create_task(controller.resync.run(), name="resync"))
            tasks.append(group.create_task(controller.upstream.run(), name="upstream"))
            await _watch(settings, runtime)
            for task in tasks:
                task.cancel()
    logger.info("ended")


def _registries(settings: OperatorSettings) -> RegistryAccess:
    """Return how registries are reached, which whoever writes a ModelDeployment names."""
    return RegistryAccess(
        credentials=partial(operator_credentials, settings.registry_credentials_file),
        mirrors=settings.registry_mirrors,
        token_servers=settings.registry_token_servers,
        for_strangers=True,
    )


async def _watch(settings: OperatorSettings, runtime: handlers.Runtime) -> None:
    """Run kopf until SIGTERM or SIGINT, which it handles.

    Raises:
        Rejected: the API server does not accept the credentials any more.
    """
    registry = kopf.OperatorRegistry()
    handlers.register(registry, runtime)
    try:
        await kopf.operator(
            registry=registry,
            settings=handlers.kopf_settings(),
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            liveness_endpoint=f"http://{settings.listen_address}:{settings.health_port}/healthz",
        )
    except kopf.LoginError as error:
        raise Rejected("the API server no longer accepts the operator's credentials") from error


def _say(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code
