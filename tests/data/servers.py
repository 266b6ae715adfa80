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
        shift: from how many bytes later than asked it sends the rest.
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
        self.moved, self.ranges, self.shift, self.chunked = False, True, 0, False
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
        if self.server.moved and self.path != "/moved":
            self.say(302, {"Location": "/moved"})
        else:
            self.send_file(self.server.content)

    def send_file(self, content: bytes | None) -> None:
        server = self.server
        asked, condition = self.headers["Range"], self.headers["If-Range"]
        server.requests.append((asked, condition))
        status = server.statuses.pop(0) if server.statuses else 404 if content is None else 200
        if content is None or status != 200:
            self.say(status, {})
            return
        start, headers = 0, dict(server.headers)
        if asked and server.ranges and condition in server.headers.values():
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) + server.shift
            status, headers["Content-Range"] = 206, f"bytes {start}-{len(content) - 1}/{len(content)}"
        if start >= len(content):
            self.say(416, {})
            return
        cut = server.cuts.pop(0) if server.cuts else None
        server.sent.append(len(content[start:][:cut]))
        self.say(status, headers, content[start:], cut)
        if cut is not None and server.stall is not None:
            self.wfile.flush()
            server.stall.wait(60)

    def say(self, status: int, headers: dict[str, str], body: bytes = b"", cut: int | None = None) -> None:
        """Answer, and close the connection, `cut` bytes after the beginning of the body if that is given."""
        self.close_connection = True
        chunked = self.server.chunked and status < 300
        length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(body))}
        self.send_response(status)
        for name, value in {**headers, **length}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"%x\r\n" % len(body) if chunked else b"")
        self.wfile.write(body[:cut])
        self.wfile.write(b"\r\n0\r\n\r\n" if chunked and cut is None else b"")

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
        busy: whether it answers nothing.
        forms: what was sent as a form, with the path.
        asked: paths that were asked for.
    """

    def __init__(self, login: tuple[str, str]) -> None:
        super().__init__(SiteAnswer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.login, self.busy = login, False
        self.archives: dict[str, bytes] = {}
        self.md5: dict[str, str] = {}
        self.elsewhere: dict[str, str] = {}
        self.listing: bytes | None = None
        self.forms: list[tuple[str, dict[str, list[str]]]] = []
        self.asked: list[str] = []


class SiteAnswer(Answer):
    """Answers as the site does."""

    server: Site

    def do_GET(self) -> None:
        site, (path, _, query) = self.server, self.path.partition("?")
        site.asked.append(path)
        if site.busy:
            self.say(503, {})
        elif path in site.elsewhere:
            self.say(302, {"Location": site.elsewhere[path]})
        elif path == "/login":
            self.say(200, {"Set-Cookie": "session=guest; path=/; HttpOnly"}, b"<form>")
        elif self.headers["Cookie"] != "session=known":
            self.say(302, {"Location": "/login"})
        elif path == "/downloads/":
            packages = [
                {"name": name, "packageID": str(number), "size": "1KB", "thirdparty": "0"}
                for number, name in enumerate(site.archives)
            ]
            self.say(200, {}, json.dumps(packages).encode() if site.listing is None else site.listing)
        else:
            name, content = list(site.archives.items())[int(parse_qs(query)["packageID"][0])]
            if path == "/md5-sum/":
                self.say(200, {}, f"{site.md5.get(name, hashlib.md5(content).hexdigest())}  {name}\n".encode())
            else:
                site.headers = {"ETag": f'"{name}"'}
                self.send_file(content)

    def do_POST(self) -> None:
        site = self.server
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        site.forms.append((self.path, form))
        if self.path in site.elsewhere:
            self.say(302, {"Location": site.elsewhere[self.path]})
        elif (form["username"], form["password"]) == tuple([value] for value in site.login) and form["submit"]:
            self.say(302, {"Location": "/downloads", "Set-Cookie": "session=known; path=/; HttpOnly"})
        else:
            self.say(200, {}, b"Wrong name or password.")


@contextmanager
def running(server: Server) -> Iterator[Server]:
    with server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()
