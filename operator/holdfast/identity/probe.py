"""What the kubelet asks: ``GET /started``, then ``GET /ready``. ``GET /report`` says the latter at length."""

import json
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from holdfast.identity.watch import Report


class Probe(ThreadingHTTPServer):
    """Answers from the latest report; raises OSError when the port is taken."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, report: Callable[[], Report], started: Callable[[], bool]) -> None:
        super().__init__((host, port), _Handler)
        self.report = report
        self.started = started


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10  # of a client that says nothing, in seconds

    def do_GET(self) -> None:  # the name is the library's
        assert isinstance(self.server, Probe)  # noqa: S101 # for the types: only Probe makes handlers
        report = self.server.report()
        if self.path == "/ready":
            self._answer(HTTPStatus.OK if report.ready else HTTPStatus.SERVICE_UNAVAILABLE, report.message + "\n", "text/plain")
        elif self.path == "/started":
            done = self.server.started()
            text = "the engine may start" if done else "the pod may still reach the sources of its files"
            self._answer(HTTPStatus.OK if done else HTTPStatus.SERVICE_UNAVAILABLE, text + "\n", "text/plain")
        elif self.path == "/report":
            found = {"ready": report.ready, "message": report.message, "reported": report.reported}
            self._answer(HTTPStatus.OK, json.dumps(found) + "\n", "application/json")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "not found\n", "text/plain")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the library's name
        """Say nothing: the kubelet asks every second."""

    def _answer(self, status: HTTPStatus, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
