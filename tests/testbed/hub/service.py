"""The hub on the network: two listening addresses, one for the Hub and its admin API, one for the CDN.

The CDN must be another origin than the Hub, as it is in reality: within one origin huggingface_hub follows the redirect
of a metadata request, and would miss the headers that are on the redirect alone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from aiohttp import web

from testbed.hub.accounts import Caller, identify
from testbed.hub.admin_api import PREFIX, administer
from testbed.hub.faults import AnswerFault, Gone, RateLimited, Stall
from testbed.hub.gate import revision_not_found
from testbed.hub.journal import RequestRecord, UnexpectedRequest
from testbed.hub.ratelimit import Allowance
from testbed.hub.routes import Route, cdn_route, hub_route
from testbed.hub.state import HubState
from testbed.hub.strict import bearer_token, check_headers, condition, parse_query, split_path
from testbed.hub.transmit import Outgoing, send, shape
from testbed.hub.wire import Answer, RefusalError, Request, UnexpectedError, error, json_answer, tagged

_SHUTDOWN_SECONDS = 0.5

_FindRoute = Callable[[str, tuple[str, ...]], Route]


class HubService:
    """Answers requests from a `HubState` on the running event loop.

    Args:
        state: what to serve.
        admin_token: the secret of the admin API.
    """

    def __init__(self, state: HubState, admin_token: str) -> None:
        self._state = state
        self._admin_token = admin_token
        self._closing = asyncio.Event()
        self._runners: list[web.ServerRunner] = []
        self.url = ""
        self.cdn_url = ""

    async def start(self, address: str, port: int, cdn_port: int, *, loopback: bool = False) -> None:
        """Listen; port 0 takes a free one. Raises ``OSError`` when a port is taken or the address is not ours.

        With `loopback` the Hub, not the CDN, listens on 127.0.0.1 as well: that is where `kubectl port-forward` comes in.
        """
        try:
            self.url = await self._listen(address, port, self._answer_hub)
            if loopback:
                await web.TCPSite(self._runners[0], "127.0.0.1", int(self.url.rpartition(":")[2])).start()
            self.cdn_url = await self._listen(address, cdn_port, self._answer_cdn)
        except BaseException:
            await self.stop()
            raise
        self._state.cdn_url = self.cdn_url

    async def stop(self) -> None:
        """Stop listening and end all connections."""
        self._closing.set()
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(self, address: str, port: int, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> str:
        # Without handler_cancellation a stalled request would outlive the client that gave up.
        server = web.Server(answer, handler_cancellation=True, access_log=None, logger=_loud_logger(self._state))
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, address, port).start()
        host, bound = runner.addresses[0][:2]
        return f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"

    async def _answer_hub(self, raw: web.BaseRequest) -> web.StreamResponse:
        path = raw.rel_url.raw_path
        if not path.startswith(PREFIX):
            return await self._answer(raw, hub_route)
        body = await raw.content.read()
        authorization = raw.headers.get("Authorization")
        operation = path.removeprefix(PREFIX) if raw.method == "POST" else f"{raw.method} {path}"
        answer = administer(self._state, operation, authorization, body, self._admin_token)
        source = answer.body
        content = source.read(0, source.size) if source else b""
        return web.Response(status=answer.status, body=content, content_type="application/json")

    async def _answer_cdn(self, raw: web.BaseRequest) -> web.StreamResponse:
        return await self._answer(raw, cdn_route)

    async def _answer(self, raw: web.BaseRequest, find: _FindRoute) -> web.StreamResponse:
        state = self._state
        record = RequestRecord(
            number=state.journal.next_number(),
            time=state.clock(),
            method=raw.method,
            path=raw.raw_path,
            route="unexpected",
            client=raw.remote or "",
            range=raw.headers.get("Range"),
            user_agent=raw.headers.get("User-Agent"),
        )
        state.journal.begin(record)
        try:
            outgoing = await self._decide(raw, find, record)
            record.status = outgoing.status
            return await send(raw, outgoing, record)
        except ConnectionError:
            # The client went away, or the hub stops: nobody is left to answer.
            if raw.transport is not None:
                raw.transport.close()
            return web.Response(status=503)
        finally:
            state.journal.finish(record)

    async def _decide(self, raw: web.BaseRequest, find: _FindRoute, record: RequestRecord) -> Outgoing:
        """Work out the answer; whatever goes wrong here was unexpected."""
        state = self._state
        body = await raw.content.read()
        try:
            request, route = _understand(state, raw, find, body, record)
            fault = state.faults.for_answer(request.method, request.target)
            if isinstance(fault, Stall):
                record.fault += (fault.kind,)
                await self._closing.wait()
                raise ConnectionResetError("the hub stops while the request is stalled")
            return _outgoing(state, request, route, fault, record)
        except UnexpectedError as exc:
            reason = str(exc)
        except ConnectionError:
            raise
        except Exception as exc:
            # A hub that fails must not look like a Hub that answers 500: it is a defect of the test bed.
            logging.getLogger(__name__).exception("the Hub stand-in failed")
            reason = f"the Hub stand-in failed: {exc!r}"
        state.journal.unexpected.append(UnexpectedRequest(method=raw.method, path=raw.raw_path, reason=reason))
        answer = json_answer({"error": f"Hub stand-in: {reason}", "method": raw.method, "path": raw.raw_path}, status=501)
        return shape(answer, _bare(raw), ())


def _understand(
    state: HubState, raw: web.BaseRequest, find: _FindRoute, body: bytes, record: RequestRecord
) -> tuple[Request, Route]:
    check_headers(raw.headers, method=raw.method, has_body=bool(body))
    caller = identify(bearer_token(raw.headers), state.accounts.values())
    record.token = caller.token
    record.caller = caller.account.name if caller.account else ("anonymous" if caller.anonymous else "unknown")
    path, _, query = raw.raw_path.partition("?")
    segments = split_path(path)
    request = Request(
        method=raw.method,
        target=raw.raw_path,
        path=path,
        query=parse_query(query),
        headers=raw.headers,
        body=body,
        caller=caller,
    )
    route = find(raw.method, segments)
    record.route = route.name
    return request, route


def _outgoing(state: HubState, request: Request, route: Route, fault: AnswerFault | None, record: RequestRecord) -> Outgoing:
    limits: Mapping[str, str] = {}
    known = condition(request.headers, tagged=route.tagged)
    allowance = state.limiter.take(route.bucket, _who(record)) if route.bucket else None
    if fault is not None:
        record.fault += (fault.kind,)
        answer = _faulty(fault, allowance, request)
    elif allowance is not None and not allowance.allowed:
        answer = _too_many(allowance)
    else:
        try:
            answer = route.handle(state, request)
            if route.tagged:
                answer = tagged(answer, known)
        except RefusalError as exc:
            answer = exc.answer
    if allowance is not None:
        limits = allowance.headers()
    numbered = {"X-Request-Id": f"hub-{record.number}", **limits, **answer.headers}
    good = answer.status < 300 and request.method != "HEAD"
    faults = state.faults.for_body(request.method, request.target) if good else []
    record.fault += tuple(f.kind for f in faults)
    return shape(replace(answer, headers=numbered), request, faults)


def _faulty(fault: AnswerFault, allowance: Allowance | None, request: Request) -> Answer:
    if isinstance(fault, Gone):
        return revision_not_found(request.path)
    if isinstance(fault, RateLimited):
        after = {"Retry-After": str(fault.reset_seconds)} if fault.retry_after else {}
        spent = allowance.exhausted(fault.reset_seconds).headers() if allowance else {}
        return error(429, None, "Too Many Requests", {**spent, **after})
    if isinstance(fault, Stall):
        raise TypeError("a stalled request has no answer")
    return json_answer({"error": fault.message}, status=fault.status, headers=fault.headers)


def _too_many(allowance: Allowance) -> Answer:
    return error(429, None, "Too Many Requests", allowance.headers())


def _who(record: RequestRecord) -> str:
    return f"account {record.caller}" if record.caller not in ("anonymous", "unknown") else f"address {record.client}"


def _bare(raw: web.BaseRequest) -> Request:
    """Return a request that has nothing but its method: enough to shape an error."""
    return Request(method=raw.method, target="", path="", query=(), headers={}, body=b"", caller=Caller(None, None))


def _loud_logger(state: HubState) -> logging.Logger:
    """Return a logger for aiohttp whose errors (requests that are not HTTP, defects) count as unexpected."""

    class Remember(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            cause = record.exc_info[1] if record.exc_info else None
            reason = f"{record.getMessage()}: {cause!r}"
            state.journal.unexpected.append(UnexpectedRequest(method="?", path="?", reason=reason))

    logger = logging.Logger("testbed.hub.http", logging.ERROR)
    logger.addHandler(Remember())
    return logger
