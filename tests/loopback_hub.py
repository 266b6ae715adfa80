"""The hub on loopback, and clients of it in processes of their own."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Hub(ThreadingHTTPServer):
    """Serves `files`, path to content, and notes every request; with `cut` a download ends half-way."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.cut = False


class Answer(BaseHTTPRequestHandler):
    """Answers as huggingface.co does, as far as fetching a file goes."""

    server: Hub

    def do_HEAD(self) -> None:
        self.server.requests.append((self.command, self.path))
        content = self.server.files.get(self.path)
        self.send_response(404 if content is None else 200)
        self.send_header("X-Repo-Commit", "0123456789abcdef0123456789abcdef01234567")
        self.send_header("Content-Length", str(len(content or b"")))
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        else:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        content = self.server.files.get(self.path, b"")
        self.wfile.write(content[: len(content) // 2] if self.server.cut else content)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


def run_beside(
    code: str, arguments: Sequence[str], folder: Path, endpoint: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in `folder` (the client of the hub reads its environment when it is imported)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "cache"), "NO_PROXY": "127.0.0.1", **variables}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=300)
