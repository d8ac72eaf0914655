"""The program as a process: what it imports, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperCommand

from agentgrid.cli.exits import ExitCode
from agentgrid.cli.nouns import NOUNS, load
from tests.cli.conftest import FakeServer, Reply

PROGRAM = [sys.executable, "-m", "agentgrid.cli.main"]

HELP_SECONDS = 0.6
"""Maximum CPU time of `agentgrid --help`, not counting the import of `agentgrid` itself."""

HELP = """
import sys, time
import agentgrid.errors
began = time.process_time()
sys.argv = ["agentgrid", "--help"]
from agentgrid.cli.main import main
try:
    main()
finally:
    print(time.process_time() - began, file=sys.stderr)
"""

LOADED = """
import sys, types
import agentgrid.errors
before = set(sys.modules)  # what the `agentgrid` package itself imports doesn't count
import agentgrid.cli.main
heavy = {"httpx", "sqlalchemy", "fastapi", "uvicorn", "asyncpg", "pydantic_settings", "watchfiles", "jsonschema_rs", "rich"}
print(sorted((set(sys.modules) - before) & heavy))
"""


def test_startup_imports_nothing_that_only_some_commands_need() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_help_is_fast() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, timeout=60)
    assert "Commands" in done.stdout
    assert float(done.stderr) < HELP_SECONDS


@pytest.mark.parametrize("name", NOUNS)
def test_the_command_list_matches_each_commands_own_help(name: str) -> None:
    shown = TyperCommand(name, help=NOUNS[name][1])
    assert load(name).get_short_help_str(200) == shown.get_short_help_str(200)


def test_exit_codes_never_change() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "NOT_FOUND": 3,
        "NOT_ALLOWED": 4,
        "UNAVAILABLE": 5,
        "INTERRUPTED": 130,
    }


def test_a_closed_pipe_causes_no_traceback(server: FakeServer, home: Path) -> None:
    server.on("GET /runs", Reply(body={"items": [], "next_cursor": None}))
    process = subprocess.Popen(
        [*PROGRAM, "run", "list", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()  # long before the command has anything to print
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(30) == ExitCode.FAILED
    assert errors == ""


def test_ctrl_c_before_anything_is_sent_exits_with_130(server: FakeServer) -> None:
    """Interrupted while it reads its input, before anything was sent."""
    process = subprocess.Popen(
        [*PROGRAM, "run", "start", "greet", "--input", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ),
    )
    assert process.stdin is not None
    _wait_until_reading(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == ExitCode.INTERRUPTED
    assert b"Traceback" not in errors
    assert server.seen == []


def _wait_until_reading(pid: int) -> None:
    import time

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if "pipe_read" in Path(f"/proc/{pid}/wchan").read_text() or _reads_standard_input(pid):
            return
        time.sleep(0.05)
    raise AssertionError("it never started to read its input")


def _reads_standard_input(pid: int) -> bool:
    try:
        call = Path(f"/proc/{pid}/syscall").read_text().split()
    except OSError:
        return False
    return call[:2] == ["0", "0x0"]
