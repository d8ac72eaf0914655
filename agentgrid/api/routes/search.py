"""Search over everything the caller may see."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated
from urllib.parse import quote

from fastapi import Query

from agentgrid.api import letters
from agentgrid.api.access import V1
from agentgrid.api.approval_filter import visible
from agentgrid.api.deps import CallerView, CurrentCaller, Plane, Session
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.search import Hit, HitKind, Hits
from agentgrid.api.shown import Shown
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import agents, approval_context, approvals, principals, runs, tools, workflows
from agentgrid.db.run_filter import RunFilter
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import AgentRow, ToolRow, Workflow
from agentgrid.domain.principals import Permission

router = make_router(tags=["me"], prefix=V1)

Words = Annotated[str, Query(min_length=2, max_length=200, description="Words, a name, or the beginning of an id.")]
Most = Annotated[int, Query(ge=1, le=20, description="Maximum results of each kind.")]


@router.get("/search", summary="Search runs, approvals, workflows, tools, agents and principals")
async def search(
    session: Session, plane: Plane, caller: CurrentCaller, shown: CallerView, q: Words, limit: Most = 5
) -> Hits:
    """Each kind is searched like its own list. Principals are included only for callers with the permission `administer`."""
    hits = await _runs(session, caller, shown, q, limit)
    hits += await _approvals(session, plane, caller, shown, q, limit)
    hits += [_named(HitKind.WORKFLOW, "workflows", row) for row in await workflows.by_name(session, q=q, limit=limit)]
    hits += [_named(HitKind.TOOL, "tools", row, row.risk) for row in await tools.by_name(session, q=q, limit=limit)]
    hits += [_named(HitKind.AGENT, "agents", row) for row in await agents.by_name(session, q=q, limit=limit)]
    if caller.principal.may(Permission.ADMINISTER):
        people = await principals.by_name(session, q=q, limit=limit)
        hits += [_hit(HitKind.PRINCIPAL, "principals", row.name, row.name, row.kind) for row in people]
    return Hits(items=hits)


async def _runs(session: ReadSession, caller: Caller, shown: Shown, q: str, limit: int) -> list[Hit]:
    filters = RunFilter(q=q, titles=caller.principal.may(Permission.READ_PAYLOADS))
    rows = await runs.newest(session, filters=filters, scope=caller.principal.workflows, limit=limit)
    titles = await approval_context.titles_of(session, Workflow, {row.workflow for row in rows})
    return [
        _hit(
            HitKind.RUN,
            "runs",
            row.run_id,
            titles.get(row.workflow, row.workflow),
            row.reference,
            row.status,
            subject=shown.text(row.subject or None),
        )
        for row in rows
    ]


async def _approvals(
    session: ReadSession, plane: ControlPlane, caller: Caller, shown: Shown, q: str, limit: int
) -> list[Hit]:
    reads = caller.principal.may(Permission.READ_PAYLOADS)
    filters = replace(visible(caller), q=q, titles=reads)
    rows = await approvals.newest(session, filters=filters, scope=caller.principal.workflows, limit=limit)
    context = await approval_context.read(session, rows)
    return [
        _hit(HitKind.APPROVAL, "approvals", row.approval_id, row.title, row.workflow_title, row.status)
        for row in letters.rows(plane, caller, shown, rows, context)
    ]


def _named(kind: HitKind, path: str, row: Workflow | ToolRow | AgentRow, detail: str | None = None) -> Hit:
    return _hit(kind, path, row.name, row.title, detail)


def _hit(
    kind: HitKind,
    path: str,
    identifier: str,
    title: str,
    detail: str | None,
    status: str | None = None,
    *,
    subject: str | None = None,
) -> Hit:
    href = f"{V1}/{path}/{quote(identifier, safe='')}"
    return Hit(kind=kind, id=identifier, title=title, detail=detail, subject=subject, status=status, href=href)
