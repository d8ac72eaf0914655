"""Kill switches of tools and workflows. Switches and rules are independent of each other."""

from __future__ import annotations

from agentgrid.control import commands, policies
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import policies as policies_table
from agentgrid.db import switches as table
from agentgrid.db import tools, workflows
from agentgrid.db.session import ReadSession, WriteSession, writing
from agentgrid.db.tables import Command, Switch
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.policies import SwitchKind
from agentgrid.errors import Conflict, NotFound

DISABLED = "disabled"
"""The `status` in the refusal of a start."""

KINDS = {
    (SwitchKind.TOOL, True): CommandKind.TOOL_DISABLE,
    (SwitchKind.TOOL, False): CommandKind.TOOL_ENABLE,
    (SwitchKind.WORKFLOW, True): CommandKind.WORKFLOW_DISABLE,
    (SwitchKind.WORKFLOW, False): CommandKind.WORKFLOW_ENABLE,
}


async def put(
    plane: ControlPlane, caller: Caller, kind: SwitchKind, name: str, *, disabled: bool, reason: str
) -> Command:
    """Turn the kill switch on or off, and publish it. Raises NotFound if no worker has registered the name."""
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


async def check_start(session: ReadSession | WriteSession, workflow: str) -> None:
    """Raise Conflict if the workflow's kill switch is on."""
    if (why := refusal((await table.newest(session, SwitchKind.WORKFLOW, [workflow])).get(workflow))) is not None:
        raise why


def refusal(switch: Switch | None) -> Conflict | None:
    """The refusal to start or call what this switch disables, or None if the switch is off."""
    if switch is None or not switch.disabled:
        return None
    why = f": {switch.reason}" if switch.reason else ""
    return Conflict(f"{switch.name} is disabled by its kill switch{why}", status=DISABLED)
