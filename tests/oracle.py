"""A second opinion on a run: what Temporal itself says, derived anew in the simplest way, against what AgentGrid answers.

It shares no code with the projector: it reads whole histories (closed executions forward, open ones in reverse, plus describe) and looks
things up in them, where the projector folds event by event. It shares `domain.approvals.judge`, because there is only one judge.

    await oracle.compare(client, run_json, steps_json, approvals_json)

takes what `GET /api/v1/runs/{id}`, `/steps` and `/approvals` answer, or rows of the tables as plain dicts, and fails with every difference.
An open run moves: `eventually` asks again until nothing differs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import temporalio.api.workflowservice.v1 as service
from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.enums.v1 import EventType, WorkflowExecutionStatus, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from agentgrid.domain.approvals import Terms, judge

Json = Mapping[str, Any]

ENDS = {
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED: "completed",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED: "failed",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED: "cancelled",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED: "terminated",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT: "timed_out",
}
_NO_ACTIVITIES = {
    "agentgrid.open_approval",
    "agentgrid.confirm_approval",
    "agentgrid.open_agent",
    "agentgrid.close_agent",
    "agentgrid.hold",
}
"""Local activities that are no steps of their own."""
OPEN = {"queued", "running", "waiting", "paused", "cancelling"}
RUNNING = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
GATE_TIMER = "agentgrid.approval:"


@dataclass(kw_only=True)
class Seen:
    """One execution as Temporal has it."""

    execution_id: str
    events: list[HistoryEvent]
    described: service.DescribeWorkflowExecutionResponse
    steps: dict[int, tuple[str, str, str, int | None]] = field(default_factory=dict)
    """Kind, name, status and attempts (None where they say nothing) by event id."""
    approvals: dict[str, str] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        return self.described.workflow_execution_info.status == RUNNING


async def compare(
    client: Client, run: Json, steps: Iterable[Json] | None = None, approvals: Iterable[Json] | None = None
) -> None:
    """Fail with all differences between Temporal and these answers."""
    found = await differences(client, run, steps, approvals)
    assert not found, f"run {run['run_id']} differs from Temporal:\n" + "\n".join(found)


async def eventually(
    client: Client,
    ask: Callable[[], Awaitable[tuple[Json, Sequence[Json], Sequence[Json]]]],
    *,
    seconds: float = 15.0,
) -> None:
    """Ask for run, steps and approvals again until nothing differs; fail with what still does after so many seconds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        run, steps, approvals = await ask()
        found = await differences(client, run, steps, approvals)
        if not found:
            return
        assert asyncio.get_running_loop().time() < deadline, "\n".join(found)
        await asyncio.sleep(0.2)


async def differences(
    client: Client, run: Json, steps: Iterable[Json] | None = None, approvals: Iterable[Json] | None = None
) -> list[str]:
    """Every difference, in words."""
    chain = await read_chain(client, run)
    for execution in chain:
        _read_steps(execution)
        _read_approvals(execution)
    found = _compare_run(run, chain)
    if steps is not None:
        found += _compare_steps(list(steps), chain)
    if approvals is not None:
        found += _compare_approvals(list(approvals), chain)
    return found


def step_differences(execution_id: str, events: Sequence[HistoryEvent], steps: Iterable[Json]) -> list[str]:
    """Every difference between these steps and a history that is read up to here: open, unless its last event closes it."""
    name, _ = _named(events[-1])
    described = service.DescribeWorkflowExecutionResponse()
    closed = name.startswith("workflow_execution_") and name.removeprefix("workflow_execution_") in _CLOSES
    described.workflow_execution_info.status = (
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED if closed else RUNNING
    )
    seen = Seen(execution_id=execution_id, events=list(events), described=described)
    _read_steps(seen)
    return _compare_steps([{**step, "execution_id": execution_id} for step in steps], [seen])


_CLOSES = {"completed", "failed", "canceled", "terminated", "timed_out", "continued_as_new"}


# --- reading -------------------------------------------------------------------------------------------------------


async def read_chain(client: Client, run: Json) -> list[Seen]:
    """The newest execution of the run and all that it continues, oldest first."""
    workflow_id = run["workflow_id"]
    newest = await _describe(client, workflow_id, "")
    key = newest.workflow_execution_info.execution.run_id
    first = newest.workflow_execution_info.first_run_id or key
    known = {run["run_id"], run.get("first_execution_id")}
    if first not in known and run["run_id"] != workflow_id:
        # The workflow id was used again since: the run shown is an older chain.
        key = run["execution_id"]
    chain: list[Seen] = []
    at: str | None = key
    while at:
        described = await _describe(client, workflow_id, at)
        is_open = described.workflow_execution_info.status == RUNNING
        events = await (_reverse if is_open else _forward)(client, workflow_id, at)
        chain.insert(0, Seen(execution_id=at, events=events, described=described))
        at = events[0].workflow_execution_started_event_attributes.continued_execution_run_id or None
    return chain


async def _describe(client: Client, workflow_id: str, run_id: str) -> service.DescribeWorkflowExecutionResponse:
    return await client.workflow_service.describe_workflow_execution(
        service.DescribeWorkflowExecutionRequest(
            namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
        )
    )


async def _forward(client: Client, workflow_id: str, run_id: str) -> list[HistoryEvent]:
    history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
    return list(history.events)


async def _reverse(client: Client, workflow_id: str, run_id: str) -> list[HistoryEvent]:
    events: list[HistoryEvent] = []
    token = b""
    while True:
        answer = await client.workflow_service.get_workflow_execution_history_reverse(
            service.GetWorkflowExecutionHistoryReverseRequest(
                namespace=client.namespace,
                execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
                next_page_token=token,
            )
        )
        events.extend(answer.history.events)
        token = answer.next_page_token
        if not token:
            return events[::-1]


# --- steps ---------------------------------------------------------------------------------------------------------

_CLOSINGS = {
    "activity_task_completed": "completed",
    "activity_task_failed": "failed",
    "activity_task_timed_out": "timed_out",
    "activity_task_canceled": "cancelled",
    "child_workflow_execution_completed": "completed",
    "child_workflow_execution_failed": "failed",
    "child_workflow_execution_canceled": "cancelled",
    "child_workflow_execution_timed_out": "timed_out",
    "child_workflow_execution_terminated": "failed",
    "start_child_workflow_execution_failed": "failed",
    "signal_external_workflow_execution_failed": "failed",
    "external_workflow_execution_signaled": "completed",
    "request_cancel_external_workflow_execution_failed": "failed",
    "external_workflow_execution_cancel_requested": "completed",
    "nexus_operation_completed": "completed",
    "nexus_operation_failed": "failed",
    "nexus_operation_canceled": "cancelled",
    "nexus_operation_timed_out": "timed_out",
}
_INITIATED = {
    "start_child_workflow_execution_initiated": ("child", lambda a: a.workflow_type.name),
    "signal_external_workflow_execution_initiated": ("signal", lambda a: a.signal_name),
    "request_cancel_external_workflow_execution_initiated": ("signal", lambda a: "cancel"),
    "nexus_operation_scheduled": ("nexus", lambda a: f"{a.service}.{a.operation}"),
}


def _named(event: HistoryEvent) -> tuple[str, Any]:
    attribute = event.WhichOneof("attributes") or ""
    return attribute.removesuffix("_event_attributes"), getattr(event, attribute, None)


def _of(events: Iterable[HistoryEvent], name: str) -> list[tuple[HistoryEvent, Any]]:
    return [(event, attributes) for event in events for kind, attributes in [_named(event)] if kind == name]


def _json(payload: Payload | None) -> Any:
    try:
        return json.loads(payload.data) if payload is not None else None
    except ValueError:
        return None


def _summary(event: HistoryEvent) -> str:
    value = _json(event.user_metadata.summary) if event.user_metadata.HasField("summary") else None
    return value if isinstance(value, str) else ""


def _open_word(seen: Seen, word: str) -> str:
    return word if seen.open else "abandoned"


def _read_steps(seen: Seen) -> None:
    _read_activities(seen)
    _read_local(seen)
    _read_explicit(seen)
    _read_agents(seen)
    closings: dict[int, str] = {}
    for event in seen.events:
        name, a = _named(event)
        if name in _CLOSINGS and not name.startswith("activity"):
            key = a.scheduled_event_id if name.startswith("nexus") else a.initiated_event_id
            closings[key] = _CLOSINGS[name]
    started = {a.initiated_event_id for _, a in _of(seen.events, "child_workflow_execution_started")}
    started |= {a.scheduled_event_id for _, a in _of(seen.events, "nexus_operation_started")}
    for event in seen.events:
        name, a = _named(event)
        key = event.event_id
        if name in _INITIATED:
            kind, label = _INITIATED[name]
            still = "running" if key in started else "scheduled"
            seen.steps[key] = (kind, label(a), closings.get(key) or _open_word(seen, still), None)
        elif name == "workflow_execution_signaled" and not a.signal_name.startswith("agentgrid."):
            seen.steps[key] = ("signal", a.signal_name, "completed", None)
        elif name == "workflow_execution_update_accepted":
            done = [b for _, b in _of(seen.events, "workflow_execution_update_completed") if b.accepted_event_id == key]
            word = ("failed" if done[0].outcome.HasField("failure") else "completed") if done else ""
            named = a.accepted_request.input.name if a.HasField("accepted_request") else None
            seen.steps[key] = ("update", named or "*", word or _open_word(seen, "running"), None)
        elif name == "timer_started" and not _summary(event).startswith(GATE_TIMER) and not _backoff(seen, key):
            fired = {b.started_event_id for _, b in _of(seen.events, "timer_fired")}
            cancelled = {b.started_event_id for _, b in _of(seen.events, "timer_canceled")}
            word = "completed" if key in fired else "cancelled" if key in cancelled else _open_word(seen, "waiting")
            seen.steps[key] = ("timer", _summary(event) or "timer", word, None)


def _backoff(seen: Seen, timer_event_id: int) -> bool:
    """Whether the event before the timer is a local activity that backs off."""
    name, a = _named(seen.events[timer_event_id - 2])
    data = _local(a) if name == "marker_recorded" and a.HasField("failure") else None
    return data is not None and data.get("backoff") is not None


def _local(a: Any) -> dict[str, Any] | None:
    """The data in a local activity's marker, from any SDK; None for any other marker."""
    details = {key: _json(value.payloads[0]) if value.payloads else None for key, value in a.details.items()}
    if a.marker_name == "core_local_activity":
        data: dict[str, Any] = details["data"]
        return data
    if a.marker_name != "LocalActivity":
        return None
    if "activityId" in details:
        meta = details.get("meta") or {"atpt": 1}
        return {"activity_type": details["type"], "attempt": meta["atpt"], "backoff": meta.get("backoff")} | (
            {"original_schedule_time": meta["firstSkd"]} if "firstSkd" in meta else {}
        )
    data = details["data"]
    return {"activity_type": data["ActivityType"], "attempt": data["Attempt"], "backoff": data["Backoff"] or None}


def _read_activities(seen: Seen) -> None:
    calls: dict[str, list[tuple[HistoryEvent, Any]]] = {}
    for event, a in _of(seen.events, "activity_task_scheduled"):
        key = _json(a.header.fields.get("agentgrid-key")) if "agentgrid-key" in a.header.fields else None
        calls.setdefault(str(key or event.event_id), []).append((event, a))
    for group in calls.values():
        first_event, first = group[0]
        last_event, _ = group[-1]
        kind, name = _kind_of(first.activity_type.name)
        closing, asked = _closing_of(seen, last_event.event_id)
        attempts = [
            a.attempt
            for _, a in _of(seen.events, "activity_task_started")
            if a.scheduled_event_id == last_event.event_id
        ]
        if asked and len(group[-1][1].header.fields.get("agentgrid-key", Payload()).data):
            status: str = _gated_status(seen, asked)
        else:
            status = closing or _open_word(seen, "*")
        seen.steps[first_event.event_id] = (kind, name, status, attempts[-1] if attempts and not asked else None)


def _closing_of(seen: Seen, scheduled: int) -> tuple[str | None, str | None]:
    """How the call ended, and the approval it asked for, if it did."""
    for event in seen.events:
        name, a = _named(event)
        if name in _CLOSINGS and name.startswith("activity") and a.scheduled_event_id == scheduled:
            if name == "activity_task_failed":
                terms = _asked(a.failure)
                if terms is not None:
                    return None, terms.approval_id
            return _CLOSINGS[name], None
    return None, None


def _gated_status(seen: Seen, approval_id: str) -> str:
    """The state of a call whose last word was the question: it follows its approval."""
    said = _approval(seen, approval_id)
    return {
        "pending": _open_word(seen, "waiting"),
        "approved": _open_word(seen, "scheduled"),
        "rejected": "failed",
        "expired": "timed_out",
        "cancelled": "cancelled" if _timer_of(seen, approval_id, ended=True) else _open_word(seen, "scheduled"),
    }[said]


def _read_local(seen: Seen) -> None:
    """Local activities by type: which marker ends which call can be told apart only by their first scheduling."""
    threads: dict[str, list[tuple[HistoryEvent, Any, dict[str, Any]]]] = {}
    waiting: dict[str, str] = {}
    for event, a in _of(seen.events, "marker_recorded"):
        data = _local(a)
        if data is None:
            continue
        kind = data["activity_type"]
        first_of_its_call = "original_schedule_time" not in data and data["attempt"] == 1
        again = None if first_of_its_call else waiting.pop(kind, None)
        thread = again or f"{kind} {data.get('original_schedule_time', event.event_id)}"
        threads.setdefault(thread, []).append((event, a, data))
        untold = "original_schedule_time" not in data and data.get("backoff") is not None
        if untold or (a.marker_name == "core_local_activity" and _asked(a.failure) is not None):
            waiting[kind] = thread
    for markers in threads.values():
        first_event, _, data = markers[0]
        _, last, last_data = markers[-1]
        kind, name = _kind_of(data["activity_type"])
        asked = _asked(last.failure) if last.marker_name == "core_local_activity" else None
        if name in _NO_ACTIVITIES:
            continue
        if asked is not None:
            status = _gated_status(seen, asked.approval_id)
        elif last.HasField("failure"):
            cancelled = last.failure.HasField("canceled_failure_info")
            cancelled |= last.failure.cause.HasField("canceled_failure_info") and last.marker_name == "LocalActivity"
            status = "cancelled" if cancelled else "failed"
            if last_data.get("backoff") is not None:
                status = _open_word(seen, "scheduled")
        else:
            status = "completed"
        seen.steps[first_event.event_id] = (kind, name, status, last_data["attempt"] if asked is None else None)


def _kind_of(activity_type: str) -> tuple[str, str]:
    kind, _, name = activity_type.partition(".")
    return (kind, name) if name and kind in ("tool", "model") else ("activity", activity_type)


def _read_agents(seen: Seen) -> None:
    """Calls of agents: a marker opens each and another closes it, joined by the call's key."""
    opened: dict[str, tuple[int, str]] = {}
    for event, a in _of(seen.events, "marker_recorded"):
        if a.marker_name != "core_local_activity":
            continue
        kind = _json(a.details["data"].payloads[0])["activity_type"]
        if a.HasField("failure"):
            if kind == "agentgrid.open_agent":
                seen.steps[event.event_id] = ("agent", _json(event.user_metadata.summary), "failed", 1)
            continue
        said = _json(a.details["result"].payloads[0])
        if kind == "agentgrid.open_agent":
            opened[said["call"]] = (event.event_id, said["agent"])
        elif kind == "agentgrid.close_agent" and said["call"] in opened:
            key, name = opened.pop(said["call"])
            status = "cancelled" if said["cancelled"] else "failed" if said["error_type"] else "completed"
            seen.steps[key] = ("agent", name, status, 1)
    for key, name in opened.values():
        seen.steps[key] = ("agent", name, _open_word(seen, "running"), 1)


def _read_explicit(seen: Seen) -> None:
    """Explicit approvals: one requested again under the same key, because the worker did not confirm the decision, is the same step."""
    asks: dict[tuple[str, str], list[tuple[int, Terms]]] = {}
    confirmed: dict[str, bool] = {}
    for event, a in _of(seen.events, "marker_recorded"):
        if a.marker_name != "core_local_activity" or a.HasField("failure"):
            continue
        kind = _json(a.details["data"].payloads[0])["activity_type"]
        if kind == "agentgrid.open_approval" and (terms := _opened(a)) is not None:
            asks.setdefault((terms.execution_id, terms.key or ""), []).append((event.event_id, terms))
        elif kind == "agentgrid.confirm_approval":
            said = _json(a.details["result"].payloads[0])
            confirmed[said["approval_id"]] = said["holds"]
    for opened in asks.values():
        last = opened[-1][1]
        said = _approval(seen, last.approval_id)
        words = {"rejected": "failed", "expired": "timed_out", "cancelled": "*"}
        status = words.get(said) or _open_word(seen, "scheduled" if said == "approved" else "waiting")
        if said == "approved" and confirmed.get(last.approval_id):
            status = "completed"
        seen.steps[opened[0][0]] = ("approval", last.title, status, None)


# --- approvals -----------------------------------------------------------------------------------------------------


def _asked(failure: Any) -> Terms | None:
    info = failure.application_failure_info
    if info.type != "ApprovalRequired" or not info.details.payloads:
        return None
    return _terms(_json(info.details.payloads[0]))


def _opened(marker: Any) -> Terms | None:
    result = marker.details["result"].payloads if "result" in marker.details else []
    return _terms(_json(result[0])) if len(result) == 1 else None


def _terms(value: Any) -> Terms | None:
    try:
        return Terms.model_validate(value)
    except ValueError:
        return None


def _all_terms(seen: Seen) -> dict[str, Terms]:
    found: dict[str, Terms] = {}
    governed = {
        event.event_id for event, a in _of(seen.events, "activity_task_scheduled") if "agentgrid-key" in a.header.fields
    }
    for _, a in _of(seen.events, "activity_task_failed"):
        if a.scheduled_event_id in governed and (terms := _asked(a.failure)) is not None:
            found[terms.approval_id] = terms
    for _, a in _of(seen.events, "marker_recorded"):
        if a.marker_name != "core_local_activity":
            continue
        data = _json(a.details["data"].payloads[0])
        said = _opened(a) if data["activity_type"] == "agentgrid.open_approval" else _asked(a.failure)
        if said is not None:
            found[said.approval_id] = said
    return found


def _timer_of(seen: Seen, approval_id: str, *, ended: bool = False) -> int | None:
    started = [
        event.event_id
        for event, _ in _of(seen.events, "timer_started")
        if _summary(event) == f"{GATE_TIMER}{approval_id}"
    ]
    if not started:
        return None
    if not ended:
        return started[0]
    fork = max((event.event_id for event, _ in _forks(seen)), default=0)
    ends = [
        event.event_id
        for name in ("timer_fired", "timer_canceled")
        for event, a in _of(seen.events, name)
        if a.started_event_id == started[0]
    ]
    return ends[0] if ends and not started[0] < fork < ends[0] else None


def _forks(seen: Seen) -> list[tuple[HistoryEvent, Any]]:
    reset = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW
    return [(event, a) for event, a in _of(seen.events, "workflow_task_failed") if a.cause == reset]


def _read_approvals(seen: Seen) -> None:
    for approval_id in _all_terms(seen):
        seen.approvals[approval_id] = _approval(seen, approval_id)


def _approval(seen: Seen, approval_id: str) -> str:
    """Where an approval stands: by its timer, and by the first valid decision that came in time."""
    terms = _all_terms(seen)[approval_id]
    timer = _timer_of(seen, approval_id)
    if timer is None:
        return "pending" if seen.open and not _called_again(seen, terms) else "cancelled"
    fired = [event.event_id for event, a in _of(seen.events, "timer_fired") if a.started_event_id == timer]
    cancelled = [event.event_id for event, a in _of(seen.events, "timer_canceled") if a.started_event_id == timer]
    end = (fired or cancelled or [None])[0]
    if any(timer < event.event_id < (end or event.event_id + 1) for event, _ in _forks(seen)):
        return "cancelled"
    verdict = _verdict(seen, terms, timer)
    if end is not None:
        return verdict or ("expired" if fired else "cancelled")
    if seen.open:
        return "pending"
    return verdict or "cancelled"


def _called_again(seen: Seen, terms: Terms) -> bool:
    """Whether the call was made again although its gate never waited: a reset came in between."""
    calls = [
        event.event_id
        for event, a in _of(seen.events, "activity_task_scheduled")
        if _json(a.header.fields.get("agentgrid-key")) == terms.key
    ]
    asked = [
        event.event_id
        for event, a in _of(seen.events, "activity_task_failed")
        if (said := _asked(a.failure)) is not None and said.approval_id == terms.approval_id
    ]
    return bool(calls and asked and calls[-1] > asked[0])


def _verdict(seen: Seen, terms: Terms, timer: int) -> str | None:
    """The first valid decision after the timer whose task began before the deadline."""
    completed = {event.event_id: a.started_event_id for event, a in _of(seen.events, "workflow_task_completed")}
    times = {event.event_id: event.event_time.ToNanoseconds() for event in seen.events}
    scheduling = seen.events[timer - 1].timer_started_event_attributes.workflow_task_completed_event_id
    begun = times[completed[scheduling]] if scheduling in completed else times[timer]
    deadline = begun + int(terms.expires_seconds * 1e9)
    for event, a in _of(seen.events, "workflow_execution_signaled"):
        if a.signal_name != "agentgrid.decide" or event.event_id < timer or len(a.input.payloads) != 1:
            continue
        said = judge(terms, a.input.payloads[0].data).verdict
        if said is None:
            continue
        seeing = [start for start in sorted(completed.values()) if start > event.event_id]
        if seeing and times[seeing[0]] < deadline:
            return said.value
    return None


# --- comparing -----------------------------------------------------------------------------------------------------


def _compare_run(run: Json, chain: list[Seen]) -> list[str]:
    tip = chain[-1]
    found: list[str] = []

    def differ(what: str, said: Any, truth: Any) -> None:
        if said != truth:
            found.append(f"{what}: AgentGrid says {said!r}, Temporal {truth!r}")

    differ("execution_id", run.get("execution_id"), tip.execution_id)
    differ("workflow", run["workflow"], tip.events[0].workflow_execution_started_event_attributes.workflow_type.name)
    if tip.open:
        if run["status"] not in OPEN:
            found.append(f"status: AgentGrid says {run['status']!r}, Temporal that it is open")
        pending = sum(status == "pending" for status in tip.approvals.values())
        differ("approvals_pending", run["approvals_pending"], pending)
        asked = _of(tip.events, "workflow_execution_cancel_requested")
        if asked and run["status"] not in ("cancelling", "paused"):
            found.append(f"status: AgentGrid says {run['status']!r}, but a cancel was requested")
        if pending and not asked and run["status"] not in ("waiting", "paused"):
            found.append(f"status: AgentGrid says {run['status']!r}, but {pending} approvals are pending")
        return found
    differ("status", run["status"], ENDS.get(tip.described.workflow_execution_info.status))
    closed_at = run["closed_at"]
    when = datetime.fromisoformat(closed_at) if isinstance(closed_at, str) else closed_at
    truth = tip.events[-1].event_time.ToMicroseconds()
    if when is None or abs(when.timestamp() * 1e6 - truth) > 2:
        found.append(f"closed_at: AgentGrid says {when}, Temporal {truth} µs")
    found += _compare_result(run, tip.events[-1])
    return found


def _compare_result(run: Json, last: HistoryEvent) -> list[str]:
    if last.event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED or run.get("payloads_visible") is False:
        return []
    payloads = last.workflow_execution_completed_event_attributes.result.payloads
    said = run.get("result")
    if not isinstance(said, Mapping):
        return [f"result: AgentGrid says {said!r}, Temporal has {len(payloads)} payloads"]
    if len(payloads) == 1 and "value" in said and said["value"] != _json(payloads[0]):
        return [f"result: AgentGrid says {said['value']!r}, Temporal {_json(payloads[0])!r}"]
    if said["size"] != sum(len(payload.data) for payload in payloads):
        return [f"result: AgentGrid says {said['size']} bytes"]
    return []


def _compare_steps(steps: list[Json], chain: list[Seen]) -> list[str]:
    mine = {seen.execution_id for seen in chain}
    said = {(step["execution_id"], step["event_id"]): step for step in steps if step["execution_id"] in mine}
    truth = {(seen.execution_id, key): step for seen in chain for key, step in seen.steps.items()}
    found = [f"step {key}: Temporal has no such step" for key in said.keys() - truth.keys()]
    found += [f"step {key}: AgentGrid doesn't have {truth[key]}" for key in truth.keys() - said.keys()]
    for key in said.keys() & truth.keys():
        step, (kind, name, status, attempts) = said[key], truth[key]
        pairs = [("kind", kind), ("name", name), ("status", status)]
        found += [
            f"step {key} {what}: AgentGrid says {step[what]!r}, Temporal {true!r}"
            for what, true in pairs
            if true != "*" and step[what] != true
        ]
        if attempts is not None and step["attempts"] < attempts:
            found.append(f"step {key} attempts: AgentGrid says {step['attempts']}, Temporal {attempts}")
    return sorted(found)


def _compare_approvals(approvals: list[Json], chain: list[Seen]) -> list[str]:
    mine = {seen.execution_id for seen in chain}
    said = {
        (each["execution_id"], each["approval_id"]): each["status"]
        for each in approvals
        if each["execution_id"] in mine and not each.get("inherited")
    }
    truth = {(seen.execution_id, key): status for seen in chain for key, status in seen.approvals.items()}
    found = [f"approval {key}: Temporal has no such approval" for key in said.keys() - truth.keys()]
    for key, status in sorted(truth.items()):
        if key not in said:
            if _copied(chain, key):
                continue
            found.append(f"approval {key}: AgentGrid doesn't have it; Temporal says {status!r}")
        elif said[key] != status:
            found.append(f"approval {key}: AgentGrid says {said[key]!r}, Temporal {status!r}")
    return found


def _copied(chain: list[Seen], key: tuple[str, str]) -> bool:
    """Whether the approval was opened before the fork of a reset: a copy, which lists leave out."""
    seen = next(each for each in chain if each.execution_id == key[0])
    terms = _all_terms(seen)[key[1]]
    return bool(_forks(seen)) and terms.execution_id != seen.execution_id
