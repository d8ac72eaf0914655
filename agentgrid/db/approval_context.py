"""What a list of approvals shows besides the rows: the catalog's titles, the requesting tool versions, and what determines who may decide now."""

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
    """The context needed to show a page of approvals."""

    now: datetime
    """The time on the database's clock."""
    revoked_keys: frozenset[str]
    tools: dict[tuple[str, str | None], ToolVersion]
    """The requesting tool versions that are registered, by name and version."""
    tool_titles: dict[str, str]
    workflow_titles: dict[str, str]
    agent_titles: dict[str, str]
    copies: frozenset[tuple[str, str]]
    """Approvals that reuse the id of an earlier one, by execution and id. Only the first can be decided."""

    def facts(self, approval: Approval, run: Run) -> ApprovalFacts:
        """The approval with everything that determines who may decide it now."""
        return ApprovalFacts(approval=approval, run=run, now=self.now, revoked_keys=self.revoked_keys)

    def tool(self, approval: Approval) -> ToolVersion | None:
        """The requesting version of the tool, if it is registered."""
        return self.tools.get((approval.tool or "", approval.tool_version))


async def read(session: ReadSession, rows: Sequence[tuple[Approval, Run]]) -> Context:
    """The context of these approvals."""
    revoked = select(K.key_id).where(K.revoked_at.is_not(None))
    now = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    approvals = [approval for approval, _ in rows]
    return Context(
        now=now,
        revoked_keys=frozenset((await session.execute(revoked)).scalars()),
        tools=await _versions(session, {(row.tool, row.tool_version) for row in approvals if row.tool_version}),
        tool_titles=await titles_of(session, ToolRow, {row.tool for row in approvals if row.tool}),
        workflow_titles=await titles_of(session, Workflow, {run.workflow for _, run in rows}),
        agent_titles=await titles_of(session, AgentRow, {row.agent for row in approvals if row.agent}),
        copies=await _copies(session, approvals),
    )


async def _versions(session: ReadSession, keys: Collection[tuple[Any, Any]]) -> dict[tuple[str, str | None], Any]:
    if not keys:
        return {}
    statement = select(ToolVersion).where(tuple_(V.name, V.version).in_(sorted(keys)))
    return {(row.name, row.version): row for row in (await session.execute(statement)).scalars()}


async def titles_of(session: ReadSession, table: Any, names: Collection[str]) -> dict[str, str]:
    """The titles of these workflows, tools or agents; unregistered ones are omitted."""
    if not names:
        return {}
    statement = select(table.name, table.title).where(table.name.in_(sorted(names)))
    return {name: title for name, title in (await session.execute(statement)).all()}


async def _copies(session: ReadSession, approvals: Sequence[Approval]) -> frozenset[tuple[str, str]]:
    statement = (
        select(A.approval_id, func.min(A.opened_at))
        .where(A.approval_id.in_([approval.approval_id for approval in approvals]), ~A.inherited)
        .group_by(A.approval_id)
        .having(func.count() > 1)
    )
    first = {approval_id: at for approval_id, at in (await session.execute(statement)).all()}
    return frozenset(
        (approval.execution_id, approval.approval_id)
        for approval in approvals
        if approval.opened_at > first.get(approval.approval_id, approval.opened_at)
    )
