"""The Hub as the operator and the command line see it: exact files of an exact commit, or a typed error."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from holdfast.api.found import Found, Question
from holdfast.api.revision import Platform
from holdfast.sources import listed
from holdfast.sources.hub_client import HubClient, RepositoryFile
from holdfast.sources.hub_resolution import list_files, resolve
from holdfast.sources.hub_transport import Limits
from holdfast.sources.oci_resolution import resolve_oci
from holdfast.sources.registry import resolve_image
from holdfast.sources.registry_access import RegistryAccess
from holdfast.sources.registry_errors import RegistryError
from holdfast.sources.registry_reference import parse_reference

logger = logging.getLogger(__name__)

_REGISTRY_SECONDS: Final = 3.0

_T = TypeVar("_T")


class HubResolver:
    """Resolves declared sources against one Hub.

    Work runs in `workers` threads of its own. Cancelling a call returns at once; its thread ends at the next answer of the Hub,
    `request_seconds` later at most. No answer is remembered.

    Registries are named by whoever writes a ModelDeployment, and reached as `registries` says.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        token: Callable[[], str | None] = lambda: None,
        workers: int = 4,
        request_seconds: float = 10.0,
        total_seconds: float = 300.0,
        registries: RegistryAccess | None = None,
    ) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._token = token
        self._request_seconds = request_seconds
        self._total_seconds = total_seconds
        self._registries = registries or RegistryAccess(for_strangers=True)
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="hub")

    async def resolve(self, question: Question) -> Found:
        """Return the exact files of a declared source. Of a list that came with the manifest nothing is asked.

        Raises:
            HubError: with the `Reason` to show; `SourceUnavailableError` is worth trying again.
        """
        source, oci = question.source.hugging_face, question.source.oci
        if oci is not None and oci.files is None:
            return await resolve_oci(question, oci, self._registries)
        if source is None or source.files is not None:
            return listed.resolve(question, self.endpoint)
        return await self._run(lambda client: resolve(client, question, source))

    async def platforms(self, image: str) -> tuple[Platform, ...]:
        """Return the images of the index that an engine's image is, by platform.

        They are only recorded: where the registry is private, out of reach or slow, there are none.
        """
        try:
            found = await resolve_image(parse_reference(image), self._registries, seconds=_REGISTRY_SECONDS)
        except RegistryError as error:
            logger.info("the images of an engine's index are not known", extra={"image": image, "error": str(error)[:512]})
            return ()
        return found.platforms

    async def resolve_ref(self, repository: str, ref: str) -> str:
        """Return the commit (40 hex digits) that a branch, a tag or a shortened hash means now.

        Raises:
            HubError: with the `Reason` to show.
        """
        return await self._run(lambda client: client.commit(repository, ref))

    async def repository_files(self, repository: str, commit: str) -> list[RepositoryFile]:
        """Return all files of a commit, ordered by path, without reading any.

        Raises:
            HubError: with the `Reason` to show.
        """
        return await self._run(lambda client: list_files(client, repository, commit))

    async def close(self) -> None:
        """Stop accepting work. Threads that wait for the Hub end by their own limits."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[HubClient], _T]) -> _T:
        cancelled = threading.Event()
        limits = Limits(request_seconds=self._request_seconds, total_seconds=self._total_seconds, cancelled=cancelled)

        def run() -> _T:
            client = HubClient(self.endpoint, self._token())
            with client.within(limits):
                return work(client)

        try:
            return await asyncio.wrap_future(self._threads.submit(run))
        finally:
            cancelled.set()
