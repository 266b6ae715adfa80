"""Servers on loopback for everything that is fetched."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs


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

    def __init__(self, answer: type[BaseHTTPRequestHandler] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), answer or Answer)
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
        self.send_file(server.content)

    def send_file(self, content: bytes | None) -> None:
        server = self.server
        asked, condition = self.headers["Range"], self.headers["If-Range"]
        server.requests.append((asked, condition))
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


class Site(Server):
    """The site of Cityscapes: login by a form and a cookie, a list of archives, their checksums, and they themselves.

    Attributes:
        login: name and password that it knows.
        archives: name -> content; the position is the packageID.
        md5: name -> a checksum to state in place of the true one.
        elsewhere: path -> an address that it sends to instead of answering.
        listing: what it answers in place of the list.
        forms: what was sent as a form, with the path.
        asked: paths that were asked for.
    """

    def __init__(self) -> None:
        super().__init__(SiteAnswer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.login = ("somebody", "sesame 42&=")
        self.archives: dict[str, bytes] = {}
        self.md5: dict[str, str] = {}
        self.elsewhere: dict[str, str] = {}
        self.listing: bytes | None = None
        self.forms: list[tuple[str, dict[str, list[str]]]] = []
        self.asked: list[str] = []

    def number(self, name: str) -> int:
        return list(self.archives).index(name)


class SiteAnswer(Answer):
    """Answers as the site does."""

    server: Site

    def do_GET(self) -> None:
        site, (path, _, query) = self.server, self.path.partition("?")
        self.close_connection = True
        site.asked.append(path)
        if path in site.elsewhere:
            self.lead(site.elsewhere[path])
        elif path == "/login":
            self.say(b"<form>", {"Set-Cookie": "session=guest; path=/; HttpOnly"})
        elif self.headers["Cookie"] != "session=known":
            self.lead("/login")
        elif path == "/downloads/":
            packages = [
                {"name": name, "packageID": str(site.number(name)), "size": "1KB", "thirdparty": "0"}
                for name in site.archives
            ]
            self.say(json.dumps(packages).encode() if site.listing is None else site.listing)
        else:
            name, content = list(site.archives.items())[int(parse_qs(query)["packageID"][0])]
            if path == "/md5-sum/":
                self.say(f"{site.md5.get(name, hashlib.md5(content).hexdigest())}  {name}\n".encode())
            else:
                site.headers = {"ETag": f'"{name}"'}
                self.send_file(content)

    def do_POST(self) -> None:
        site = self.server
        self.close_connection = True
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        site.forms.append((self.path, form))
        if self.path in site.elsewhere:
            self.lead(site.elsewhere[self.path])
        elif (form["username"], form["password"]) == tuple([value] for value in site.login) and form["submit"]:
            self.lead("/downloads", {"Set-Cookie": "session=known; path=/; HttpOnly"})
        else:
            self.say(b"Wrong name or password.")

    def lead(self, address: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(302)
        for name, value in {"Location": address, "Content-Length": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def say(self, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    with server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()
