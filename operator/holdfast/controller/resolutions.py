"""Questions about sources, asked in the background, a few at a time, once per source, and only while somebody wants the answer.

Answers live in memory: the ModelRevision that is made of one is what lasts.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from pydantic import ValidationError

from holdfast.api.found import Found
from holdfast.api.model import Model
from holdfast.api.names import Key
from holdfast.api.reasons import Reason
from holdfast.api.revision import Platform, Recorded
from holdfast.controller.observer import Observer
from holdfast.controller.ports import Renderer, Resolver
from holdfast.controller.queue import Priority, WorkQueue
from holdfast.domain.checks import problems, size_problems
from holdfast.domain.pin import declared_digest, resolve_model
from holdfast.domain.questions import questions
from holdfast.domain.snapshot import ResolutionFailed, Resolved
from holdfast.domain.texts import UnreadableError
from holdfast.sources.hub_errors import HubError

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 8
_FIRST_DELAY: Final = 5.0
_LONGEST_DELAY: Final = 600.0
_MESSAGE_MAX: Final = 1024
_IMAGE: Final = "image "
_UNRENDERABLE: Final = timedelta(days=1)
"""A model that cannot be rendered stays so until its spec changes, which makes it another model."""
_BUG: Final = "Holdfast failed on what the source answered; its log has the details"


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: Reason
    message: str
    retry_at: datetime


_Answer = Found | tuple[Platform, ...]


@dataclass(slots=True)
class _Asked:
    ask: Callable[[], Awaitable[_Answer]]
    what: str
    """For the log."""
    wanted_by: set[Key] = field(default_factory=set)
    task: asyncio.Task[None] | None = None
    answer: _Answer | _Failure | None = None
    failures: int = 0


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
        self._asked: dict[str, _Asked] = {}
        self._asked_by: dict[Key, frozenset[str]] = {}
        self._models: dict[Key, tuple[str, Resolved | ResolutionFailed]] = {}
        """What the answers mean for the declared model that each key asked for last."""
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def find(self, key: Key, model: Model) -> Resolved | ResolutionFailed | None:
        """Return the answer for a declared model, None while there is none. A failure names the field of the source."""
        found: dict[str, Found] = {}
        failures: list[tuple[str, _Failure]] = []
        for where, question in questions(model).items():
            asked = self._asked.get(question.identity)
            if asked is None or asked.answer is None:
                return None
            if isinstance(asked.answer, _Failure):
                failures.append((where, asked.answer))
            elif isinstance(asked.answer, Found):
                found[where] = asked.answer
        image = self._asked.get(_image(model))
        if image is None or image.answer is None:
            return None
        declared = declared_digest(model)
        if failures:
            where, first = failures[0]
            return ResolutionFailed(
                declared=declared,
                reason=first.reason,
                message=f"spec.model.{where}: {first.message}"[:_MESSAGE_MAX],
                retry_at=min(failure.retry_at for _, failure in failures),
            )
        known = self._models.get(key)
        if known is None or known[0] != declared:
            known = self._models[key] = declared, self._render(key, model, declared, found, image.answer)
        return known[1]

    def want(self, key: Key, model: Model) -> None:
        """Ask for a declared model, unless it is being asked or was answered; a failure is asked again when its time has come."""
        wanted: dict[str, Callable[[], Awaitable[_Answer]]] = {
            question.identity: partial(self._resolver.resolve, question) for question in questions(model).values()
        }
        wanted[_image(model)] = partial(self._platforms, model.engine.image)
        before = self._asked_by.get(key, frozenset())
        self._give_up(key, before - wanted.keys())
        self._asked_by[key] = frozenset(wanted)
        for identity, ask in wanted.items():
            asked = self._asked.setdefault(identity, _Asked(ask, identity))
            asked.wanted_by.add(key)
            failed = asked.answer if isinstance(asked.answer, _Failure) else None
            due = asked.answer is None or (failed is not None and self._now() >= failed.retry_at)
            if asked.task is None and due:
                asked.task = asyncio.create_task(self._ask(asked), name=f"resolve {identity}")

    def release(self, key: Key) -> None:
        """Take that a ModelDeployment no longer needs an answer; a question that nobody asks is given up."""
        self._models.pop(key, None)
        self._give_up(key, self._asked_by.pop(key, frozenset()))

    def _give_up(self, key: Key, identities: Iterable[str]) -> None:
        for identity in identities:
            asked = self._asked[identity]
            asked.wanted_by.discard(key)
            if asked.wanted_by:
                continue
            del self._asked[identity]
            if asked.task is not None:
                asked.task.cancel()
                if not identity.startswith(_IMAGE):
                    self._observer.resolved("Cancelled")

    async def close(self) -> None:
        """Give up all questions and wait until they have ended."""
        tasks = [asked.task for asked in self._asked.values() if asked.task is not None]
        for key in list(self._asked_by):
            self.release(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, asked: _Asked) -> None:
        async with self._slots:
            try:
                asked.answer = await asked.ask()
            except HubError as error:
                asked.answer = self._failed(asked, error.reason, str(error), error.retry_after)
            except Exception:
                logger.exception("resolving failed", extra={"question": asked.what[:512]})
                asked.answer = self._failed(asked, Reason.INTERNAL_ERROR, _BUG, None)
        asked.task = None
        if not isinstance(asked.answer, tuple):  # a registry that says nothing is no failure, and one that does no model
            self._observer.resolved(asked.answer.reason if isinstance(asked.answer, _Failure) else "Resolved")
        for key in asked.wanted_by:
            self._models.pop(key, None)
            if all(self._asked[identity].answer is not None for identity in self._asked_by[key]):
                self._queue.add(key, Priority.HIGH)

    def _failed(self, asked: _Asked, reason: Reason, message: str, retry_after: float | None) -> _Failure:
        longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(asked.failures, 20))
        asked.failures += 1
        delay = max(retry_after or 0.0, longest * (0.5 + self._rng.random() / 2))
        return _Failure(reason, message[:_MESSAGE_MAX], self._now() + timedelta(seconds=delay))

    async def _platforms(self, image: str) -> tuple[Platform, ...]:
        return tuple(await self._resolver.platforms(image))

    def _render(
        self, key: Key, model: Model, declared: str, found: Mapping[str, Found], image: object
    ) -> Resolved | ResolutionFailed:
        """Return what the answers make of a declared model.

        Files say what they like. Whatever that leads to is told of this proposal and of nothing else: what serves has its way out.
        """
        reason = Reason.INVALID_SPEC
        told: list[str] = []
        try:
            told += problems(model, found)
            resolved = resolve_model(key.name, model, found)
            told += [*size_problems(resolved), *self._renderer.problems(resolved)]
            if not told:
                return Resolved(declared=declared, model=resolved, recorded=_recorded(found["source"], image))
        except UnreadableError as error:
            told.append(f"spec.model: {error}")
        except ValidationError as error:
            told.append(f"spec.model: what its files say cannot be pinned: {_brief(error)}")
        except Exception:
            logger.exception("resolving failed", extra={"deployment": key})
            reason, told = Reason.INTERNAL_ERROR, [_BUG]
        return ResolutionFailed(
            declared=declared,
            reason=reason,
            message="; ".join(dict.fromkeys(told))[:_MESSAGE_MAX],
            retry_at=self._now() + _UNRENDERABLE,
        )


def _brief(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _image(model: Model) -> str:
    return f"{_IMAGE}{model.engine.image}"


def _recorded(found: Found, image: object) -> Recorded | None:
    platforms = list(image) if isinstance(image, tuple) else []
    if not platforms:
        return found.recorded
    return (found.recorded or Recorded()).model_copy(update={"image_platforms": platforms})
