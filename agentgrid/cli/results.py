"""A run's result on the terminal, at once or as soon as the run has ended.

Waiting is a series of long polls. Whatever ends the wait, the run continues.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from agentgrid.cli import words
from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.inputs import part
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.program import command
from agentgrid.cli.run_watch import exit_code, outcome
from agentgrid.cli.show import show_answer
from agentgrid.cli.text import safe

if TYPE_CHECKING:
    from agentgrid.cli.client import ApiClient, ApiResponse

WAIT_SECONDS = 50.0
"""Per request; the server allows 60, and proxies often no more."""
PAUSE_SECONDS = 1.0
"""Between two requests if the first was answered early, as by a server that is stopping, or not at all."""
GIVE_UP_SECONDS = 120.0
OPEN = 202


def print_result(
    client: ApiClient, run_id: str, output: OutputFormat, *, wait: bool, timeout: float | None = None
) -> ExitCode:
    """Print the run's result, or that it is still open. timeout: maximum seconds to wait."""
    try:
        answer = _waited(client, run_id, timeout) if wait else client.get(_place(run_id))
    except (CommandFailed, KeyboardInterrupt) as error:
        if not wait or (isinstance(error, CommandFailed) and error.exit_code is not ExitCode.INTERRUPTED):
            raise
        profile = ("--profile", client.target.explicit_profile) if client.target.explicit_profile else ()
        again = command("run", "result", run_id, "--wait", *profile)
        raise CommandFailed(
            f"stopped waiting; run {safe(run_id)} continues. To wait again: {again}", ExitCode.INTERRUPTED
        ) from None
    if answer.status == OPEN:
        show_answer(answer, output, _still_open)
        return ExitCode.UNAVAILABLE
    show_answer(answer, output, _ended)
    return exit_code(answer.json())


def _place(run_id: str) -> str:
    return f"/runs/{part(run_id)}/result"


def _waited(client: ApiClient, run_id: str, timeout: float | None) -> ApiResponse:
    """The result, or the response that the run is still open after `timeout`. Raises CommandFailed after `GIVE_UP_SECONDS` without a response."""
    started = last_answer = time.monotonic()
    while True:
        sent_at = time.monotonic()
        left = WAIT_SECONDS if timeout is None else max(0.0, timeout - (sent_at - started))
        seconds = min(WAIT_SECONDS, left)
        try:
            answer = client.get(_place(run_id), extra_seconds=seconds, wait=seconds)
        except CommandFailed as error:
            if error.exit_code is not ExitCode.UNAVAILABLE:
                raise
            now = time.monotonic()
            if now - last_answer > GIVE_UP_SECONDS or (timeout is not None and now - started >= timeout):
                raise CommandFailed(f"{error.message}; the run is unaffected", ExitCode.UNAVAILABLE) from None
        else:
            last_answer = time.monotonic()
            if answer.status != OPEN or (timeout is not None and last_answer - started >= timeout):
                return answer
        if time.monotonic() - sent_at < seconds:
            time.sleep(min(PAUSE_SECONDS, max(left, 0.0)))


def _ended(run: Mapping[str, Any]) -> RenderableType:
    heading = Text(safe(run["workflow"]), style="bold").append("  ").append_text(words.status(run["status"]))
    if not run["payloads_visible"]:
        heading.append("  you are not allowed to read its result", style="dim")
    return Group(heading, outcome({**run, "status_reason": None}))


def _still_open(run: Mapping[str, Any]) -> RenderableType:
    text = Text(safe(run["workflow"]), style="bold").append("  ").append_text(words.status(run["status"]))
    waits = f"; it waits on {safe(run['waiting_on'])}" if run["waiting_on"] else ""
    return text.append(f"  no result yet{waits}", style="dim")
