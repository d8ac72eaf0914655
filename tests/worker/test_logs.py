"""In a user's process, run logs are captured, and Python's logging otherwise works as without the plugin."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from agentgrid.logging import get_logger
from agentgrid.worker import logs
from tests.conftest import Temporal

OWN = re.compile(r"\[(info|warning) +\] (telemetry|policy)_")
"""AgentGrid's own lines, as structlog formats them."""


async def lines(temporal: Temporal, queue: str, plugged: str, configured: str) -> tuple[dict[str, Any], list[str]]:
    """The process's standard output, and its standard error lines, sorted and without frames, ids and numbers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.worker.noisy",
        temporal.address,
        f"{queue}-{plugged}",
        plugged,
        configured,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    shown = [
        re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+", "ID", line).replace(f"{queue}-{plugged}", "QUEUE")
        for line in err.decode().splitlines()
        if line and not line.startswith(" ")
    ]
    *core, ours = out.decode().splitlines()
    assert not any(OWN.search(line) for line in core), (
        "only the process itself and Temporal's core write to standard output"
    )
    return json.loads(ours), sorted(shown)


@pytest.mark.parametrize("configured", ["none", "WARNING", "INFO"])
async def test_an_existing_workers_standard_error_is_unchanged_by_the_plugin(
    temporal_server: Temporal, queue: str, configured: str
) -> None:
    (_, native), (ours, plugged) = await asyncio.gather(
        lines(temporal_server, queue, "native", configured), lines(temporal_server, queue, "plugged", configured)
    )
    own = [line for line in plugged if OWN.search(line)]
    assert [line for line in plugged if line not in own] == native
    text = "\n".join(native)
    for expected in ("Failed activation", "RuntimeError: the task failed", "activity warning", "own error", "caught"):
        assert expected in text
    assert ("workflow info" in text) == (configured == "INFO")
    assert own, "AgentGrid's own lines go to standard error"
    assert (ours["result"], ours["restored"]) == ("done", True)
    if configured == "none":
        assert ours["handlers"] == []


class Sink:
    def __init__(self, task_queue: str | None) -> None:
        self.namespace, self.worker, self.task_queue, self.dropped = "default", "me", task_queue, 0
        self.messages: list[str] = []

    def line(self, entry: dict[str, Any]) -> None:
        self.messages.append(entry["message"])


def say(message: str, queue: str, level: int = logging.INFO) -> None:
    context = {"run_id": "e", "workflow_id": "w", "namespace": "default", "task_queue": queue}
    logging.getLogger("temporalio.workflow").log(level, message, extra={"temporal_workflow": context})


@pytest.fixture
def quiet_root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before, root.handlers, level = root.handlers, [], root.level
    root.setLevel(logging.WARNING)
    yield root
    root.handlers = before
    root.setLevel(level)


def test_each_line_goes_to_its_own_worker_and_stopping_one_leaves_the_others(
    quiet_root: logging.Logger,
) -> None:
    logger = logging.getLogger("temporalio.workflow")
    first, second = Sink("q1"), Sink("q2")
    logs.attach(first)
    logs.attach(second)
    say("one", "q1")
    say("two", "q2")
    say("elsewhere", "q3")
    logs.detach(first)
    logs.detach(first)
    say("gone", "q1")
    say("three", "q2")
    assert (first.messages, second.messages) == (["one"], ["two", "three"])
    logs.detach(second)
    say("late", "q2")
    assert second.messages == ["two", "three"]
    assert (logger.level, logger.filters) == (logging.NOTSET, [])
    assert logs._handler not in quiet_root.handlers


def test_lines_captured_only_for_the_plugin_reach_no_other_handler(quiet_root: logging.Logger) -> None:
    passed: list[str] = []

    class Recording(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            passed.append(record.getMessage())

    quiet_root.addHandler(Recording())
    sink = Sink(None)
    logs.attach(sink)
    say("info", "q")
    say("warning", "q", logging.WARNING)
    quiet_root.setLevel(logging.INFO)
    say("info again", "q")
    logs.detach(sink)
    assert passed == ["warning", "info again"]
    assert sink.messages == ["info", "warning", "info again"]


def test_a_level_set_by_the_user_is_kept(quiet_root: logging.Logger) -> None:
    logger = logging.getLogger("temporalio.workflow")
    sink = Sink(None)
    try:
        logger.setLevel(logging.ERROR)
        logs.attach(sink)
        say("not heard", "q", logging.WARNING)
        logs.detach(sink)
        assert (sink.messages, logger.level) == ([], logging.ERROR)
        logger.setLevel(logging.NOTSET)
        logs.attach(sink)
        logger.setLevel(logging.DEBUG)
        logs.detach(sink)
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(logging.NOTSET)


def test_own_lines_go_to_standard_error_or_follow_the_users_structlog(
    capsys: pytest.CaptureFixture[str],
) -> None:
    structlog.reset_defaults()
    get_logger().warning("written_once", number=1)
    caught = capsys.readouterr()
    assert ("written_once" in caught.err, caught.out) == (True, "")
    assert not structlog.is_configured()
    with structlog.testing.capture_logs() as entries:
        get_logger().warning("written_again", number=2)
    structlog.reset_defaults()
    assert entries == [{"event": "written_again", "log_level": "warning", "number": 2}]
    assert capsys.readouterr().err == ""
