"""A test case for one kind of ordinary workflow: how it is started, what happens to it from outside, and the expected outcome."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowHistory

Handle = WorkflowHandle[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where a case is run: one worker, with or without the plugin."""

    name: str
    client: Client
    queue: str
    endpoint: str
    """The Nexus endpoint of the worker's queue."""


Drive = Callable[[Stage, Handle], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A workflow and its expected outcome, which includes what `drive` returns."""

    run: Any
    args: tuple[Any, ...] = ()
    drive: Drive | None = None
    start: Callable[[Stage, str], Awaitable[Handle]] | None = None
    """How it is started, if not in the usual way."""
    options: Mapping[str, Any] = field(default_factory=dict)
    ends: Any = None
    """The result, or a description of the failure."""
    driven: Any = None
    other_events: bool = False
    """Whether two runs may differ in their events because of a race, as they may without the plugin."""


@dataclass(frozen=True, kw_only=True)
class Played:
    """The outcome of a case on one stage."""

    stage: str
    ends: Any
    driven: Any
    events: Mapping[str, int]
    histories: list[WorkflowHistory]
    """The history of each execution in the chain, oldest first."""
    workflow_id: str


def words(error: BaseException | None) -> str:
    """A failure and its causes, by what user code can distinguish."""
    parts: list[str] = []
    while error is not None:
        kind = getattr(error, "type", None)
        parts.append(
            type(error).__name__ + (f"[{kind}]" if isinstance(kind, str) else f"[{kind.name}]" if kind else "")
        )
        error = getattr(error, "cause", None)
    return " < ".join(parts)


PLAY_SECONDS = 120.0
HAPPEN_SECONDS = 60.0
"""Timeout for steps that take no time themselves, with a margin for a busy machine."""


async def play(case: Case, name: str, stage: Stage) -> Played:
    """Start it, drive it and wait for its end. Raises TimeoutError, with a note about how far it got."""
    try:
        async with asyncio.timeout(PLAY_SECONDS):
            return await _play(case, name, stage)
    except TimeoutError as error:
        history = await stage.client.get_workflow_handle(f"{name}-{stage.queue}").fetch_history()
        kinds = [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events]
        error.add_note(f"{name}, {stage.name}: {kinds}")
        raise


async def _play(case: Case, name: str, stage: Stage) -> Played:
    workflow_id = f"{name}-{stage.queue}"
    if case.start is not None:
        handle = await case.start(stage, workflow_id)
    else:
        args = [stage.endpoint if arg is ENDPOINT else arg for arg in case.args]
        handle = await stage.client.start_workflow(
            case.run, args=args, id=workflow_id, task_queue=stage.queue, **case.options
        )
    driven = await case.drive(stage, handle) if case.drive is not None else None
    try:
        ends = await handle.result()
    except WorkflowFailureError as error:
        ends = f"failed: {words(error.cause)}"
    histories = await chain_of(stage.client, workflow_id)
    counted: Counter[str] = Counter()
    for history in histories:
        counted.update(kind for kind in map(_kind, history.events) if kind is not None)
    return Played(
        stage=stage.name, ends=ends, driven=driven, events=counted, histories=histories, workflow_id=workflow_id
    )


ENDPOINT = object()
"""Placeholder in the arguments for the stage's Nexus endpoint."""


async def chain_of(client: Client, workflow_id: str) -> list[WorkflowHistory]:
    """The histories of the newest execution and of all executions that it continues, oldest first."""
    histories: list[WorkflowHistory] = []
    run_id: str | None = None
    while True:
        history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        histories.insert(0, history)
        run_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not run_id:
            return histories


def _kind(event: Any) -> str | None:
    """The event's kind; None for events of workflow tasks, whose number depends on timing, and for the plugin's own patch."""
    kind = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower()
    if kind.startswith("workflow_task"):
        return None
    if kind == "marker_recorded":
        attributes = event.marker_recorded_event_attributes
        if attributes.marker_name == "core_patch":
            patch = attributes.details["patch-data"].payloads[0].data.decode()
            return None if "agentgrid" in patch else f"patch {patch}"
        return attributes.marker_name
    if kind == "upsert_workflow_search_attributes":
        # The SDK lists patches in a search attribute, which it rewrites with each patch.
        names = event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields.keys()
        return None if set(names) == {"TemporalChangeVersion"} else "upsert"
    return kind


async def happened(handle: Handle, kind: str, times: int = 1) -> None:
    """Wait until the execution's history has this many events of this kind. Raises TimeoutError."""
    async with asyncio.timeout(HAPPEN_SECONDS):
        while True:
            events = (await handle.fetch_history()).events
            kinds = [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower() for event in events]
            if kinds.count(kind) >= times:
                return
            await asyncio.sleep(0.05)


async def ended(handle: Handle) -> str:
    """The final status of another execution, in Temporal's words. Raises TimeoutError."""
    async with asyncio.timeout(HAPPEN_SECONDS):
        while True:
            status = (await handle.describe()).status
            if status is not None and status.name != "RUNNING":
                return status.name
            await asyncio.sleep(0.05)
