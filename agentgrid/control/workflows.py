"""The kill switch of a workflow: no tool call of its runs passes the gate, and nobody starts it."""

from __future__ import annotations

from agentgrid.control import commands, policies
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import policies as policies_table
from agentgrid.db import workflows as table
from agentgrid.db.session import writing
from agentgrid.db.tables import Command, WorkflowPolicy
from agentgrid.domain.commands import CommandKind
from agentgrid.errors import Conflict, NotFound

DISABLED = "disabled"
"""What a refused start says of the workflow's state."""


async def put_policy(plane: ControlPlane, caller: Caller, name: str, *, disabled: bool, reason: str) -> Command:
    """Set the kill switch, and publish it. Raises NotFound."""
    async with writing(plane.engine) as session:
        if (earlier := await commands.replayed(session, caller)) is not None:
            return earlier
        if await table.get(session, name) is None:
            raise NotFound("workflow", name)
        await policies_table.lock(session)
        last = (await table.policies(session, [name])).get(name)
        now = (False, "") if last is None else (last.disabled, last.reason)
        changes = now != (disabled, reason)
        recorded = await commands.apply(
            session,
            caller,
            CommandKind.WORKFLOW_POLICY,
            {"disabled": disabled, "changed": changes},
            target=name,
            reason=reason or None,
        )
        if changes and not recorded.replayed:
            session.add(
                WorkflowPolicy(
                    workflow=name,
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


def refusal(policy: WorkflowPolicy | None) -> Conflict | None:
    """Why the workflow can't be started now, or None where its kill switch is off. The one place that says so."""
    if policy is None or not policy.disabled:
        return None
    why = f": {policy.reason}" if policy.reason else ""
    return Conflict(f"{policy.workflow} is disabled by its kill switch{why}", status=DISABLED)
