"""The catalog's agents, their versions and the version that new calls use; and their calls, from the steps of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import exists, func, select, text, tuple_

from agentgrid.db import scopes
from agentgrid.db.arrays import among
from agentgrid.db.session import FRESH, ReadSession, WriteSession
from agentgrid.db.tables import AgentChoice, AgentRow, AgentVersionRow, Run, Step
from agentgrid.domain.agent_versions import EDIT_PREFIX, AgentVersion
from agentgrid.domain.steps import StepKind, StepStatus

# The same classes, typed so that their attributes are SQL expressions.
A: Any = AgentRow
C: Any = AgentChoice
V: Any = AgentVersionRow
R: Any = Run
S: Any = Step

# Literals, not parameters: a generic plan could not use the partial index.
IS_OPEN_CALL = text(f"steps.kind = '{StepKind.AGENT.value}' AND steps.status = '{StepStatus.RUNNING.value}'")


async def by_name(
    session: ReadSession, *, limit: int, after: str | None = None, q: str | None = None
) -> Sequence[AgentRow]:
    """Agents, ordered by name."""
    statement = select(AgentRow).order_by(A.name).limit(limit)
    if after is not None:
        statement = statement.where(A.name > after)
    if q is not None:
        statement = statement.where(A.name.icontains(q, autoescape=True) | A.title.icontains(q, autoescape=True))
    return (await session.execute(statement)).scalars().all()


async def count(session: ReadSession) -> int:
    """The number of agents."""
    return (await session.execute(select(func.count()).select_from(AgentRow))).scalar_one()


async def get(session: ReadSession | WriteSession, name: str) -> AgentRow | None:
    """One agent, with the newest version of its code."""
    return await session.get(AgentRow, name)


async def named(session: ReadSession, names: Sequence[str]) -> Sequence[AgentRow]:
    """The agents with these names; other names are ignored."""
    return (await session.execute(select(AgentRow).where(among(A.name, names)))).scalars().all()


async def version(session: ReadSession | WriteSession, agent: str, version: str) -> AgentVersionRow | None:
    """One version of an agent."""
    return await session.get(AgentVersionRow, (agent, version))


async def versions(session: ReadSession, agent: str, *, limit: int) -> Sequence[AgentVersionRow]:
    """An agent's versions, newest first."""
    statement = select(AgentVersionRow).where(V.agent == agent).order_by(V.created_at.desc(), V.version).limit(limit)
    return (await session.execute(statement)).scalars().all()


async def active(session: ReadSession, rows: Sequence[AgentRow]) -> dict[str, AgentVersionRow]:
    """The version that new calls of each of these agents use, by agent name."""
    chosen = await choices(session, [row.name for row in rows])
    return await _versions(session, [(row.name, _version_of(row, chosen.get(row.name))) for row in rows])


async def codes(session: ReadSession, rows: Sequence[AgentRow]) -> dict[str, AgentVersionRow]:
    """The newest code version of each of these agents, by agent name."""
    return await _versions(session, [(row.name, row.version) for row in rows])


async def _versions(session: ReadSession, keys: Sequence[tuple[str, str]]) -> dict[str, AgentVersionRow]:
    statement = select(AgentVersionRow).where(tuple_(V.agent, V.version).in_(keys))
    return {row.agent: row for row in (await session.execute(statement)).scalars()}


def _version_of(row: AgentRow, choice: AgentChoice | None) -> str:
    return row.version if choice is None or choice.version is None else choice.version


async def choices(session: ReadSession | WriteSession, agents: Sequence[str]) -> dict[str, AgentChoice]:
    """The newest version choice for each of these agents that ever had one."""
    statement = select(AgentChoice).where(among(C.agent, agents)).distinct(C.agent).order_by(C.agent, C.number.desc())
    return {row.agent: row for row in (await session.execute(statement, execution_options=FRESH)).scalars()}


async def chosen(session: WriteSession) -> Sequence[AgentVersionRow]:
    """The versions that operators chose instead of the code's, ordered by agent name."""
    newest = select(C.agent, C.version).distinct(C.agent).order_by(C.agent, C.number.desc()).subquery()
    statement = (
        select(AgentVersionRow)
        .join(newest, (V.agent == newest.c.agent) & (V.version == newest.c.version))
        .order_by(V.agent)
    )
    return (await session.execute(statement)).scalars().all()


async def next_edit(session: WriteSession, agent: str) -> str:
    """The name of the next operator-made version. Unique under the lock for policy changes."""
    statement = select(func.count()).where(V.agent == agent, V.source == "operator")
    return f"{EDIT_PREFIX}{(await session.execute(statement)).scalar_one() + 1}"


async def current(session: ReadSession, rows: Sequence[AgentRow]) -> frozenset[str]:
    """Those of these agents that were in the newest registration for their grid and queue. The others were removed from the code or renamed."""
    newest = select(A.grid, A.task_queue, func.max(A.registered_at)).group_by(A.grid, A.task_queue)
    registered = await session.execute(newest.where(among(A.task_queue, {row.task_queue for row in rows})))
    latest = {(grid, queue): at for grid, queue, at in registered.all()}
    return frozenset(row.name for row in rows if row.registered_at >= latest[row.grid, row.task_queue])


def document(row: AgentVersionRow) -> AgentVersion:
    """The version as a model. Raises ValueError if what a worker registered is invalid."""
    return AgentVersion.model_validate(row.model_dump())


async def was_called(session: ReadSession, name: str) -> bool:
    """Whether any run has called an agent with this name."""
    called = exists().where(S.kind == StepKind.AGENT.value, S.name == name)
    return bool((await session.execute(select(called))).scalar_one())


async def open_calls(
    session: ReadSession, name: str, *, scope: frozenset[str], limit: int
) -> Sequence[tuple[Step, Run]]:
    """The agent's open calls in the scope, with their runs, newest first."""
    statement = (
        select(Step, Run)
        .join(Run, S.run_id == R.run_id)
        .where(IS_OPEN_CALL, S.name == name, ~S.inherited)
        .where(*scopes.within(R.workflow, scope))
        .order_by(S.scheduled_at.desc(), S.execution_id, S.event_id)
        .limit(limit)
    )
    return [(step, run) for step, run in (await session.execute(statement)).all()]
