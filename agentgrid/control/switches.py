"""Kill switches of tools and workflows. A switch says nothing about rules and a rule nothing about switches: each is put without the other."""

from __future__ import annotations

from agentgrid.control import commands, policies
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import policies as policies_table
from agentgrid.db import switches as table
from agentgrid.db import tools, workflows
from agentgrid.db.session import WriteSession, writing
from agentgrid.db.tables import Command, Switch
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.policies import SwitchKind
from agentgrid.errors import Conflict, NotFound

DISABLED = "disabled"
"""What a refused start says of the workflow's state."""

KINDS = {
    (SwitchKind.TOOL, True): CommandKind.TOOL_DISABLE,
    (SwitchKind.TOOL, False): CommandKind.TOOL_ENABLE,
    (SwitchKind.WORKFLOW, True): CommandKind.WORKFLOW_DISABLE,
    (SwitchKind.WORKFLOW, False): CommandKind.WORKFLOW_ENABLE,
}


async def put(
    plane: ControlPlane, caller: Caller, kind: SwitchKind, name: str, *, disabled: bool, reason: str
) -> Command:
    """Turn the kill switch on or off, and publish it. Raises NotFound for what no worker has registered."""
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        if not await _registered(session, kind, name):
            raise NotFound(kind.value, name)
        await policies_table.lock(session)
        last = (await table.newest(session, kind, [name])).get(name)
        now = (False, "") if last is None else (last.disabled, last.reason)
        changes = now != (disabled, reason)
        recorded = await commands.apply(
            session, caller, KINDS[kind, disabled], {"changed": changes}, target=name, reason=reason or None
        )
        if changes and not recorded.replayed:
            session.add(
                Switch(
                    kind=kind.value,
                    name=name,
                    version=1 if last is None else last.version + 1,
                    disabled=disabled,
                    reason=reason,
                    created_by=recorded.command.principal,
                    created_at=recorded.command.created_at,
                )
            )
            await session.flush()
            await policies.publish(session)
        return recorded.command


async def _registered(session: WriteSession, kind: SwitchKind, name: str) -> bool:
    row = await tools.get(session, name) if kind is SwitchKind.TOOL else await workflows.get(session, name)
    return row is not None


def refusal(switch: Switch | None) -> Conflict | None:
    """Why what has this switch can't be started or called now, or None where the switch is off. The one place that says so."""
    if switch is None or not switch.disabled:
        return None
    why = f": {switch.reason}" if switch.reason else ""
    return Conflict(f"{switch.name} is disabled by its kill switch{why}", status=DISABLED)
