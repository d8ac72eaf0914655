"""What a page of approvals shows beside their rows: the catalog's titles, the tool versions that asked, and what determines who may decide now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, tuple_

from agentgrid.db.approvals import ApprovalFacts
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import AgentRow, Approval, Run, SigningKey, ToolRow, ToolVersion, Workflow

A: Any = Approval
K: Any = SigningKey
V: Any = ToolVersion


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a page of approvals is read with."""

    now: datetime
    """By the database's clock."""
    revoked_keys: frozenset[str]
    tools: dict[tuple[str, str | None], ToolVersion]
    """The versions that asked, of those that were registered."""
    tool_titles: dict[str, str]
    workflow_titles: dict[str, str]
    agent_titles: dict[str, str]
    copies: frozenset[tuple[str, str]]
    """Approvals that took the id of an earlier one, by execution and id. Only the first can be decided."""

    def found(self, approval: Approval, run: Run) -> ApprovalFacts:
        """The approval, with all that determines who may decide it now."""
        return ApprovalFacts(approval=approval, run=run, now=self.now, revoked_keys=self.revoked_keys)

    def tool(self, approval: Approval) -> ToolVersion | None:
        """The version of the tool that asked, if it was registered."""
        return self.tools.get((approval.tool or "", approval.tool_version))


async def read(session: ReadSession, rows: Sequence[tuple[Approval, Run]]) -> Context:
    """The context of these approvals."""
    revoked = select(K.key_id).where(K.revoked_at.is_not(None))
    now = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    approvals = [approval for approval, _ in rows]
    return Context(
        now=now,
        revoked_keys=frozenset((await session.execute(revoked)).scalars()),
        tools=await _versions(session, {(each.tool, each.tool_version) for each in approvals if each.tool_version}),
        tool_titles=await titles_of(session, ToolRow, {each.tool for each in approvals if each.tool}),
        workflow_titles=await titles_of(session, Workflow, {run.workflow for _, run in rows}),
        agent_titles=await titles_of(session, AgentRow, {each.agent for each in approvals if each.agent}),
        copies=await _copies(session, approvals),
    )


async def _versions(session: ReadSession, wanted: Collection[tuple[Any, Any]]) -> dict[tuple[str, str | None], Any]:
    if not wanted:
        return {}
    statement = select(ToolVersion).where(tuple_(V.name, V.version).in_(sorted(wanted)))
    return {(row.name, row.version): row for row in (await session.execute(statement)).scalars()}


async def titles_of(session: ReadSession, table: Any, names: Collection[str]) -> dict[str, str]:
    """The titles of those of these workflows, tools or agents that are registered."""
    if not names:
        return {}
    statement = select(table.name, table.title).where(table.name.in_(sorted(names)))
    return {name: title for name, title in (await session.execute(statement)).all()}


async def _copies(session: ReadSession, approvals: Sequence[Approval]) -> frozenset[tuple[str, str]]:
    statement = (
        select(A.approval_id, func.min(A.opened_at))
        .where(A.approval_id.in_([each.approval_id for each in approvals]), ~A.inherited)
        .group_by(A.approval_id)
        .having(func.count() > 1)
    )
    first = {approval_id: at for approval_id, at in (await session.execute(statement)).all()}
    return frozenset(
        (each.execution_id, each.approval_id)
        for each in approvals
        if each.opened_at > first.get(each.approval_id, each.opened_at)
    )
