"""The workers: take a key, reconcile it, and let the kind of trouble decide when it comes back."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from holdfast.api.names import Key
from holdfast.cluster.errors import RETRY_REJECTED, RETRY_WAITING, Rejected, Transient, Waiting
from holdfast.controller.keys import GatewayKey, QueueKey
from holdfast.controller.observer import Observer, Outcome
from holdfast.controller.queue import WorkQueue

logger = logging.getLogger(__name__)


class Worker:
    """Takes keys from the queue for as long as it runs. Several may run side by side."""

    def __init__(
        self,
        *,
        queue: WorkQueue,
        observer: Observer,
        deployment: Callable[[Key], Awaitable[None]],
        gateway: Callable[[GatewayKey], Awaitable[None]],
    ) -> None:
        self._queue = queue
        self._observer = observer
        self._deployment = deployment
        self._gateway = gateway

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self.work(await self._queue.take())

    async def work(self, key: QueueKey) -> Outcome:
        """Reconcile one key that was taken from the queue, and give it back."""
        what: Literal["deployment", "gateway"] = "gateway" if isinstance(key, GatewayKey) else "deployment"
        started = time.perf_counter()
        try:
            outcome = await self._reconcile(key)
        finally:
            self._queue.done(key)
        self._observer.reconciled(what, outcome, time.perf_counter() - started)
        return outcome

    async def _reconcile(self, key: QueueKey) -> Outcome:
        try:
            if isinstance(key, GatewayKey):
                await self._gateway(key)
            else:
                await self._deployment(key)
        except Waiting as waiting:
            logger.info("waiting", extra={"key": key, "error": str(waiting)})
            self._queue.add_after(key, RETRY_WAITING)
            return "Waiting"
        except Rejected as rejection:
            logger.warning("rejected by the API server", extra={"key": key, "error": str(rejection)})
            self._queue.add_after(key, RETRY_REJECTED)
            return "Rejected"
        except Transient as trouble:
            delay = self._queue.retry(key, at_least=trouble.retry_after or 0.0)
            level = logging.INFO if self._queue.failures(key) < 3 else logging.WARNING
            logger.log(level, "trying again", extra={"key": key, "error": str(trouble), "seconds": round(delay, 2)})
            return "Transient"
        except Exception:
            delay = self._queue.retry(key)
            logger.exception("internal error", extra={"key": key, "seconds": round(delay, 2)})
            return "InternalError"
        self._queue.succeeded(key)
        return "Settled"
