"""A real Envoy on loopback that runs what the operator would publish."""

import asyncio
import contextlib
import io
import itertools
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from holdfast.api.names import GATEWAY_CONFIG_HOST
from holdfast.domain.gateway import Clusters, Route, Routing
from holdfast.domain.gateway_plan import GatewayPlan
from holdfast.render.gateway.bootstrap import bootstrap
from holdfast.render.gateway.layout import Layout
from holdfast.render.gateway.publication import Publication, publication
from testbed import envoy

NAMESPACE = "team-a"
_START_SECONDS = 30
_LAG = 64
"""Answers under full load, some 20 ms."""


def volume(folder: Path, files: Mapping[str, str]) -> None:
    """Write files as the kubelet does: a folder of its own, then a swap of the symlink ``..data``."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"..{time.time_ns()}"
    target.mkdir()
    for name, text in files.items():
        (target / name).write_text(text)
    old = (folder / "..data").resolve() if (folder / "..data").is_symlink() else None
    (folder / "..data_tmp").symlink_to(target.name)
    (folder / "..data_tmp").rename(folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    if old is not None:
        shutil.rmtree(old)


def route(arms: Mapping[str, int], *, serial: int = 1, header: str = "x-user-id") -> Route:
    return Route(serial=serial, arms=arms, header=header)


@dataclass(slots=True)
class Answer:
    """What a client got."""

    status: int
    headers: CIMultiDict[str]
    body: bytes

    @property
    def revision(self) -> str | None:
        return self.headers.get("x-holdfast-revision")

    @property
    def served_by(self) -> str | None:
        return self.headers.get("x-holdfast-served-by")

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Gateway:
    """Envoy with the files of one namespace."""

    folder: Path
    layout: Layout
    session: aiohttp.ClientSession
    serial: int = 0
    current: Publication | None = None
    marks: dict[str, Mapping[str, str]] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    http_port: int = 0
    metrics_port: int = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def publish(self, routes: Mapping[str, Route] | None = None, clusters: Mapping[str, Clusters] | None = None) -> int:
        """Change what is named; returns the serial."""
        before = self.current
        if routes is None:
            routes = before.routing.routes if before is not None else {}
        else:
            self.serial += 1
        if clusters is None:
            clusters = before.clusters if before is not None else {}
        plan = GatewayPlan(
            routing=Routing(serial=self.serial, routes=routes),
            clusters=clusters,
            waiting={},
            problems={},
            unobserved=frozenset(),
            clusters_first=False,
        )
        self.current = publication(plan, self.marks, self.layout, routes=None, clusters=None)
        if before is None or before.clusters_data != self.current.clusters_data:
            volume(Path(self.layout.config_directory) / "clusters", self.current.clusters_data)
        if before is None or before.routes_data != self.current.routes_data:
            volume(Path(self.layout.config_directory) / "routes", self.current.routes_data)
        return self.serial

    async def start(self) -> None:
        if self.current is None:
            self.publish()
        file = self.folder / "bootstrap.json"
        file.write_text(json.dumps(bootstrap(self.layout)))
        options = ["--disable-hot-restart", "--concurrency", "2", "--log-level", "warning"]
        options += ["--drain-strategy", "immediate", "--drain-time-s", "86400"]
        with (self.folder / "envoy.log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                str(envoy.binary()), "-c", str(file), *options, stdout=log, stderr=log
            )
        await self._find_ports()
        await self.until_serial(self.serial, _START_SECONDS)

    async def _find_ports(self) -> None:
        """Ask Envoy which free ports it took: a port that a test finds free may be taken by the time that Envoy wants it."""
        deadline = time.monotonic() + _START_SECONDS
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(self.layout.admin_socket)) as admin:
            while self.running and time.monotonic() < deadline:
                with contextlib.suppress(aiohttp.ClientError, KeyError):
                    async with admin.get("http://envoy/listeners?format=json") as response:
                        value = await response.json(content_type=None)
                    found = {
                        status["name"]: int(status["local_address"]["socket_address"]["port_value"])
                        for status in value["listener_statuses"]
                        if "socket_address" in status["local_address"]
                    }
                    self.http_port, self.metrics_port = found["ingress"], found["metrics"]
                    if self.http_port and self.metrics_port:
                        return
                await asyncio.sleep(0.01)
        raise AssertionError(f"Envoy does not listen:\n{self.log[-4000:]}")

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    @property
    def log(self) -> str:
        return (self.folder / "envoy.log").read_text()

    async def config(self) -> Any:
        answer = await self.ask("/config", host=GATEWAY_CONFIG_HOST, method="GET")
        return answer.json()

    async def until_serial(self, serial: int, seconds: float = 10) -> None:
        """Wait until Envoy answers by a publication."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(aiohttp.ClientError, ValueError):
                if (await self.config())["serial"] >= serial:
                    return
            if not self.running or time.monotonic() > deadline:
                raise AssertionError(f"Envoy does not answer by serial {serial}:\n{self.log[-4000:]}")
            await asyncio.sleep(0.01)

    async def clusters(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.metrics_port}/clusters"
        async with self.session.get(url) as response:
            value = await response.json(content_type=None)
        return {status["name"]: status for status in value["cluster_statuses"]}

    async def metrics(self) -> str:
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        async with self.session.get(url) as response:
            return await response.text()

    async def metric(self, series: str) -> float:
        """Return the value of one series, 0 if there is none yet."""
        values = [line.rpartition(" ")[2] for line in (await self.metrics()).splitlines() if line.startswith(f"{series}{{}} ")]
        return float(values[0]) if values else 0.0

    async def until_known(self, *names: str) -> None:
        """Wait until Envoy has clusters with at least one endpoint."""
        for _ in range(1000):
            known = await self.clusters()
            if all(name in known and ("/arm-" in name or known[name].get("host_statuses")) for name in names):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"Envoy does not know {names}:\n{self.log[-4000:]}")

    async def ask(
        self,
        path: str = "/v1/chat/completions",
        *,
        host: str = "support-chat",
        user: str | None = None,
        method: str = "POST",
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request."""
        sent = {"host": host, **({} if user is None else {"x-user-id": user}), **(headers or {})}
        if data is not None:
            sent.setdefault("content-type", "application/json")
        body = None if data is None else io.BytesIO(data)
        url = URL(f"http://127.0.0.1:{self.http_port}{path}", encoded=True)
        async with self.session.request(method, url, data=body, headers=sent, allow_redirects=False) as response:
            return Answer(response.status, CIMultiDict(response.headers), await response.read())

    async def revisions(self, users: list[str], parallel: int = 16) -> dict[str, str]:
        """Return which revision each user gets; fails on any failed request."""
        limit = asyncio.Semaphore(parallel)
        seen: dict[str, str] = {}

        async def one(user: str) -> None:
            async with limit:
                answer = await self.ask(user=user)
            assert answer.status == 200, answer
            seen[user] = answer.json()["revision"]

        await asyncio.gather(*(one(user) for user in users))
        return seen


class Load:
    """Clients that ask without a pause, each as many users in turn."""

    def __init__(self, gateway: Gateway, clients: int = 8) -> None:
        self.answers: list[Answer] = []
        self._gateway = gateway
        self._clients = clients
        self._tasks: list[asyncio.Task[None]] = []
        self._answered = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._ask(client)) for client in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def following(self, count: int) -> list[Answer]:
        """Wait for as many answers after a change that one of Envoy's two threads was seen to have.

        Requests that are under way began before, and the other thread may be some milliseconds behind.
        """
        mark = len(self.answers) + self._clients + _LAG
        while len(self.answers) < mark + count:
            self._answered.clear()
            async with asyncio.timeout(30):
                await self._answered.wait()
            for task in self._tasks:
                if task.done():
                    task.result()
        return self.answers[mark:]

    async def _ask(self, client: int) -> None:
        for number in itertools.count():
            self.answers.append(await self._gateway.ask(user=f"user-{client}-{number % 500}"))
            self._answered.set()


def layout(folder: Path, engines: Mapping[tuple[str, int], int], **changes: Any) -> Layout:
    """Return a layout on loopback: `engines` are ports by deployment and revision."""
    (folder / "run").mkdir(parents=True, exist_ok=True)
    base = Layout(
        namespace=NAMESPACE,
        config_directory=str(folder / "config"),
        run_directory=str(folder / "run"),
        listen_address="127.0.0.1",
        http_port=0,
        metrics_port=0,
        engine_address=lambda deployment, revision: ("127.0.0.1", engines[deployment, revision]),
    )
    return replace(base, **changes)
