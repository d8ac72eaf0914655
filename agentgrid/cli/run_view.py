"""Terminal views of runs and their steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from agentgrid.cli import usage, words
from agentgrid.cli.output import chain, error_text, facts, indented, payload, summary_of
from agentgrid.cli.profiles import ApiTarget
from agentgrid.cli.program import command
from agentgrid.cli.tables import TextTable, ago, fixed, ids, text
from agentgrid.cli.text import safe
from agentgrid.domain.principals import approvers_in_words

Document = Mapping[str, Any]

Deciders = Mapping[str, ApiTarget]
"""The profile that may decide an approval, by the approval's id."""
NO_DECIDERS: Deciders = {}

WRAPPERS = ("ActivityError", "ChildWorkflowError", "NexusOperationError")
"""Temporal's wrappers around a step's error."""
OPEN_STATES = ("scheduled", "running", "waiting")


def run_table(items: Sequence[Document]) -> TextTable:
    """Runs, one per line."""
    return TextTable(
        (
            ids("RUN"),
            text("WORKFLOW", least=18),
            fixed("STATUS"),
            text("SUBJECT", 1, least=16),
            text("REASON", 2, least=16),
            fixed("STEPS", 3),
            ago("STARTED", 1),
            fixed("TOOK", 5),
            text("BY", 4, least=8),
            text("REFERENCE", 6, least=10),
            ids("WORKFLOW ID", 7),
        ),
        (
            (
                run["run_id"],
                run["workflow"],
                words.run_status(run),
                run["subject"],
                _reason(run),
                f"{run['steps_done']}/{run['step_count']}",
                run["started_at"] or run["created_at"],
                words.between(run["started_at"], run["closed_at"]),
                run["initiator"],
                run["reference"],
                _own_workflow_id(run),
            )
            for run in items
        ),
    )


def _reason(run: Document) -> str | None:
    """Why a run is in its status; for a run that waits for an approval, the approval's title."""
    approval_title = run["current_step"] if run["waiting_on"] == "approval" else None
    return run["status_reason"] or run["error_type"] or approval_title


def _own_workflow_id(run: Document) -> str | None:
    """The workflow id if it differs from the run's id, as for runs started outside AgentGrid or by another run."""
    workflow_id = run.get("workflow_id")
    return None if workflow_id == run["run_id"] else workflow_id


def run_detail(
    run: Document,
    steps: Sequence[Document] = (),
    *,
    step_approvals: Sequence[Document] = (),
    deciders: Deciders = NO_DECIDERS,
    width: int | None = None,
) -> RenderableType:
    """Everything about one run. step_approvals: in any status. deciders: which of this folder's profiles may decide which approval."""
    closed = run["closed_at"] is not None
    parts: list[RenderableType] = [
        title(run),
        indented(
            facts(
                {
                    "run": run["run_id"],
                    "workflow id": _own_workflow_id(run),
                    "subject": run["subject"],
                    "next": None if closed else _next(run),
                    "reason": run["status_reason"] or run["error_type"],
                    "unattributed": _unattributed(run),
                    "initiator": run["initiator"],
                    "reference": run["reference"],
                    "tags": run["tags"],
                    "used": usage.used(run.get("usage")),
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
        parts += [
            Text("\nSteps", style="bold"),
            indented(step_table(steps, full_errors=True, step_approvals=step_approvals)),
        ]
    if run["children"]:
        children = TextTable(
            (ids("CHILD"), text("WORKFLOW", 1, least=12), fixed("STATUS")),
            ((child["run_id"], child["workflow"], words.status(child["status"])) for child in run["children"]),
        )
        parts += [Text(""), indented(children)]
    for name in ("input", "result"):
        if run[name] is not None:
            parts += [Text(f"\n{name.capitalize()}", style="bold"), indented(payload(run[name]))]
    if _error_adds_detail(run, steps) and (error := error_text(run["error"])) is not None:
        parts += [Text("\nError", style="bold"), indented(error)]
    for approval in run["approvals"]:
        parts += [Text(""), pending_approval(approval, deciders, width=width)]
    return Group(*parts)


def _error_adds_detail(run: Document, steps: Sequence[Document]) -> bool:
    """Whether the run's error contains anything that its reason and its steps don't show."""
    reason = run["status_reason"] or run["error_type"] or ""
    shown = {summary_of(failure) for step in steps for failure in chain(step["error"])}
    return any(
        summary not in shown and summary not in reason
        for failure in chain(run["error"])
        if not (failure.get("type") in WRAPPERS and failure.get("cause"))
        for summary in (summary_of(failure),)
    )


def _unattributed(run: Document) -> str | None:
    """Signals that affected the run but can't be attributed to anyone."""
    count, last = run["unattributed_signals"], run["last_control"]
    if last is not None and not last["attributed"]:
        last_action = f"last {last['action'].rstrip('e')}ed by {words.unattributed(last)}"
        return last_action if count == 1 else f"{last_action}; {count} signals in total"
    return (
        f"{count} unattributed signal{'s' if count > 1 else ''} affected it: agentgrid audit unattributed"
        if count
        else None
    )


def title(run: Document, now: datetime | None = None) -> Text:
    """Workflow, status and elapsed time."""
    text = Text(safe(run["workflow"]), style="bold")
    text.append("  ")
    text.append_text(words.run_status(run))
    if took := words.between(run["started_at"], run["closed_at"], now):
        text.append(f"  {took}", style="dim")
    return text


def step_table(
    steps: Sequence[Document],
    now: datetime | None = None,
    *,
    full_errors: bool = False,
    step_approvals: Sequence[Document] = (),
) -> TextTable:
    """Steps, one per line: status, name, kind, time, notes. full_errors: complete errors, below their steps."""
    rows = nested(steps)
    return TextTable(
        (fixed(""), text("", least=16), fixed("", 2), fixed("", 1), text("", 1, least=24)),
        (
            (
                Text(icon, style=style),
                Text(
                    "  " * depth + safe(step["title"] or step["name"]),
                    style="" if state_of(step) in OPEN_STATES else style,
                ),
                Text(safe(step["kind"]), style="dim"),
                Text(took(step, now), style="dim"),
                step_note(step, now, error=not full_errors, verdict=verdict_of(step, step_approvals)),
            )
            for step, depth in rows
            for icon, style in (words.ICONS.get(state_of(step), ("·", "")),)
        ),
        headings=False,
        below=[step_error(step) for step, _ in rows] if full_errors else (),
    )


def nested(steps: Sequence[Document]) -> list[tuple[Document, int]]:
    """The steps with their depths, each below its parent, otherwise in the same order."""
    keys = {(step["execution_id"], step["event_id"]) for step in steps}
    children_of: dict[tuple[str, int] | None, list[Document]] = {}
    for step in steps:
        parent = (step["execution_id"], step["parent"]) if step.get("parent") is not None else None
        children_of.setdefault(parent if parent in keys else None, []).append(step)
    rows: list[tuple[Document, int]] = []
    stack = [(step, 0) for step in reversed(children_of.pop(None, []))]
    while stack:
        step, depth = stack.pop()
        rows.append((step, depth))
        children = children_of.pop((step["execution_id"], step["event_id"]), [])
        stack += [(child, depth + 1) for child in reversed(children)]
    return rows


def state_of(step: Document) -> str:
    """A step's status; for an open activity its live state, if known."""
    if step["status"] == "scheduled" and step["live_state"] in ("running", "paused"):
        return str(step["live_state"])
    return str(step["status"])


def took(step: Document, now: datetime | None = None) -> str:
    """How long a step took, or has taken so far."""
    return words.between(step["started_at"] or step["scheduled_at"], step["closed_at"], now)


def step_error(step: Document) -> Text | None:
    """The error of a step that failed, or of the last attempt of an open one."""
    return error_text(step["error"] or (None if step["closed_at"] is not None else step["live_error"]))


def verdict_of(step: Document, step_approvals: Sequence[Document]) -> Text | None:
    """The outcome of a step's approval and who decided it; None if it needed none or is still pending."""
    identifier = step.get("approval_id")
    approval = next((item for item in step_approvals if identifier and item["approval_id"] == identifier), None)
    if approval is None or approval["status"] == "pending":
        return None
    status = str(approval["status"])
    label = Text(safe(status), style=words.ICONS.get(status, ("", ""))[1])
    if approval["attributed"] is False:
        label.append(" by an unattributed sender", style="yellow")
    elif approval["decided_by"]:
        label.append(f" by {safe(approval['decided_by'])}")
    if approval.get("changed_digest"):
        label.append(", with changed arguments")
    return label


def step_note(step: Document, now: datetime | None = None, *, error: bool = True, verdict: Text | None = None) -> Text:
    """The rest of a step's line: verdict, attempts, next attempt, deadline and, on request, its error."""
    parts: list[Text] = ([] if verdict is None else [verdict]) + usage.of_step(step)
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
    if error and (failure := step_error(step)) is not None:
        parts.append(failure)
    return Text("  ").join(parts)


def pending_approval(approval: Document, deciders: Deciders = NO_DECIDERS, *, width: int | None = None) -> Text:
    """An approval that a run waits for, with the exact command that decides it if one of this folder's profiles may."""
    who = approvers_in_words([safe(entry) for entry in approval["approvers"]])
    text = Text("◆ ", style="yellow")
    text.append(safe(approval["title"]), style="bold")
    text.append(f"  waits for {who}")
    if approval["expires_at"]:
        text.append(f" until {words.absolute(approval['expires_at'])}")
    if (decider := deciders.get(approval["approval_id"])) is None:
        return text
    answer = ["approval", "approve", approval["approval_id"], *_profile_option(decider.explicit_profile)]
    return _with_command(text, "\n  answer with", answer, width)


def _profile_option(profile: str | None) -> list[str]:
    return [] if profile is None else ["--profile", profile]


def _with_command(text: Text, introduction: str, arguments: Sequence[str], width: int | None) -> Text:
    """The text followed by a command: on the introduction's line if it fits, otherwise below; never truncated."""
    text.append(introduction, style="dim")
    line = command(*arguments)
    if width is None or len(introduction) + len(line) + 2 <= width:
        return text.append(f"  {safe(line)}", style="bold cyan")
    for line in command(*arguments, width=width - 4).splitlines():
        text.append(f"\n    {safe(line)}", style="bold cyan")
    return text


def started_message(run: Document, *, replayed: bool, profile: str | None = None, width: int | None = None) -> Text:
    """A run that was just started. profile: the profile to pass to see it, unless it is the default."""
    text = Text("already started  " if replayed else "started  ", style="green")
    text.append(safe(run["run_id"]), style="bold")
    text.append("  ").append_text(words.run_status(run))
    return _with_command(text, "\nwatch it with", ["run", "watch", run["run_id"], *_profile_option(profile)], width)


def accepted_message(verb: str, run: Document) -> Text:
    """The confirmation that a verb was accepted."""
    text = Text(f"{verb} accepted  ", style="green")
    text.append(safe(run["run_id"]), style="bold")
    text.append("  ").append_text(words.run_status(run))
    text.append(f"  command {safe(run['command']['command_id'])}", style="dim")
    if verb == "interrupt" and any(child["closed_at"] is None for child in run["children"]):
        listed = f"agentgrid run list --parent {safe(run['run_id'])}"
        text.append(f"\nits child runs keep running; interrupt them by their own ids: {listed}", style="yellow")
    return text


def _next(run: Document) -> str:
    following = run["next"]
    until = words.moment(following["until"])
    text = safe(following["summary"])
    if until is None:
        return text
    left = (until - datetime.now(UTC)).total_seconds()
    return f"{text} (until {words.absolute(following['until'])}, {words.duration(left)} left)"
