"""How runs and their steps look on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agentgrid.cli import words
from agentgrid.cli.output import error_text, facts, indented, payload, rows, table
from agentgrid.cli.program import command
from agentgrid.cli.text import safe

Document = Mapping[str, Any]

OPEN_STATES = ("scheduled", "running", "waiting")


def run_table(items: Sequence[Document]) -> Table:
    """Runs, one a line."""
    return rows(
        table("RUN", "WORKFLOW", "STATUS", "STEPS", "STARTED", "TOOK", "BY", "REFERENCE"),
        (
            (
                run["run_id"],
                run["workflow"],
                words.run_status(run),
                f"{run['steps_done']}/{run['step_count']}",
                words.ago(run["started_at"] or run["created_at"]),
                words.between(run["started_at"], run["closed_at"]),
                run["initiator"],
                run["reference"],
            )
            for run in items
        ),
    )


def run_detail(
    run: Document, steps: Sequence[Document] = (), *, reviewer: str | None = None, width: int | None = None
) -> RenderableType:
    """Everything about one run. reviewer: the profile under which its approvals can be answered, if that is known."""
    closed = run["closed_at"] is not None
    parts: list[RenderableType] = [
        title(run),
        indented(
            facts(
                {
                    "run": run["run_id"],
                    "next": None if closed else _next(run),
                    "reason": run["status_reason"] or run["error_type"],
                    "unattributed": _unattributed(run),
                    "initiator": run["initiator"],
                    "reference": run["reference"],
                    "tags": run["tags"],
                    "note": run["note"],
                    "version": run["version"],
                    "task queue": run["task_queue"],
                    "started": words.absolute(run["started_at"]) if run["started_at"] else None,
                    "ended": words.absolute(run["closed_at"]) if closed else None,
                    "parent": run["parent_run_id"],
                    "Temporal": run["links"]["temporal_ui"],
                }
            )
        ),
    ]
    if steps:
        parts += [Text("\nSteps", style="bold"), indented(step_table(steps))]
    if run["children"]:
        children = rows(
            table("CHILD", "WORKFLOW", "STATUS"),
            ((child["run_id"], child["workflow"], words.status(child["status"])) for child in run["children"]),
        )
        parts += [Text(""), indented(children)]
    for name in ("input", "result"):
        if run[name] is not None:
            parts += [Text(f"\n{name.capitalize()}", style="bold"), indented(payload(run[name]))]
    if (error := error_text(run["error"])) is not None:
        parts += [Text("\nError", style="bold"), indented(error)]
    for approval in run["approvals"]:
        parts += [Text(""), awaiting(approval, reviewer, width=width)]
    return Group(*parts)


def _unattributed(run: Document) -> str | None:
    """Signals that affected the run but can't be attributed to anybody."""
    count, last = run["unattributed_signals"], run["last_control"]
    if last is not None and not last["attributed"]:
        did = f"last {last['action']}d by {words.unattributed(last)}"
        return did if count == 1 else f"{did}; {count} signals in all"
    return (
        f"{count} unattributed signal{'s' if count > 1 else ''} affected it: agentgrid audit unattributed"
        if count
        else None
    )


def title(run: Document, now: datetime | None = None) -> Text:
    """Workflow, status and how long it has gone on."""
    text = Text(safe(run["workflow"]), style="bold")
    text.append("  ")
    text.append_text(words.run_status(run))
    if took := words.between(run["started_at"], run["closed_at"], now):
        text.append(f"  {took}", style="dim")
    return text


def step_table(steps: Sequence[Document], now: datetime | None = None) -> Table:
    """Steps, one a line: status, name, attempts, time, error."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in range(4):
        made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for step in steps:
        icon, style = words.ICONS.get(state_of(step), ("·", ""))
        made.add_row(
            Text(icon, style=style),
            Text(safe(step["title"] or step["name"]), style="" if state_of(step) in OPEN_STATES else style),
            Text(safe(step["kind"]), style="dim"),
            Text(took(step, now), style="dim"),
            step_note(step, now),
        )
    return made


def state_of(step: Document) -> str:
    """A step's status; for an open activity what is known of it at this moment."""
    if step["status"] == "scheduled" and step["live_state"] in ("running", "paused"):
        return str(step["live_state"])
    return str(step["status"])


def took(step: Document, now: datetime | None = None) -> str:
    """How long a step has taken, or takes."""
    return words.between(step["started_at"] or step["scheduled_at"], step["closed_at"], now)


def step_note(step: Document, now: datetime | None = None) -> Text:
    """What else there is to say of a step: attempts, the next one, an error, a deadline."""
    parts: list[Text] = []
    closed = step["closed_at"] is not None
    attempts = max(step["attempts"] or 0, step["live_attempt"] or 0)
    if attempts > 1:
        parts.append(Text(f"attempt {attempts}" if not closed else f"{attempts} attempts", style="yellow"))
    if not closed and step["live_next_retry_at"]:
        parts.append(Text("next ").append_text(words.ago(step["live_next_retry_at"], now)))
    if not closed and step["due_at"]:
        parts.append(Text("until " + words.absolute(step["due_at"]), style="dim"))
    if step["inherited"]:
        parts.append(Text("from before the reset", style="dim"))
    if (error := error_text(step["error"] or (None if closed else step["live_error"]))) is not None:
        parts.append(error)
    return Text("  ").join(parts)


def awaiting(approval: Document, profile: str | None = None, *, width: int | None = None) -> Text:
    """An approval that a run waits for, and the exact command that answers it."""
    who = ", ".join(safe(entry) for entry in approval["approvers"])
    text = Text("◆ ", style="yellow")
    text.append(safe(approval["title"]), style="bold")
    text.append(f"  waits for {who}")
    if approval["expires_at"]:
        text.append(f" until {words.absolute(approval['expires_at'])}")
    answer = ["approval", "approve", approval["approval_id"], *_as_whom(profile)]
    return _with_command(text, "\n  answer with", answer, width)


def _as_whom(profile: str | None) -> list[str]:
    return [] if profile is None else ["--profile", profile]


def _with_command(text: Text, introduction: str, arguments: Sequence[str], width: int | None) -> Text:
    """The text with a command behind it: beside the introduction where it fits there, else below, whole all the same."""
    text.append(introduction, style="dim")
    line = command(*arguments)
    if width is None or len(introduction) + len(line) + 2 <= width:
        return text.append(f"  {safe(line)}", style="bold cyan")
    for line in command(*arguments, width=width - 4).splitlines():
        text.append(f"\n    {safe(line)}", style="bold cyan")
    return text


def started(run: Document, *, replayed: bool, profile: str | None = None, width: int | None = None) -> Text:
    """A run that was just started. profile: the one that must be named to see it."""
    text = Text("already started  " if replayed else "started  ", style="green")
    text.append(safe(run["run_id"]), style="bold")
    text.append("  ").append_text(words.run_status(run))
    return _with_command(text, "\nwatch it with", ["run", "watch", run["run_id"], *_as_whom(profile)], width)


def accepted(verb: str, run: Document) -> Text:
    """A verb that was accepted."""
    text = Text(f"{verb} accepted  ", style="green")
    text.append(safe(run["run_id"]), style="bold")
    text.append("  ").append_text(words.run_status(run))
    return text.append(f"  command {safe(run['command']['command_id'])}", style="dim")


def _next(run: Document) -> str:
    following = run["next"]
    until = words.moment(following["until"])
    text = safe(following["summary"])
    if until is None:
        return text
    left = (until - datetime.now(UTC)).total_seconds()
    return f"{text} (until {words.absolute(following['until'])}, {words.duration(left)} left)"
