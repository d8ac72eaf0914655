"""The grid's tools that a caller may call directly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentgrid.control import snapshots
from agentgrid.control.plane import ControlPlane
from agentgrid.db import policies, switches, tools
from agentgrid.db.session import ReadSession, reading
from agentgrid.db.tables import ToolRow
from agentgrid.domain.activities import TOOL_PREFIX
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Risk
from agentgrid.domain.principals import Permission, Principal
from agentgrid.domain.switches import SwitchKind

FRESH_MS = 10_000
"""How long a client may cache a list, because policies, scopes and kill switches change."""
PAGE = 200


@dataclass(frozen=True, kw_only=True)
class ToolPage:
    """A page of tools. next_cursor: None on the last page."""

    rows: Sequence[ToolRow]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class RiskHints:
    """A tool's risk in MCP's terms."""

    reads: bool
    destroys: bool


def hints(row: ToolRow) -> RiskHints:
    """The hints for a tool. They are only hints: the policy decides, not the client."""
    return RiskHints(reads=row.risk == Risk.READ, destroys=row.risk == Risk.DESTRUCTIVE)


async def page(plane: ControlPlane, principal: Principal, *, after: str | None) -> ToolPage:
    """The tools after this name that the caller may call now. Excludes tools that are disabled, denied by policy, or no longer in the code."""
    if not principal.may(Permission.START):
        return ToolPage(rows=(), next_cursor=None)
    async with reading(plane.engine) as session:
        candidates = await tools.callable_alone(session, limit=PAGE + 1, after=after)
        rows = [row for row in candidates[:PAGE] if principal.reaches(TOOL_PREFIX + row.name)]
        rows = await _callable(session, rows)
    return ToolPage(rows=rows, next_cursor=candidates[PAGE - 1].name if len(candidates) > PAGE else None)


async def find(plane: ControlPlane, name: str) -> ToolRow | None:
    """The tool of this name, if it can be called directly."""
    async with reading(plane.engine) as session:
        return next(iter(await tools.callable_alone(session, limit=1, name=name)), None)


async def _callable(session: ReadSession, rows: Sequence[ToolRow]) -> list[ToolRow]:
    if not rows:
        return []
    current = await tools.current(session, rows)
    snapshot = snapshots.of(list(await policies.in_force(session)))
    disabled = {
        name
        for kind, prefix in ((SwitchKind.TOOL, ""), (SwitchKind.WORKFLOW, TOOL_PREFIX))
        for name, switch in (await switches.newest(session, kind, [prefix + row.name for row in rows])).items()
        if switch.disabled
    }
    return [
        row
        for row in rows
        if row.name in current
        and not {row.name, TOOL_PREFIX + row.name} & disabled
        and snapshot.rule_for(row.name, Risk(row.risk)).effect is not Effect.DENY
    ]
