"""Questions to the Hub, asked in the background, a few at a time, once per source, and only while somebody wants the answer.

Answers live in memory: the ModelRevision that is made of one is what lasts.
"""

import asyncio
import json
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from holdfast.api.model import HuggingFaceSource, Model
from holdfast.api.names import Key
from holdfast.api.reasons import Reason
from holdfast.api.revision import ResolvedSource
from holdfast.controller.observer import Observer
from holdfast.controller.ports import Renderer, Resolver
from holdfast.controller.queue import Priority, WorkQueue
from holdfast.domain.pin import declared_digest, resolve_model
from holdfast.domain.snapshot import ResolutionFailed, Resolved
from holdfast.sources.hub_errors import HubError

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 8
_FIRST_DELAY: Final = 5.0
_LONGEST_DELAY: Final = 600.0
_UNRENDERABLE: Final = timedelta(days=1)
"""A model that cannot be rendered stays so until its spec changes, which makes it another model."""


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: Reason
    message: str
    retry_at: datetime


@dataclass(slots=True)
class _Question:
    source: HuggingFaceSource
    wanted_by: set[Key] = field(default_factory=set)
    task: asyncio.Task[None] | None = None
    answer: ResolvedSource | _Failure | None = None
    failures: int = 0
    models: dict[tuple[Key, str], Resolved | ResolutionFailed] = field(default_factory=dict)
    """What the answer means for one declared model."""


class Resolutions:
    """The open questions and their answers.

    Args:
        resolver: whom to ask. It belongs to one endpoint, so a source is the same question wherever it is declared.
        renderer: says whether pods can be rendered for an answer.
        queue: where the keys that wait for an answer go when it is there.
        now: the API server's time.
        rng: spreads the retries.
        observer: told of every answer.
    """

    def __init__(
        self,
        *,
        resolver: Resolver,
        renderer: Renderer,
        queue: WorkQueue,
        now: Callable[[], datetime],
        rng: random.Random,
        observer: Observer,
    ) -> None:
        self._resolver = resolver
        self._renderer = renderer
        self._queue = queue
        self._now = now
        self._rng = rng
        self._observer = observer
        self._questions: dict[str, _Question] = {}
        self._asked_by: dict[Key, str] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def find(self, key: Key, model: Model) -> Resolved | ResolutionFailed | None:
        """Return the answer for a declared model, None while there is none."""
        if model.source.hugging_face is None:
            return None
        question = self._questions.get(_identity(model.source.hugging_face))
        if question is None or question.answer is None:
            return None
        declared = declared_digest(model)
        if isinstance(question.answer, _Failure):
            failure = question.answer
            return ResolutionFailed(declared=declared, reason=failure.reason, message=failure.message, retry_at=failure.retry_at)
        if (key, declared) not in question.models:
            question.models[key, declared] = self._render(key, model, declared, question.answer)
        return question.models[key, declared]

    def want(self, key: Key, model: Model) -> None:
        """Ask for a declared model, unless it is being asked or was answered; a failure is asked again when its time has come."""
        source = model.source.hugging_face
        if source is None:
            return
        identity = _identity(source)
        if self._asked_by.get(key) != identity:
            self.release(key)
        question = self._questions.setdefault(identity, _Question(source))
        question.wanted_by.add(key)
        self._asked_by[key] = identity
        failed = question.answer if isinstance(question.answer, _Failure) else None
        due = question.answer is None or (failed is not None and self._now() >= failed.retry_at)
        if question.task is None and due:
            question.task = asyncio.create_task(self._ask(question), name=f"resolve {source.repository}")

    def release(self, key: Key) -> None:
        """Take that a ModelDeployment no longer needs an answer; a question that nobody asks is given up."""
        identity = self._asked_by.pop(key, None)
        if identity is None:
            return
        question = self._questions[identity]
        question.wanted_by.discard(key)
        question.models = {name: found for name, found in question.models.items() if name[0] != key}
        if question.wanted_by:
            return
        del self._questions[identity]
        if question.task is not None:
            question.task.cancel()
            self._observer.resolved("Cancelled")

    async def close(self) -> None:
        """Give up all questions and wait until they have ended."""
        tasks = [question.task for question in self._questions.values() if question.task is not None]
        for key in list(self._asked_by):
            self.release(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, question: _Question) -> None:
        async with self._slots:
            try:
                question.answer = await self._resolver.resolve(question.source)
            except HubError as error:
                question.answer = self._failed(question, error.reason, str(error), error.retry_after)
            except Exception:
                logger.exception("resolving failed", extra={"repository": question.source.repository})
                message = "Holdfast failed on the Hub's answer; its log has the details"
                question.answer = self._failed(question, Reason.INTERNAL_ERROR, message, None)
        question.task = None
        question.models.clear()
        outcome = question.answer.reason if isinstance(question.answer, _Failure) else "Resolved"
        self._observer.resolved(outcome)
        for key in question.wanted_by:
            self._queue.add(key, Priority.HIGH)

    def _failed(self, question: _Question, reason: Reason, message: str, retry_after: float | None) -> _Failure:
        longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(question.failures, 20))
        question.failures += 1
        delay = max(retry_after or 0.0, longest * (0.5 + self._rng.random() / 2))
        return _Failure(reason, message[:1024], self._now() + timedelta(seconds=delay))

    def _render(self, key: Key, model: Model, declared: str, source: ResolvedSource) -> Resolved | ResolutionFailed:
        resolved = resolve_model(key.name, model, source)
        problems = self._renderer.problems(resolved)
        if not problems:
            return Resolved(declared=declared, model=resolved)
        return ResolutionFailed(
            declared=declared,
            reason=Reason.INVALID_SPEC,
            message="; ".join(problems)[:1024],
            retry_at=self._now() + _UNRENDERABLE,
        )


def _identity(source: HuggingFaceSource) -> str:
    return json.dumps(source.wire(), sort_keys=True)
