"""The pods of one gateway: what each said last, and telling the kubelet that there is something new for it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from holdfast.api import names
from holdfast.cluster import kinds
from holdfast.cluster.errors import Conflict, NotFound
from holdfast.controller.keys import GatewayKey
from holdfast.controller.records import PodRecord
from holdfast.controller.writer import Writer
from holdfast.domain.gateway import GatewayPod, PodReport, Routing
from holdfast.sources.gateway import GatewayAnswer

logger = logging.getLogger(__name__)

_PATIENCE: Final = 1.0
"""Seconds until a pod that does not show what was published is told again: the kubelet may have looked into its cache too early."""
_LONGEST_PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Told:
    version: str
    at: float
    patience: float = _PATIENCE


class Poller(Protocol):
    """`holdfast.sources.gateway.GatewayPoller`."""

    async def ask(self, address: str) -> GatewayAnswer | None:
        """Return what the gateway pod at an address says, or None if it does not answer."""
        ...


class GatewayPods:
    """What is known of the pods of one gateway.

    Args:
        poller: asks a pod.
        writer: annotates pods.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, *, poller: Poller, writer: Writer, clock: Callable[[], float]) -> None:
        self._poller = poller
        self._writer = writer
        self._clock = clock
        self._records: Sequence[PodRecord] = ()
        self._told: dict[str, _Told] = {}
        self._asked_at: float | None = None
        self._silent: set[str] = set()
        self.reports: dict[str, PodReport] = {}
        """Last report by uid, also of pods that do not answer now."""

    def take(self, records: Sequence[PodRecord]) -> None:
        """Take the pods that there are now."""
        self._records = records
        uids = {record.uid for record in records}
        self.reports = {uid: report for uid, report in self.reports.items() if uid in uids}
        self._told = {uid: told for uid, told in self._told.items() if uid in uids}
        self._silent &= uids

    @property
    def pods(self) -> tuple[GatewayPod, ...]:
        """The pods."""
        return tuple(
            GatewayPod(
                name=record.key.name,
                uid=record.uid,
                ready=record.ready,
                running=record.running or record.ready,
                starting=record.starting and not record.ready,
            )
            for record in self._records
        )

    @property
    def answering(self) -> dict[str, PodReport]:
        """The reports of the pods that answered when they were last asked."""
        return {uid: report for uid, report in self.reports.items() if uid not in self._silent}

    @property
    def silent(self) -> frozenset[str]:
        """The uids of the pods that did not answer when they were last asked."""
        return frozenset(self._silent)

    def expire(self) -> None:
        """Take that something was published: what the pods said before says nothing about it."""
        self._asked_at = None

    def unasked(self) -> bool:
        """Say whether a pod in service was not asked since the last publication."""
        return self._asked_at is None or any(
            record.ready and record.uid not in self.reports and record.uid not in self._silent for record in self._records
        )

    def due(self, seconds: float) -> bool:
        """Say whether the pods were last asked so long ago."""
        return self._asked_at is None or self._clock() - self._asked_at >= seconds

    async def ask(self) -> None:
        """Ask all running pods at once."""
        records = [record for record in self._records if record.running and record.address is not None]
        answers = await asyncio.gather(*(self._poller.ask(record.address or "") for record in records))
        self._asked_at = self._clock()
        for record, answer in zip(records, answers, strict=True):
            report = _report(answer)
            if report is None:
                self._silent.add(record.uid)
            else:
                self._silent.discard(record.uid)
                self.reports[record.uid] = report

    async def tell(self, version: str, serial: int, clusters: frozenset[str], *, by: GatewayKey) -> None:
        """Make the kubelet bring the published files to the pods, by an annotation of the pod.

        Without it a changed ConfigMap takes a minute and more (kubernetes.io, "Mounted ConfigMaps are updated automatically").
        A pod is told once of each version, and again while it does not show it; one that has it since before is not told at all.

        Args:
            version: names what is published.
            serial: of the published routing.
            clusters: names of the published clusters.
            by: the gateway that is being reconciled.
        """
        now = self._clock()
        late = []
        for record in self._records:
            if not record.running or record.deleting:  # the kubelet brings nothing new to a pod that leaves
                continue
            report, told = self.reports.get(record.uid), self._told.get(record.uid)
            current = report is not None and report.routing.serial >= serial and clusters <= report.clusters.keys()
            if told is None and (current or report is None):  # as after a start, or a pod that has just begun
                self._told[record.uid] = _Told(version, now)
            elif told is None or told.version != version:
                self._told[record.uid] = _Told(version, now)
                late.append(record)
            elif not current and now - told.at >= told.patience:
                self._told[record.uid] = _Told(version, now, min(2 * told.patience, _LONGEST_PATIENCE))
                late.append(record)
        await asyncio.gather(*(self._annotate(record, _next(record.config, version), by) for record in late))

    async def _annotate(self, record: PodRecord, value: str, by: GatewayKey) -> None:
        try:
            annotations = {names.ANNOTATION_CONFIG: value}
            await self._writer.annotate(kinds.POD, record.key, uid=record.uid, annotations=annotations, by=by)
        except (Conflict, NotFound):
            logger.debug("pod is gone", extra={"pod": record.key})


def _next(value: str | None, version: str) -> str:
    """Return an annotation that differs from the one that is there: only a change wakes the kubelet."""
    before, _, count = (value or "").rpartition(".")
    return f"{version}.{int(count) + 1 if before == version and count.isdigit() else 0}"


def _report(answer: GatewayAnswer | None) -> PodReport | None:
    if answer is None:
        return None
    try:
        return PodReport(routing=Routing.parse(answer.config), clusters=answer.clusters)
    except ValueError:
        return None
