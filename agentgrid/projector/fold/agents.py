"""Agents: a marker opens and another closes each call; its model turns and the calls that they request are steps below it."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from agentgrid.domain.agents import INTERRUPTED, AgentHeader, Hold, Usage, add
from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.projector import history_events
from agentgrid.projector.fold.columns import StepColumns
from agentgrid.projector.fold.executions import apply_interrupts, supersede_interrupts
from agentgrid.projector.fold.passing import Pass
from agentgrid.projector.fold.state import AbandonedRequest

MAX_WORD = 100
MAX_DETAIL = 500


class Position(NamedTuple):
    """The parent of a call's step: the step of the agent that makes the call, and the turn."""

    step: int | None = None
    turn: int | None = None


def position(fold: Pass, caller: AgentHeader | None) -> Position:
    """The position of a call's step; empty unless an agent makes the call."""
    if caller is None:
        return Position()
    return Position(step=fold.state.agents.get(caller.call), turn=caller.turn or None)


def opened(fold: Pass, event: history_events.LocalActivity, opened: history_events.AgentOpened) -> None:
    """A call of an agent begins."""
    if opened.call in fold.state.agents:
        return
    parent = fold.state.agents.get(opened.parent or "")
    columns: StepColumns = {
        "parent": parent,
        "turn": opened.turn,
        "started_at": event.at,
        "tool_version": opened.version,
        "governed": True,
        "input": opened.input,
        "attempts": 1,
    }
    # The call may have waited for policy before.
    key = next((key for key, step in fold.state.steps.items() if step.call_key == opened.call), None)
    if key is not None:
        fold.state.steps[key].parent, fold.state.steps[key].local_type = parent, None
        columns |= {"name": opened.agent, "error": None}
        fold.move_step(key, StepStatus.RUNNING, **columns)
    else:
        key = event.event_id
        columns |= {"scheduled_at": event.first_scheduled_at or event.at, "call_key": opened.call}
        fold.open_step(event, StepKind.AGENT, opened.agent, StepStatus.RUNNING, **columns)
    fold.state.agents[opened.call] = key


def closed(fold: Pass, event: history_events.LocalActivity, closed: history_events.AgentClosed) -> None:
    """A call of an agent ends."""
    key = fold.state.agents.pop(closed.call, None)
    if key is None:
        return
    status = StepStatus.COMPLETED if closed.error is None else StepStatus.FAILED
    if closed.cancelled:
        status = StepStatus.CANCELLED
    summed = Usage(**fold.state.steps[key].usage)
    # An interrupted request may have been answered after the agent stopped waiting: it costs the same.
    used = summed if summed.requests > closed.usage.requests else closed.usage
    usage = {**_wire(used), "tool_calls": closed.tool_calls}
    _withdraw(fold, event, key)
    fold.close_step(key, event, status, output=closed.output, error=closed.error, usage=usage)
    if not fold.state.agents:
        supersede_interrupts(fold, event, "the agent ended first")


def _withdraw(fold: Pass, event: history_events.LocalActivity, agent: int) -> None:
    """Cancel steps that the agent no longer waits for, because it was interrupted or has ended.

    These are model requests in flight, whose worker learns of it with its next heartbeat, and calls that were approved but, in the
    same workflow task, no longer made.
    """
    for scheduled, key in list(fold.state.calls.items()):
        step = fold.state.steps[key]
        if step.parent == agent and step.kind == StepKind.MODEL:
            del fold.state.calls[scheduled]
            fold.state.activity_ids.pop(scheduled, None)
            fold.state.given_up[scheduled] = AbandonedRequest(step=key, agent=agent)
            fold.close_step(key, event, StepStatus.CANCELLED)
    running = set(fold.state.calls.values())
    for key, step in list(fold.state.steps.items()):
        if step.parent == agent and key not in running and step.status == StepStatus.SCHEDULED and step.call_key:
            fold.close_step(key, event, StepStatus.CANCELLED)


def hold(fold: Pass, event: history_events.LocalActivity) -> None:
    """The run pauses itself until a person resumes it."""
    assert event.hold is not None
    if event.hold.reason != INTERRUPTED:
        fold.state.paused = True
    else:
        fold.state.paused |= not fold.state.resumed_since
        apply_interrupts(fold, event)
        if (agent := fold.state.agents.get(event.hold.call)) is not None:
            _withdraw(fold, event, agent)
    if fold.state.paused:
        _explain(fold, event.hold)


def _explain(fold: Pass, hold: Hold) -> None:
    """Record why the run is paused. One resume releases all agents that hold it, so the detail names each; the reason is the first one's."""
    state, detail = fold.state, hold.detail
    if state.hold is None:
        state.hold = hold.reason[:MAX_WORD]
    else:
        detail = f"{state.hold_detail}; {detail if hold.agent in detail else f'{hold.agent}: {detail}'}"
    state.hold_detail = detail[:MAX_DETAIL]


def answered(fold: Pass, key: int, event: history_events.ActivityClosed, turn: history_events.TurnResult) -> None:
    """A model turn ends; its usage is added up."""
    usage = _count(fold, fold.state.steps[key].parent, turn)
    fold.close_step(key, event, event.status, output=turn.output, error=event.error, usage=usage)


def abandoned_started(fold: Pass, event: history_events.ActivityStarted) -> None:
    """The start of an abandoned request, which history records just before its end."""
    if (request := fold.state.given_up.get(event.scheduled_event_id)) is not None:
        columns: StepColumns = {"attempts": event.attempt, "started_at": event.at, "worker": event.worker}
        fold.changes.steps.patch(request.step, columns)


def abandoned_closed(fold: Pass, event: history_events.ActivityClosed) -> None:
    """The end of an abandoned request. If it was answered after all, its usage is added up."""
    request = fold.state.given_up.pop(event.scheduled_event_id, None)
    if request is not None and event.turn is not None:
        usage = _count(fold, request.agent, event.turn)
        fold.changes.steps.patch(request.step, {"output": event.turn.output, "usage": usage})


def _count(fold: Pass, parent: int | None, turn: history_events.TurnResult) -> dict[str, Any]:
    """Add a turn's usage to its agent, the agents that called it, and the run. Returns the usage column of the turn's own step."""
    fold.state.usage = _add(fold.state.usage, turn.usage)
    while parent is not None and (agent := fold.state.steps.get(parent)) is not None:
        agent.usage = _add(agent.usage, turn.usage)
        fold.changes.steps.patch(parent, {"usage": dict(agent.usage)})
        parent = agent.parent
    return {**_wire(turn.usage), **{name: value for name, value in turn.facts.items() if value is not None}}


def _add(total: dict[str, Any], usage: Usage) -> dict[str, Any]:
    return _wire(add(Usage(**total), usage))


def _wire(usage: Usage) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(usage).items() if value is not None}
