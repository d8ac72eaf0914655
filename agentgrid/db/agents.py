"""Agents, as the steps of runs show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import exists, select

from agentgrid.db import scopes
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import Run, Step
from agentgrid.domain.steps import StepKind, StepStatus

R: Any = Run
S: Any = Step

OPEN = tuple(status.value for status in (StepStatus.SCHEDULED, StepStatus.RUNNING, StepStatus.WAITING))


async def was_called(session: ReadSession, name: str) -> bool:
    """Whether some run has called an agent of this name."""
    called = exists().where(S.kind == StepKind.AGENT.value, S.name == name)
    return bool((await session.execute(select(called))).scalar_one())


async def open_calls(
    session: ReadSession, name: str, *, scope: frozenset[str], limit: int
) -> Sequence[tuple[Step, Run]]:
    """The calls of the agent that have not ended, with their runs, in the scope; newest first."""
    statement = (
        select(Step, Run)
        .join(Run, S.run_id == R.run_id)
        .where(S.kind == StepKind.AGENT.value, S.name == name, S.status.in_(OPEN), ~S.inherited)
        .where(*scopes.within(R.workflow, scope))
        .order_by(S.scheduled_at.desc(), S.execution_id, S.event_id)
        .limit(limit)
    )
    return [(step, run) for step, run in (await session.execute(statement)).all()]
