"""`agentgrid run watch`: a live view on a terminal, plain lines into a pipe, or the raw events as JSON."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from agentgrid.cli import words
from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import error_text, indented, payload, put, stderr, stdout
from agentgrid.cli.profiles import ApiTarget
from agentgrid.cli.run_follow import RunFollower
from agentgrid.cli.run_logs import log_line
from agentgrid.cli.run_view import pending_approval, state_of, step_note, step_table, title, took, verdict_of
from agentgrid.cli.text import safe, safe_json

TICK_SECONDS = 0.5
LOG_TAIL = 6
ANSWER_LINES = 3


def watch_run(target: ApiTarget, run_id: str, output: OutputFormat) -> ExitCode:
    """Watch until the run ends; the exit code shows the outcome. Ctrl-C stops watching, not the run."""
    try:
        return asyncio.run(_watch(target, run_id, output))
    except KeyboardInterrupt:
        stderr().print(Text(f"stopped watching; run {safe(run_id)} continues", style="dim"))
        return ExitCode.INTERRUPTED
    except (KeyError, TypeError, AttributeError) as error:
        raise CommandFailed(
            f"the server's response doesn't match this version of the CLI ({error!r}); upgrade the older of the two"
        ) from error


async def _watch(target: ApiTarget, run_id: str, output: OutputFormat) -> ExitCode:
    if output is OutputFormat.JSON:
        return await _watch_json(target, run_id)
    live = sys.stdout.isatty()
    async with RunFollower(target, run_id, deltas=live) as follower:
        if live:
            await _watch_live(follower)  # leaves the last screen (heading and steps) on the terminal
            put(stdout(), Group(Text(""), outcome(follower.run)))
        else:
            await _watch_plain(follower)
            put(stdout(), Group(title(follower.run), outcome(follower.run)))
        return exit_code(follower.run)


def exit_code(run: Mapping[str, Any]) -> ExitCode:
    """0 for a completed run, 1 for any other end."""
    return ExitCode.OK if run["status"] == "completed" else ExitCode.FAILED


async def _watch_json(target: ApiTarget, run_id: str) -> ExitCode:
    """Print one line per event, as the API sends it; the last line is the ended run."""
    async with RunFollower(target, run_id, on_event=_print_line) as follower:
        async for _ in follower.changes(TICK_SECONDS):
            pass
        _print_line(follower.raw_run.decode("utf-8", errors="replace"))
        return exit_code(follower.run)


def _print_line(document: str) -> None:
    line = document.strip()
    print(safe_json(line) if sys.stdout.isatty() else line, flush=True)


async def _watch_live(follower: RunFollower) -> None:
    console = stdout()
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        async for _ in follower.changes(TICK_SECONDS):
            live.update(screen(follower, console), refresh=True)


def screen(follower: RunFollower, console: Console) -> RenderableType:
    """As much of the run as fits on the terminal."""
    run, now = follower.run, datetime.now(UTC)
    parts: list[RenderableType] = [title(run, now)]
    if run["closed_at"] is None:
        parts.append(Text(f"  {_waits(run, now)}", style="dim"))
    approvals = [pending_approval(approval, follower.deciders, width=console.width) for approval in run["approvals"]]
    tail = list(follower.logs)[-LOG_TAIL:]
    answer = answer_so_far(follower, console.width)
    lines_used = (
        5
        + sum(len(console.render_lines(part)) for part in answer)
        + sum(1 + len(console.render_lines(approval)) for approval in approvals)
        + len(tail)
    )
    room = max(3, console.height - lines_used)
    if len(follower.steps) > room:
        parts.append(Text(f"  … {len(follower.steps) - room} earlier steps", style="dim"))
    parts.append(indented(step_table(follower.steps[-room:], now, step_approvals=follower.step_approvals)))
    for approval in approvals:
        parts += [Text(""), approval]
    parts += answer
    if tail:
        parts += [Text(""), *(log_line(line, cut=True) for line in tail)]
    if follower.trouble:
        parts.append(Text(f"\nconnection lost, retrying: {safe(follower.trouble)}", style="yellow"))
    return Group(*parts)


def answer_so_far(follower: RunFollower, width: int) -> list[Text]:
    """The end of the answer that an agent's model is generating, as one paragraph."""
    generating = any(step["kind"] == "model" and step["closed_at"] is None for step in follower.steps)
    if follower.partial_answer is None or not generating:
        return []
    agent, text = follower.partial_answer
    line = " ".join(safe(text).split())[-max(ANSWER_LINES * width - len(agent) - 8, width) :]
    return [Text(""), Text(f"  {safe(agent)}: ", style="dim").append(line, style="italic")]


def _waits(run: Mapping[str, Any], now: datetime) -> str:
    following = run["next"]
    text = safe(following["summary"])
    until = words.moment(following["until"])
    if until is not None:
        text += f" · until {words.absolute(following['until'])}, {words.duration((until - now).total_seconds())} left"
    return text


async def _watch_plain(follower: RunFollower) -> None:
    printer = PlainPrinter(stdout())
    async for was_read in follower.changes(TICK_SECONDS):
        if was_read:
            printer.print_changes(follower)


class PlainPrinter:
    """Prints one line per change, each change once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._run: tuple[Any, ...] = ()
        self._steps: dict[tuple[str, int], tuple[Any, ...]] = {}
        self._approvals: set[str] = set()
        self._last_log = -1
        self._trouble = False

    def print_changes(self, follower: RunFollower) -> None:
        """Print the changes since the last call."""
        run = follower.run
        for step in follower.steps:
            self._print_step(step, verdict_of(step, follower.step_approvals))
        for line in follower.logs:
            if line["log_id"] > self._last_log:
                self._last_log = line["log_id"]
                self._console.print(log_line(line), soft_wrap=True)
        state = (run["status"], run["waiting_on"])
        if state != self._run:
            self._run = state
            if run["closed_at"] is None:
                self._line(title(run).append(f"  {_waits(run, datetime.now(UTC))}", style="dim"))
        for approval in run["approvals"]:
            if approval["approval_id"] not in self._approvals:
                self._approvals.add(approval["approval_id"])
                self._line(pending_approval(approval, follower.deciders))
        if bool(follower.trouble) != self._trouble:
            self._trouble = bool(follower.trouble)
            notice = f"connection lost, retrying: {safe(follower.trouble)}" if self._trouble else "reconnected"
            stderr().print(Text(notice, style="yellow"))

    def _print_step(self, step: Mapping[str, Any], verdict: Text | None) -> None:
        state = state_of(step)
        if step["kind"] == "approval" and step["closed_at"] is None:
            return  # its approval is printed with the command that decides it
        reached = (state, max(step["attempts"] or 0, step["live_attempt"] or 0))
        key = (step["execution_id"], step["event_id"])
        if self._steps.get(key) == reached or state == "scheduled":
            return
        self._steps[key] = reached
        icon, style = words.ICONS.get(state, ("·", ""))
        line = Text(f"{icon} ", style=style).append(safe(step["title"] or step["name"]), style="")
        line.append(f"  {safe(step['kind'])}", style="dim")
        if step["closed_at"] is not None:
            line.append(f"  {took(step)}", style="dim")
        self._line(line.append("  ").append_text(step_note(step, verdict=verdict)))

    def _line(self, text: Text) -> None:
        stamp = Text(f"{datetime.now(UTC):%H:%M:%S}  ", style="dim")
        lines = stamp.append_text(text)
        lines.rstrip()
        self._console.print(lines, soft_wrap=True)


def outcome(run: Mapping[str, Any]) -> RenderableType:
    """The result or error of an ended run."""
    parts: list[RenderableType] = []
    if run["result"] is not None:
        parts.append(indented(payload(run["result"])))
    if (error := error_text(run["error"])) is not None:
        parts.append(error)
    elif run["status"] != "completed" and (reason := run["status_reason"] or run["error_type"]):
        parts.append(Text(safe(reason), style="red"))
    return Group(*parts)
