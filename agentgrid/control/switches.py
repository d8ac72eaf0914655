"""Kill switches. Anything with a name can have one: to add a noun, add an entry to `NOUNS`. Switches and rules are independent of each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agentgrid.control import commands, snapshots
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.control.policies import AGENT_NAME
from agentgrid.db import policies, tools, workflows
from agentgrid.db import switches as db_switches
from agentgrid.db.session import ReadSession, WriteSession, writing
from agentgrid.db.tables import Command, Switch
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.switches import SwitchKind, Thing
from agentgrid.errors import Conflict, NotFound

DISABLED = "disabled"
"""The error's `status` when a start is refused."""


@dataclass(frozen=True, kw_only=True)
class Noun:
    """A kind of thing with kill switches."""

    disable: CommandKind
    enable: CommandKind
    exists: Callable[[WriteSession, str], Awaitable[bool]]
    """Whether something has this name. A switch for an unknown name would be a typo."""


async def _is_tool(session: WriteSession, name: str) -> bool:
    return await tools.get(session, name) is not None


async def _is_agent(session: WriteSession, name: str) -> bool:
    # Agents are code, and one may have to be disabled before any run calls it, so any valid agent name counts.
    return AGENT_NAME.fullmatch(name) is not None


async def _is_workflow(session: WriteSession, name: str) -> bool:
    return await workflows.get(session, name) is not None


NOUNS: dict[str, Noun] = {
    SwitchKind.TOOL: Noun(disable=CommandKind.TOOL_DISABLE, enable=CommandKind.TOOL_ENABLE, exists=_is_tool),
    SwitchKind.AGENT: Noun(disable=CommandKind.AGENT_DISABLE, enable=CommandKind.AGENT_ENABLE, exists=_is_agent),
    SwitchKind.WORKFLOW: Noun(
        disable=CommandKind.WORKFLOW_DISABLE, enable=CommandKind.WORKFLOW_ENABLE, exists=_is_workflow
    ),
}


async def put(plane: ControlPlane, caller: Caller, kind: str, name: str, *, disabled: bool, reason: str) -> Command:
    """Turn the kill switch on or off, and publish it. Raises NotFound if nothing of this kind has the name."""
    noun = NOUNS[kind]
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        if not await noun.exists(session, name):
            raise NotFound(kind, name)
        await policies.lock(session)
        last = (await db_switches.newest(session, kind, [name])).get(name)
        current = (False, "") if last is None else (last.disabled, last.reason)
        changes = current != (disabled, reason)
        recorded = await commands.apply(
            session,
            caller,
            noun.disable if disabled else noun.enable,
            {"changed": changes},
            target=name,
            reason=reason or None,
        )
        if changes and not recorded.replayed:
            session.add(
                Switch(
                    kind=kind,
                    name=name,
                    version=1 if last is None else last.version + 1,
                    disabled=disabled,
                    reason=reason,
                    created_by=recorded.command.principal,
                    created_at=recorded.command.created_at,
                )
            )
            await session.flush()
            await snapshots.publish(session)
        return recorded.command


async def check(session: ReadSession | WriteSession, *things: Thing) -> None:
    """Raise Conflict, with the reason, if the kill switch of any of these things is on."""
    for switch in await db_switches.of(session, things):
        if (why := refusal(switch)) is not None:
            raise why


def refusal(switch: Switch | None) -> Conflict | None:
    """The error for using what this switch disables, or None if the switch is off."""
    if switch is None or not switch.disabled:
        return None
    return Conflict(Thing(switch.kind, switch.name).refusal(switch.reason), status=DISABLED)
