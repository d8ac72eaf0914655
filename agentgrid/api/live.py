"""Stored events as sent to streams: each with a full summary of its subject, rendered once for all streams.

Summaries are read when events are about to be sent, in one batch for all that arrived together, so events cost nothing while nobody
listens. For the changed part, the event uses what was stored with it, so a client that replays events sees each state. The rest is as of now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import BaseModel, ValidationError
from sse_starlette import ServerSentEvent

from agentgrid.api import letters, views
from agentgrid.api.schemas.approvals import ApprovalSummary
from agentgrid.api.schemas.events import (
    ApprovalEvent,
    CommandEvent,
    EndEvent,
    PolicyChange,
    PolicyEvent,
    RunEnd,
    RunEvent,
    StepEvent,
)
from agentgrid.api.shown import Shown
from agentgrid.db import feed
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import EventRow
from agentgrid.domain.commands import HANDLING, CommandStatus, Target
from agentgrid.domain.live import EventKind
from agentgrid.domain.principals import Permission, Principal
from agentgrid.domain.steps import StepKind

log = structlog.get_logger()

FULL = Shown(payloads=True)
REDACTED = Shown(payloads=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandFacts:
    """The facts about a command that determine who may see it."""

    principal: str
    proposed: bool
    starts: str | None
    """The workflow that it starts, if any."""
    of_run: bool
    """Whether it is about a run, even an unknown one."""


@dataclass(kw_only=True, slots=True, eq=False)
class LiveEvent:
    """An event and, once a stream needs it, its wire format."""

    event_id: int
    run_id: str
    workflow: str
    kind: str
    initiator: str = ""
    stored: EventRow | None = None
    """None once it has been rendered."""
    wire: bytes = b""
    """The wire format for callers who may read payloads. Empty if the subject no longer exists."""
    redacted: bytes = b""
    """The wire format for all other callers."""
    command: CommandFacts | None = None

    def visible_to(self, principal: Principal) -> bool:
        """Whether the principal may see it. A command must have been rendered first."""
        if self.kind in (EventKind.POLICY, EventKind.CATALOG):
            return True
        if self.kind == EventKind.COMMAND:
            return self.command is not None and _is_shown(self.command, self.workflow, principal)
        own = not principal.only_own_approvals or self.initiator == principal.name
        return principal.sees(self.workflow) and (own or self.kind != EventKind.APPROVAL)

    def wire_for(self, principal: Principal) -> bytes:
        """The wire format for this principal."""
        return self.wire if principal.may(Permission.READ_PAYLOADS) else self.redacted


def _is_shown(facts: CommandFacts, workflow: str, principal: Principal) -> bool:
    """Same rules as the audit log: `routes/commands.py` and `db/commands.py`."""
    own = facts.principal == principal.name or principal.may(Permission.AUDIT)
    if not own and not (facts.proposed and principal.may(Permission.ADMINISTER)):
        return False
    if principal.sees_everything:
        return True
    return principal.sees(facts.starts) if facts.starts is not None else not facts.of_run or principal.sees(workflow)


def unrendered(event: EventRow, about: feed.About) -> LiveEvent:
    """An event that no stream needs yet."""
    return LiveEvent(
        event_id=event.event_id,
        run_id=event.run_id,
        workflow=about.workflow,
        kind=event.kind,
        initiator=about.initiator,
        stored=event,
    )


async def render(session: ReadSession, events: Sequence[LiveEvent]) -> None:
    """Render the events that haven't been rendered yet."""
    waiting = [event for event in events if event.stored is not None]
    if not waiting:
        return
    subjects = await feed.things(session, [event.stored for event in waiting if event.stored is not None])
    for event in waiting:
        _render(event, subjects)


def _render(event: LiveEvent, subjects: feed.Things) -> None:
    stored = event.stored
    assert stored is not None
    event.stored = None
    if event.kind == EventKind.COMMAND:
        event.command = _command_facts(stored, subjects)
    make = _MAKERS.get(stored.kind)
    try:
        whole = make(stored, subjects, FULL) if make is not None else None
        if whole is None:
            return
        redacted = make(stored, subjects, REDACTED) if make is not None and _quotes(stored, subjects) else whole
    except ValidationError as error:
        # Written by a later version. One such event must not stop the others.
        log.warning("event_left_out", event_id=stored.event_id, kind=stored.kind, error=str(error)[:200])
        return
    event.wire = wire(whole, stored.event_id)
    event.redacted = event.wire if redacted is None or redacted is whole else wire(redacted, stored.event_id)


def wire(event: BaseModel, event_id: int | None = None) -> bytes:
    """An event in wire format. Unstored events have no id, so that no client resumes from them."""
    kind: str = event.kind  # type: ignore[attr-defined]  # each of `AnyEvent` has one
    number = None if event_id is None else str(event_id)
    return ServerSentEvent(event.model_dump_json(), event=kind, id=number, sep="\n").encode()


def _quotes(stored: EventRow, subjects: feed.Things) -> bool:
    """Whether callers who may not read payloads get a redacted version."""
    match stored.kind:
        case EventKind.STEP:
            step = subjects.steps[stored.subject or ""]
            return step.error is not None or step.live_error is not None or step.kind == StepKind.APPROVAL
        case EventKind.RUN:
            columns, row = _stored_columns(stored), subjects.runs[stored.run_id]
            asks = columns.get("asked", row.asked) is not None or columns.get("current_kind") == StepKind.APPROVAL
            return asks or bool(row.subject) or row.status_reason is not None
        case EventKind.COMMAND:
            return subjects.commands[stored.subject or ""].outcome is not None
        case kind:
            return kind == EventKind.APPROVAL


def _run(stored: EventRow, subjects: feed.Things, shown: Shown) -> RunEvent | None:
    row = subjects.runs.get(stored.run_id)
    if row is None:
        return None
    data = views.run_summary({**vars(row), **_stored_columns(stored)}, shown)
    return RunEvent.model_construct(run_id=row.run_id, data=data, at=stored.created_at)


def _step(stored: EventRow, subjects: feed.Things, shown: Shown) -> StepEvent | None:
    row = subjects.steps.get(stored.subject or "")
    if row is None or row.run_id != stored.run_id:
        return None
    over = _stored_columns(stored)
    if row.kind == StepKind.APPROVAL:
        # Its name may quote a payload. It never changes, so it is taken from the row, and the summary hides it where necessary.
        over = {name: value for name, value in over.items() if name not in ("name", "title")}
    data = views.step_summary(row, shown, over)
    return StepEvent.model_construct(run_id=row.run_id, subject=stored.subject or "", data=data, at=stored.created_at)


def _approval(stored: EventRow, subjects: feed.Things, shown: Shown) -> ApprovalEvent | None:
    row, run = subjects.approvals.get((stored.run_id, stored.subject or "")), subjects.runs.get(stored.run_id)
    if row is None or run is None:
        return None
    columns = {name: value for name, value in _stored_columns(stored).items() if name != "title"}
    data = ApprovalSummary.model_validate(letters.summary_values(row, run, shown) | columns)
    return ApprovalEvent.model_construct(run_id=row.run_id, subject=row.approval_id, data=data, at=stored.created_at)


def _command(stored: EventRow, subjects: feed.Things, shown: Shown) -> CommandEvent | None:
    row = subjects.commands.get(stored.subject or "")
    if row is None:
        return None
    data = views.command_summary(row, shown, asked=subjects.asked.get(row.command_id))
    data = data.model_copy(update={"status": CommandStatus(_stored_columns(stored).get("status", row.status))})
    return CommandEvent.model_construct(run_id=row.run_id, subject=row.command_id, data=data, at=stored.created_at)


def _end(stored: EventRow, _subjects: feed.Things, _shown: Shown) -> EndEvent:
    return EndEvent.model_construct(run_id=stored.run_id, data=RunEnd.model_validate(stored.data), at=stored.created_at)


def _policy(stored: EventRow, _subjects: feed.Things, _shown: Shown) -> PolicyEvent:
    return PolicyEvent.model_construct(data=PolicyChange.model_validate(stored.data), at=stored.created_at)


_MAKERS: Mapping[str, Callable[[EventRow, feed.Things, Shown], BaseModel | None]] = {
    EventKind.RUN.value: _run,
    EventKind.STEP.value: _step,
    EventKind.APPROVAL.value: _approval,
    EventKind.COMMAND.value: _command,
    EventKind.END.value: _end,
    EventKind.POLICY.value: _policy,
}


def _stored_columns(stored: EventRow) -> dict[str, Any]:
    """The columns stored with the event."""
    return dict(stored.data) if isinstance(stored.data, dict) else {}


def _command_facts(stored: EventRow, subjects: feed.Things) -> CommandFacts | None:
    row = subjects.commands.get(stored.subject or "")
    if row is None:
        return None
    return CommandFacts(
        principal=row.principal,
        proposed=row.status == CommandStatus.PROPOSED,
        starts=(row.target or "") if HANDLING[row.kind].target is Target.WORKFLOW_START else None,
        of_run=row.run_id is not None or row.approval_id is not None,
    )
