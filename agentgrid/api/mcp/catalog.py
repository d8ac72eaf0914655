"""The grid's tools that a caller may call by themselves."""

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
"""How long a client may keep a list: policies, scopes and kill switches change."""
PAGE = 200


@dataclass(frozen=True, kw_only=True)
class ToolPage:
    """A page of tools. onward: the cursor of the next page, if there is one."""

    rows: Sequence[ToolRow]
    onward: str | None


@dataclass(frozen=True, kw_only=True)
class RiskHints:
    """A tool's risk, in the words of MCP."""

    reads: bool
    destroys: bool


def hints(row: ToolRow) -> RiskHints:
    """The hints for a tool. They are hints: the policy decides, not the client."""
    return RiskHints(reads=row.risk == Risk.READ, destroys=row.risk == Risk.DESTRUCTIVE)


async def page(plane: ControlPlane, principal: Principal, *, after: str | None) -> ToolPage:
    """The tools past this name that the caller may call now. Not those that are switched off, that the policy denies, or whose code is gone."""
    if not principal.may(Permission.START):
        return ToolPage(rows=(), onward=None)
    async with reading(plane.engine) as session:
        found = await tools.callable_alone(session, limit=PAGE + 1, after=after)
        rows = [row for row in found[:PAGE] if principal.reaches(TOOL_PREFIX + row.name)]
        rows = await _open(session, rows)
    return ToolPage(rows=rows, onward=found[PAGE - 1].name if len(found) > PAGE else None)


async def find(plane: ControlPlane, name: str) -> ToolRow | None:
    """The tool of this name, if it can be called by itself."""
    async with reading(plane.engine) as session:
        return next(iter(await tools.callable_alone(session, limit=1, name=name)), None)


async def _open(session: ReadSession, rows: Sequence[ToolRow]) -> list[ToolRow]:
    if not rows:
        return []
    current = await tools.current(session, rows)
    snapshot = snapshots.of(list(await policies.in_force(session)))
    off = {
        name
        for kind, prefix in ((SwitchKind.TOOL, ""), (SwitchKind.WORKFLOW, TOOL_PREFIX))
        for name, switch in (await switches.newest(session, kind, [prefix + row.name for row in rows])).items()
        if switch.disabled
    }
    return [
        row
        for row in rows
        if row.name in current
        and not {row.name, TOOL_PREFIX + row.name} & off
        and snapshot.rule_for(row.name, Risk(row.risk)).effect is not Effect.DENY
    ]
