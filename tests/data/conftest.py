"""A server on loopback for everything that is fetched."""

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest


class Server(ThreadingHTTPServer):
    """Serves one file and notes what is asked for.

    Attributes:
        content: the file; None for none.
        headers: further headers of each answer, such as ETag.
        moved: whether it sends to another address first, as GitHub does.
        ranges: whether it heeds Range.
        chunked: whether it leaves out how long the body is.
        cuts: one for each of the next answers: the bytes after which it drops the connection; None to go on.
        stall: if set, it waits for this event where it would drop the connection.
        statuses: one for each of the next answers: an error to give instead.
        requests: the Range and If-Range headers of every request.
        sent: bytes of the body of every answer.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}/archive/data.zip"
        self.content: bytes | None = None
        self.headers: dict[str, str] = {"ETag": '"first"'}
        self.moved = False
        self.ranges = True
        self.chunked = False
        self.cuts: list[int | None] = []
        self.stall: Event | None = None
        self.statuses: list[int] = []
        self.requests: list[tuple[str | None, str | None]] = []
        self.sent: list[int] = []


class Answer(BaseHTTPRequestHandler):
    """Answers as a file server does."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        server = self.server
        self.close_connection = True
        if server.moved and self.path != "/moved":
            self.send_response(302)
            self.send_header("Location", "/moved")
            self.end_headers()
            return
        asked, condition = self.headers["Range"], self.headers["If-Range"]
        server.requests.append((asked, condition))
        content = server.content
        status = server.statuses.pop(0) if server.statuses else 404 if content is None else 200
        if content is None or status != 200:
            self.send_error(status)
            return
        start = 0
        known = (None, server.headers.get("ETag"), server.headers.get("Last-Modified"))
        if asked and server.ranges and condition in known:
            start, status = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]), 206
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_body(content[start:], server.cuts.pop(0) if server.cuts else None)

    def send_body(self, body: bytes, cut: int | None) -> None:
        if self.server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.chunked:
            self.wfile.write(b"%x\r\n" % len(body))
        self.server.sent.append(len(body[:cut]))
        self.wfile.write(body[:cut])
        if self.server.chunked and cut is None:
            self.wfile.write(b"\r\n0\r\n\r\n")
        if cut is not None and self.server.stall is not None:
            self.wfile.flush()
            self.server.stall.wait(60)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        yield running
        running.shutdown()
