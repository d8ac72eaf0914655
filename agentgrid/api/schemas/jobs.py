"""Jobs: the attempts of steps on workers."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from agentgrid.api.schemas.common import ErrorOut, Out
from agentgrid.domain.steps import JobStatus


class JobOut(Out):
    """One attempt of a step on one worker, as reported by the worker and corrected by history."""

    job_id: str
    execution_id: str
    activity_id: str
    step_event_id: int | None = Field(
        description="The step that it belongs to, also as a call from before a gate. Null if history has none."
    )
    activity_type: str
    attempt: int
    local: bool
    worker: str
    task_queue: str
    status: JobStatus = Field(
        description="`lost`: it ended, but its worker did not report how. `failed` includes jobs that the worker finished but whose result "
        "never reached history. `gated`: it asked for an approval instead of doing the work."
    )
    started_at: datetime
    finished_at: datetime | None
    error: ErrorOut | None
