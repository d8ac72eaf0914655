"""Builds the timeline of a run from its rows."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pydantic_core

from agentgrid.api.schemas.timeline import StepBin, StepGroup, TimelineUsage, UsualNext, UsualStep
from agentgrid.api.shown import Shown, class_of
from agentgrid.api.views import NOT_STORED
from agentgrid.control.plane import ControlPlane
from agentgrid.db import timeline as db_timeline
from agentgrid.db.pool import Connection, direct
from agentgrid.db.timeline import Row, TimelineRows
from agentgrid.domain import timeline
from agentgrid.domain.runs import RunStatus
from agentgrid.domain.steps import JobStatus, StepKind, StepStatus, job_status
from agentgrid.domain.timeline import WORKING, Group, Span, StepKey, Usual
from agentgrid.protocol import ErrorType

APPROVAL = StepKind.APPROVAL.value
_DERIVED = frozenset({"error", "live_error", "input", "call_key"})
"""Columns that are not copied but used to derive other fields."""
_APPROVAL_KEY = frozenset({"execution_id", "step_event_id"})


class Usuals:
    """The usual steps of earlier runs of a workflow version, cached for a minute."""

    SECONDS = 60.0
    MOST = 200

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str | None], tuple[float, list[list[Usual]]]] = OrderedDict()

    async def of(self, connection: Connection, workflow: str, version: str | None) -> list[list[Usual]]:
        """The distinct steps of each of the newest completed runs."""
        key, now = (workflow, version), time.monotonic()
        at, found = self._known.get(key, (-self.SECONDS, []))
        if now - at >= self.SECONDS:
            found = await db_timeline.earlier(connection, workflow=workflow, version=version)
            self._known[key] = (now, found)
            self._known.move_to_end(key)
            while len(self._known) > self.MOST:
                self._known.popitem(last=False)
        return found


async def of_run(
    plane: ControlPlane,
    usuals: Usuals,
    shown: Shown,
    run_id: str,
    request: db_timeline.TimelineRequest,
    *,
    scope: frozenset[str],
) -> bytes | None:
    """The timeline of a run as JSON; None if there is no such run in the scope."""
    earlier: list[list[Usual]] = []
    async with direct(plane.pool) as connection:
        rows = await db_timeline.of_run(connection, run_id, request, scope=scope)
        if rows is None:
            return None
        if not RunStatus(rows.run["status"]).closed:
            earlier = await usuals.of(connection, rows.run["workflow"], rows.run["version"])
    # In a thread: a long run takes a tenth of a second, during which other requests are served.
    return await asyncio.to_thread(_Builder(rows, shown, datetime.now(UTC)).written, earlier)


class _Builder:
    def __init__(self, rows: TimelineRows, shown: Shown, now: datetime) -> None:
        self._rows, self._shown = rows, shown
        self._now: datetime = now
        self._until: datetime = rows.run["closed_at"] or now
        self._approvals: dict[StepKey, Row] = {}
        for approval in rows.approvals:  # newest first
            self._approvals.setdefault((approval["execution_id"], approval["step_event_id"]), approval)
        self._jobs = _by_step(rows.steps, rows.jobs)

    def written(self, earlier: Sequence[Sequence[Usual]]) -> bytes:
        """The response as JSON that matches `Timeline`."""
        rows, run = self._rows, self._rows.run
        start = run["started_at"] or run["created_at"]
        total = max((self._until - start).total_seconds(), 0.0)
        working = min(timeline.covered(self._work()).total_seconds(), total)
        usual = self._usual(earlier)
        values = {
            "run_id": run["run_id"],
            "status": run["status"],
            "as_of": rows.as_of,
            "at": self._now,
            "payloads_visible": self._shown.payloads,
            "step_count": run["step_count"],
            "complete": rows.complete,
            "working_seconds": round(working, 3),
            "waiting_seconds": round(total - working, 3),
            "people_seconds": round(timeline.covered(self._people()).total_seconds(), 3),
            "steps": [self._step(row) for row in rows.steps],
            "groups": [self._group(group) for group in rows.folded.groups] if rows.folded else [],
            **({} if usual is None else {"usual_next": usual}),
        }
        return pydantic_core.to_json(values, exclude_none=True)

    def _step(self, row: Row) -> dict[str, Any]:
        key: StepKey = (row["execution_id"], row["event_id"])
        approval, jobs = self._approvals.get(key), self._jobs.get(key, ())
        # Plain values without nulls: building models for 5,000 steps would take longer than everything else.
        values = {name: value for name, value in row.items() if value is not None and name not in _DERIVED}
        kind = row["kind"]
        if kind == APPROVAL:
            values["name"] = self._shown.step_name(kind, row["name"])
        values["title"] = self._title(row, approval)
        if kind == StepKind.TOOL and (risk := self._rows.risks.get(row["name"])) is not None:
            values["risk"] = risk
        if row["error"] is not None and (error_class := self._class(row["error"])) is not None:
            values["error_type"] = error_class
        if row["live_error"] is not None and (error_class := self._class(row["live_error"])) is not None:
            values["live_error_type"] = error_class
        if row["input"] is not None and (label := self._label(row)) is not None:
            values["label"] = label
        if "usage" in values:
            values["usage"] = _usage(row["usage"])
        if approval is not None:
            values["gate"] = {
                name: value for name, value in approval.items() if name not in _APPROVAL_KEY and value is not None
            }
        if jobs:
            values["attempts"] = list(self._attempts(row, jobs))
            activities = list(dict.fromkeys(job["activity_id"] for job in jobs))
            if len(activities) > 1:
                values["activity_ids"] = activities
        return values

    def _title(self, row: Row, approval: Row | None) -> str:
        if row["kind"] == APPROVAL:
            return timeline.waits_for(approval["approvers"] if approval else ())
        if row["kind"] == StepKind.TIMER and (due := row["due_at"] or row["closed_at"]) is not None:
            return f"Sleep {timeline.in_words(due - row['scheduled_at'])}"
        title = self._rows.agents.get(row["name"]) if row["kind"] == StepKind.AGENT else None
        return str(title or row["title"] or row["name"])

    def _label(self, row: Row) -> str | None:
        stored_input = row["input"]
        if not isinstance(stored_input, dict):
            return None
        schema = self._rows.schemas.get(row["name"]) if row["kind"] == StepKind.TOOL else None
        return self._shown.text(timeline.label_of(stored_input.get("value"), schema))

    def _class(self, error: str | None) -> str | None:
        if error is None:
            return None
        kind, _ = timeline.error_head(error)
        return kind if self._shown.payloads else class_of(kind)

    def _attempts(self, row: Row, jobs: Sequence[Row]) -> Iterator[dict[str, Any]]:
        step_status = StepStatus(row["status"])
        ended = RunStatus(self._rows.run["status"]).closed or step_status.closed
        for number, job in enumerate(jobs, 1):
            kind, message = timeline.error_head(job["error"])
            current = job["activity_id"] == row["activity_id"]
            last = number == len(jobs) and (not current or (row["live_attempt"] or 0) <= job["attempt"])
            reported = JobStatus(job["status"])
            requested_approval = kind == ErrorType.APPROVAL_REQUIRED
            status = job_status(
                reported,
                step=step_status if current else None,
                last=last,
                ended=ended or not current,
                requested_approval=requested_approval,
            )
            finished = job["finished_at"]
            if reported is JobStatus.RUNNING and status not in (JobStatus.RUNNING, JobStatus.LOST):
                finished = row["closed_at"]
            attempt = {"n": job["n"], "status": status.value, "started_at": job["started_at"], "worker": job["worker"]}
            if finished is not None:
                attempt["finished_at"] = finished
            if status is JobStatus.FAILED and reported is JobStatus.COMPLETED:
                attempt["error"] = {"type": NOT_STORED["type"]}
            elif job["error"] is not None and status is not JobStatus.GATED:
                attempt["error"] = self._error(kind, message)
            yield attempt

    def _error(self, kind: str | None, message: str | None) -> dict[str, str]:
        values = {"type": kind if self._shown.payloads else class_of(kind), "message": self._shown.text(message)}
        return {name: text for name, text in values.items() if text is not None}

    def _group(self, group: Group) -> StepGroup:
        first = group.first
        return StepGroup(
            execution_id=first.key[0],
            parent=first.parent,
            kind=StepKind(first.kind),
            name=self._shown.step_name(first.kind, first.name),
            first=first.key[1],
            last=group.last.key[1],
            count=group.count,
            done=group.done,
            failed=group.failed,
            open=group.open,
            beneath=group.beneath,
            first_at=group.first_at,
            last_at=group.last_at,
            bins=[StepBin.model_validate(item) for item in group.bins],
        )

    def _work(self) -> Iterator[Span]:
        """The spans of time in which the run itself was working."""
        for row in self._rows.steps:
            start = row["started_at"] or (row["scheduled_at"] if row["local"] else None)
            if row["kind"] not in WORKING or start is None:
                continue
            if row["closed_at"] is not None or row["status"] == StepStatus.RUNNING:
                yield start, row["closed_at"] or self._until
        for job in self._rows.jobs:
            if job["finished_at"] is not None:
                yield job["started_at"], job["finished_at"]
        for group in self._rows.folded.groups if self._rows.folded else ():
            if group.first.kind in WORKING:
                yield group.first_at, self._until if group.open else group.last_at

    def _people(self) -> Iterator[Span]:
        for approval in self._rows.approvals:
            yield approval["opened_at"], approval["closed_at"] or self._until

    def _usual(self, earlier: Sequence[Sequence[Usual]]) -> UsualNext | None:
        if not earlier:
            return None
        taken = [(row["kind"], row["name"]) for row in self._rows.steps if row["parent"] is None]
        taken += (
            [(group.first.kind, group.first.name) for group in self._rows.folded.groups] if self._rows.folded else []
        )
        usual: dict[tuple[str, str], UsualStep] = {}
        for step in timeline.usual_next(earlier, taken):
            name = self._shown.step_name(step.kind, step.name)
            title = None if step.kind == StepKind.APPROVAL else step.title
            usual_step = UsualStep(kind=StepKind(step.kind), name=name, title=title, count=step.count)
            usual.setdefault((step.kind, name), usual_step)
        return UsualNext(runs=len(earlier), steps=list(usual.values()))


def _usage(stored: Any) -> dict[str, Any]:
    used = stored if isinstance(stored, dict) else {}
    return {name: used[name] for name in TimelineUsage.model_fields if used.get(name) is not None}


def _by_step(steps: Sequence[Row], jobs: Sequence[Row]) -> Mapping[StepKey, Sequence[Row]]:
    """The jobs of each step. After an approval, a step has the activity of its last call; the call key links the earlier activities to it."""
    by_activity: dict[tuple[str, str], StepKey] = {}
    by_call: dict[tuple[str, str], StepKey] = {}
    if jobs:
        for row in steps:
            key: StepKey = (row["execution_id"], row["event_id"])
            if row["activity_id"] is not None:
                by_activity[key[0], row["activity_id"]] = key
            if row["call_key"] is not None:
                by_call[key[0], row["call_key"]] = key
    jobs_of: defaultdict[StepKey, list[Row]] = defaultdict(list)
    for job in jobs:
        step_key = by_activity.get((job["execution_id"], job["activity_id"]))
        if step_key is None and job["call_key"] is not None:
            step_key = by_call.get((job["execution_id"], job["call_key"]))
        if step_key is not None:
            jobs_of[step_key].append(job)
    return jobs_of
