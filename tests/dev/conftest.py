"""One `agentgrid dev` for the tests in this folder, and their common commands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentgrid.cli.exits import ExitCode
from tests.cli.conftest import Cli, built_once, cli, home, server
from tests.dev.stack import DevStack

__all__ = ["built_once", "cli", "home", "server"]

NOTE = '{"author": "Ada", "text": "Hello \\u001b[31m\\u202e"}'


@pytest.fixture(scope="package")
def stack() -> Iterator[DevStack]:
    running = DevStack()
    try:
        running.start()
        yield running
    finally:
        running.dispose()


@pytest.fixture(autouse=True)
def in_the_project(stack: DevStack, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in the project's folder, as in another terminal. Starts the stack again if an earlier test stopped it."""
    if not stack.runs:
        stack.start()
    monkeypatch.delenv("AGENTGRID_HOME")
    monkeypatch.chdir(stack.root)


def until(look: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Poll `look` until it returns something truthy, and return that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := look():
            return result
        time.sleep(0.1)
    raise AssertionError(f"the condition was not met within {seconds} s")


class Terminal:
    """Common commands of the tests."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli

    def json(self, *arguments: str) -> Any:
        ended = self.cli(*arguments, "-o", "json")
        assert ended.code == ExitCode.OK, ended.err
        return ended.json()

    def start(self) -> str:
        return self.json("run", "start", "publish_note", "--input", NOTE)["run_id"]

    def status(self, run_id: str) -> str:
        return self.json("run", "get", run_id)["status"]

    def approval_of(self, run_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            items = self.json("approval", "list")["items"]
            return next((item for item in items if item["run_id"] == run_id and item["decidable"]), None)

        return until(look)


@pytest.fixture
def terminal(cli: Cli) -> Terminal:
    return Terminal(cli)
