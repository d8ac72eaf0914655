"""The parts of `agentgrid dev`: ports, children, their log output, and code changes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from agentgrid.cli.exits import CommandFailed
from agentgrid.dev import children
from agentgrid.dev.children import ManagedChild
from agentgrid.dev.models import model_line
from agentgrid.dev.ports import DEFAULT_PORTS, choose_ports
from agentgrid.dev.ready import ReadyFile
from agentgrid.dev.reload import code_changes, code_folders
from agentgrid.dev.terminal import Terminal, relay_file
from agentgrid.servers.child import ServerError, free_port

NOTHING_GIVEN: dict[str, int | None] = dict.fromkeys(DEFAULT_PORTS)


@contextmanager
def port_in_use() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def terminal() -> Terminal:
    return Terminal(verbose=False, console=Console(file=io.StringIO(), width=200, markup=False, highlight=False))


def shown_on(terminal: Terminal) -> str:
    return terminal.console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_ready_file_of_a_killed_process_is_replaced_and_no_other_file_is(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    file = ReadyFile(path)
    file.clear()
    file.write({"api_url": "http://127.0.0.1:1"})
    ready = json.loads(path.read_text())
    assert (ready["pid"], ready["api_url"], stat.S_IMODE(path.stat().st_mode)) == (
        os.getpid(),
        "http://127.0.0.1:1",
        0o644,
    )
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["ready.json"]
    with pytest.raises(CommandFailed, match=f"process id {os.getpid()}, which is running"):
        ReadyFile(path).clear()

    # The id of a killed process, reused by another one since.
    path.write_text(json.dumps(ready | {"process_started_at": ready["process_started_at"] - 100}))
    file.clear()
    assert not path.exists()
    # A file that another process has written since is kept.
    path.write_text(json.dumps(ready | {"pid": 1}))
    file.remove()
    assert path.exists()
    for content in ("", "[]", "{}", '{"name": "a project"}'):
        path.write_text(content)
        with pytest.raises(CommandFailed, match="is not the ready file"):
            file.clear()
        assert path.read_text() == content
    with pytest.raises(CommandFailed, match="doesn't exist"):
        ReadyFile(tmp_path / "none" / "ready.json").clear()


def test_ports_are_remembered(home: Path) -> None:
    ports = {name: free_port() for name in DEFAULT_PORTS}
    (home / "ports.json").write_text(json.dumps(ports))
    assert choose_ports(home, NOTHING_GIVEN, print) == ports


def test_a_remembered_port_in_use_is_replaced_with_a_message(home: Path) -> None:
    words: list[str] = []
    with port_in_use() as port:
        (home / "ports.json").write_text(json.dumps({name: free_port() for name in DEFAULT_PORTS} | {"api": port}))
        chosen = choose_ports(home, NOTHING_GIVEN, words.append)
    assert chosen["api"] != port
    assert f"port {port} is in use" in words[0]
    assert json.loads((home / "ports.json").read_text()) == chosen


def test_an_explicit_port_is_never_replaced(home: Path) -> None:
    with port_in_use() as port, pytest.raises(ServerError, match=str(port)):
        choose_ports(home, NOTHING_GIVEN | {"api": port}, print)


@pytest.mark.parametrize("content", ["", "[]", '{"api": "x"}', '{"api": 0}', "not json"])
def test_a_broken_ports_file_is_ignored(home: Path, content: str) -> None:
    (home / "ports.json").write_text(content)
    chosen = choose_ports(home, NOTHING_GIVEN, lambda _: None)
    assert len(set(chosen.values())) == len(DEFAULT_PORTS)


def test_warnings_are_shown_and_info_lines_are_not(terminal: Terminal) -> None:
    terminal.relay("worker", json.dumps({"event": "tool_called", "level": "info"}))
    terminal.relay("worker", json.dumps({"event": "policy_not_refreshed", "level": "warning", "error": "\x1b[2J"}))
    terminal.relay("worker", "a line that user code printed")
    assert "tool_called" not in shown_on(terminal)
    assert "policy_not_refreshed" in shown_on(terminal)
    assert "\x1b[2J" not in shown_on(terminal)
    assert "a line that user code printed" in shown_on(terminal)


def test_a_failed_task_of_temporals_core_is_one_line_without_the_traceback(terminal: Terminal) -> None:
    core = "\x1b[2m2026-01-31T09:00:00Z\x1b[0m \x1b[33m WARN\x1b[0m temporalio_sdk_core::worker::workflow: Failing workflow task"
    failure = r'Failure { failure: Some(Failure { message: "no \"key\" (at flows.py:3)", source: "", stack_trace: "  File \"x\"", x: None'
    terminal.relay(
        "worker", f"{core} \x1b[3mrun_id\x1b[0m\x1b[2m=\x1b[0me-1 \x1b[3mfailure\x1b[0m\x1b[2m=\x1b[0m{failure}"
    )
    terminal.relay("worker", "\x1b[33mother\x1b[0m \x1b]0;title\x07")
    first, second = shown_on(terminal).splitlines()
    assert first.endswith(r"workflow: Failing workflow task run_id=e-1: no \"key\" (at flows.py:3)")
    assert second.endswith(r"other \x1b]0;title\x07"), "only colours are dropped"


async def test_whole_lines_are_relayed_even_after_the_file_was_replaced(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "some.log"
    file.write_text("old\n")
    task = asyncio.create_task(relay_file(terminal, "api", file, file.stat().st_size))
    try:
        with file.open("a") as log:
            log.write("half ")
            log.flush()
            await asyncio.sleep(0.3)
            log.write("a line\n")
        await _until(lambda: "half a line" in shown_on(terminal))
        file.write_text("new\n")
        await _until(lambda: "new" in shown_on(terminal))
    finally:
        task.cancel()
    assert "old" not in shown_on(terminal)


async def test_a_crashed_child_is_restarted_and_reported(
    terminal: Terminal, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = _child(terminal, home, monkeypatch, "raise SystemExit(3)")
    await child.start()
    try:
        await _until(lambda: child.crashes >= 2)
    finally:
        await child.stop()
    assert "exited with code 3; restarting it in 1 s" in shown_on(terminal)


async def test_a_child_left_by_a_killed_parent_is_ended_first(
    terminal: Terminal, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper = "import time; time.sleep(60)"
    first = _child(terminal, home, monkeypatch, sleeper)
    await first.start()
    await _until(lambda: first.pid is not None)
    assert first.pid is not None
    orphan = psutil.Process(first.pid)
    for task in first._tasks:  # as if this process had been killed: the child is unmanaged, and the lock is free
        task.cancel()
    assert first._lease is not None
    os.close(first._lease._descriptor)
    second = _child(terminal, home, monkeypatch, sleeper)
    await second.start()
    try:
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
        await _until(lambda: second.pid is not None)
        assert second.pid != orphan.pid
    finally:
        await second.stop()


async def test_a_child_that_will_not_stop_is_killed_in_time(
    terminal: Terminal, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    child = _child(terminal, home, monkeypatch, stubborn)
    await child.start()
    await _until(lambda: "deaf" in child.log_file.read_text() if child.log_file.exists() else False)
    async with asyncio.timeout(5):
        await child.stop()
    assert child.pid is None


async def test_a_code_change_is_reported_once_and_other_files_are_ignored(tmp_path: Path) -> None:
    for name in ("workflows", ".venv/lib", "node_modules", "tests", "data"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.py").write_text("")
    (tmp_path / "data" / "a.py").unlink()
    assert [folder.name for folder in code_folders(tmp_path)] == ["workflows"]
    changes = code_changes(tmp_path)
    first = asyncio.ensure_future(anext(changes))
    try:
        await asyncio.sleep(1)  # until the kernel is watching
        (tmp_path / ".venv" / "lib" / "a.py").write_text("x = 1")
        (tmp_path / "tests" / "a.py").write_text("x = 1")
        (tmp_path / "notes.log").write_text("x")
        (tmp_path / "workflows" / "a.py").write_text("x = 1")
        (tmp_path / "workflows" / "a.py").write_text("x = 2")
        async with asyncio.timeout(10):
            assert await first == ["workflows/a.py"]
    finally:
        first.cancel()
        await changes.aclose()  # type: ignore[attr-defined]


async def test_data_files_count_in_code_folders_but_not_in_the_root(tmp_path: Path) -> None:
    (tmp_path / "activities" / "seed").mkdir(parents=True)
    (tmp_path / "activities" / "__init__.py").write_text("")
    changes = code_changes(tmp_path)
    reported: list[str] = []

    async def watch() -> None:
        async for files in changes:
            reported.extend(files)

    async def until_seen(file: str) -> None:
        """Write the file until it is reported: at first the kernel is not watching yet."""
        async with asyncio.timeout(10):
            while file not in reported:
                (tmp_path / file).write_text(str(len(reported)))
                await asyncio.sleep(0.5)

    watching = asyncio.create_task(watch())
    try:
        await until_seen("worker.py")
        for name in ("notes.txt", "README.md", "report.json", "table.csv", "settings.toml"):
            (tmp_path / name).write_text("x")
        await until_seen("pyproject.toml")  # reported after them, or together with them
        await until_seen("activities/seed/table.csv")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert set(reported) == {"worker.py", "pyproject.toml", "activities/seed/table.csv"}


def _child(terminal: Terminal, home: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> ManagedChild:
    child = ManagedChild(
        "some", [], home=home, cwd=home, environment=dict(os.environ), terminal=terminal, stop_seconds=0.5
    )
    monkeypatch.setattr(child, "_command", [children.sys.executable, "-c", code])
    return child


async def _until(look: object, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not look():  # type: ignore[operator]
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("environment", "what", "line"),
    [
        ({}, "offline model", "AGENTGRID_MODEL=openai:gpt-5 OPENAI_API_KEY=KEY"),
        ({"AGENTGRID_MODEL": "openai-chat:llama"}, "its key is missing", "OPENAI_API_KEY=KEY"),
        ({"AGENTGRID_MODEL": "gpt-5", "OPENAI_API_KEY": "k"}, "unknown", "openai:…"),
        ({"AGENTGRID_MODEL": "anthropic:claude", "ANTHROPIC_API_KEY": "k"}, "use this model", "anthropic:claude"),
    ],
)
def test_which_model_agents_use_is_shown_without_its_key(environment: dict[str, str], what: str, line: str) -> None:
    lines = model_line(environment)
    assert what in lines[0]
    assert line in lines[1]
    assert "=k" not in lines[1]
