"""A run as Temporal has it: its executions with their whole histories, and helpers to look things up in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import temporalio.api.workflowservice.v1 as service
from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

Json = Mapping[str, Any]

ENDS = {
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED: "completed",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED: "failed",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED: "cancelled",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED: "terminated",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT: "timed_out",
}

RUNNING = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING


@dataclass(kw_only=True)
class Execution:
    """One execution as Temporal has it."""

    execution_id: str
    events: list[HistoryEvent]
    described: service.DescribeWorkflowExecutionResponse
    steps: dict[int, tuple[str, str, str, int | None]] = field(default_factory=dict)
    """Kind, name, status and attempts (None if unknown), by event id."""
    approvals: dict[str, str] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        return self.described.workflow_execution_info.status == RUNNING


async def read_chain(client: Client, run: Json) -> list[Execution]:
    """The newest execution of the run and its predecessors, oldest first."""
    workflow_id = run["workflow_id"]
    newest = await _describe(client, workflow_id, "")
    key = newest.workflow_execution_info.execution.run_id
    first = newest.workflow_execution_info.first_run_id or key
    known = {run["run_id"], run.get("first_execution_id")}
    if first not in known and run["run_id"] != workflow_id:
        # The workflow id has been reused since, so the run is an older chain.
        key = run["execution_id"]
    chain: list[Execution] = []
    at: str | None = key
    while at:
        described = await _describe(client, workflow_id, at)
        is_open = described.workflow_execution_info.status == RUNNING
        events = await (_reverse if is_open else _forward)(client, workflow_id, at)
        chain.insert(0, Execution(execution_id=at, events=events, described=described))
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


def name_and_attributes(event: HistoryEvent) -> tuple[str, Any]:
    attribute = event.WhichOneof("attributes") or ""
    return attribute.removesuffix("_event_attributes"), getattr(event, attribute, None)


def events_of_type(events: Iterable[HistoryEvent], name: str) -> list[tuple[HistoryEvent, Any]]:
    return [
        (event, attributes) for event in events for kind, attributes in [name_and_attributes(event)] if kind == name
    ]


def as_json(payload: Payload | None) -> Any:
    try:
        return json.loads(payload.data) if payload is not None else None
    except ValueError:
        return None


def summary_of(event: HistoryEvent) -> str:
    value = as_json(event.user_metadata.summary) if event.user_metadata.HasField("summary") else None
    return value if isinstance(value, str) else ""


def if_open(execution: Execution, status: str) -> str:
    """The status of a step that has not ended."""
    return status if execution.open else "abandoned"


def local_of(a: Any) -> dict[str, Any] | None:
    """The data of a local activity's marker from any SDK; None for other markers."""
    details = {key: as_json(value.payloads[0]) if value.payloads else None for key, value in a.details.items()}
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
