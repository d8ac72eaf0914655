"""Runs the command line in this process, and a server with scripted replies."""

from __future__ import annotations

import functools
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer.main

from agentgrid.cli.main import main
from agentgrid.cli.profiles import Profile, save_profiles

KEY = "ag_0123456789abcdef_the-secret-part-of-a-key-that-nobody-may-see"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The output and exit code of a command."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Ended]


@pytest.fixture(scope="session", autouse=True)
def built_once() -> Iterator[None]:
    """Build the command tree once, not for each command: it takes 0.1 s, more than most commands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home, and an environment that names no server."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("API_URL", "API_KEY", "PROFILE", "DATABASE_URL", "TEMPORAL_ADDRESS", "SIGNING_KEY_FILE"):
        monkeypatch.delenv(f"AGENTGRID_{name}", raising=False)
    monkeypatch.setenv("AGENTGRID_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command as the console script does, but in this process."""

    def run(*arguments: str, stdin: bytes | None = None) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["agentgrid", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin or b"")))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ended(code=int(ended.value.code or 0), out=out, err=err)

    return run


@dataclass
class Reply:
    """The server's reaction to a request."""

    status: int = 200
    body: Any = None
    """A value to send as JSON, or bytes to send as is."""
    headers: Mapping[str, str] = field(default_factory=dict)
    act: Callable[[BaseHTTPRequestHandler], None] | None = None
    """Called instead of replying."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request that the server received."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class FakeServer:
    """An HTTP server with scripted replies by `METHOD path`; the last reply repeats."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.replies: dict[str, list[Reply]] = {}
        self.closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                outer._handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def on(self, request: str, *replies: Reply) -> None:
        """Script the replies to a request such as `GET /runs`, in order."""
        method, path = request.split(" ", 1)
        self.replies[f"{method} /api/v1{path}"] = list(replies)

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        seen = Seen(
            method=handler.command,
            path=handler.path,
            headers=dict(handler.headers.items()),
            body=handler.rfile.read(length),
        )
        self.seen.append(seen)
        waiting = self.replies.get(f"{seen.method} {seen.path.split('?')[0]}")
        if waiting is None:
            problem = {"code": "not_found", "detail": f"there is no {seen.path}", "status": 404}
            reply = Reply(status=404, body=problem)
        else:
            reply = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if reply.act is not None:
            reply.act(handler)
            return
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        handler.send_response(reply.status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **reply.headers,
        }.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


@pytest.fixture
def server(home: Path) -> Iterator[FakeServer]:
    """A server, with the profiles `operator` and `reviewer` for it."""
    running = FakeServer()
    key_file = home / "keys" / "some.key"
    key_file.parent.mkdir()
    key_file.touch(0o600)
    key_file.write_text(KEY + "\n")
    save_profiles(
        home / "profiles.toml",
        {name: Profile(name=name, url=running.url, key_file=key_file) for name in ("operator", "reviewer")},
    )
    yield running
    running.close()


def problem(status: int, code: str, detail: str = "no", **more: Any) -> Reply:
    """A refusal in the API's format."""
    body = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail, **more}
    return Reply(status=status, body=body, headers={"Content-Type": "application/problem+json"})
