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
        description="The step it belongs to, even if it is a call from before an approval. Null if history has no such step."
    )
    activity_type: str
    attempt: int
    local: bool
    worker: str
    task_queue: str
    status: JobStatus = Field(
        description="`lost`: it ended, but its worker did not report how. `failed` includes jobs that the worker finished but whose result never "
        "reached history. `gated`: it requested an approval instead of doing the work."
    )
    started_at: datetime
    finished_at: datetime | None
    error: ErrorOut | None
