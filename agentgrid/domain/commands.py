"""A command: one change asked for by somebody, recorded before it is carried out."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

PROPOSAL_LIFETIME = timedelta(days=7)
"""How long a proposed command can be confirmed."""


class CommandKind(StrEnum):
    """What was asked."""

    RUN_START = "run.start"
    RUN_CANCEL = "run.cancel"
    RUN_TERMINATE = "run.terminate"
    RUN_PAUSE = "run.pause"
    RUN_RESUME = "run.resume"
    RUN_SIGNAL = "run.signal"
    RUN_UPDATE = "run.update"
    APPROVAL_DECIDE = "approval.decide"
    TOOL_POLICY = "tool.policy"
    TOOL_DISABLE = "tool.disable"
    TOOL_ENABLE = "tool.enable"
    WORKFLOW_DISABLE = "workflow.disable"
    WORKFLOW_ENABLE = "workflow.enable"
    POLICY_PUT = "policy.put"
    POLICY_WITHDRAW = "policy.withdraw"
    PRINCIPAL_PUT = "principal.put"
    PRINCIPAL_DISABLE = "principal.disable"
    PRINCIPAL_ENABLE = "principal.enable"
    KEY_CREATE = "key.create"
    KEY_REVOKE = "key.revoke"
    SIGNING_KEY_RETIRE = "signing_key.retire"
    SIGNING_KEY_REVOKE = "signing_key.revoke"
    LOGIN_PUT = "login.put"
    LOGIN_CLOSE = "login.close"
    GRID_MOVE = "grid.move"
    COMMAND_CONFIRM = "command.confirm"
    COMMAND_WITHDRAW = "command.withdraw"


class CommandStatus(StrEnum):
    """What became of it."""

    PROPOSED = "proposed"
    """Requested by one administrator; not carried out until another confirms it."""
    PENDING = "pending"
    """Recorded, not yet known to have been delivered."""
    DELIVERED = "delivered"
    """Temporal took it; its effect is not yet seen in history."""
    APPLIED = "applied"
    """Its effect is known."""
    SUPERSEDED = "superseded"
    """Something else decided first, or its run ended before it could take effect."""
    REFUSED = "refused"
    """Not allowed, or impossible; never delivered."""
    FAILED = "failed"
    """Delivery was given up, or an update's handler failed; the outcome says why."""

    @property
    def settled(self) -> bool:
        """Whether nothing more will be done about it."""
        return self not in (CommandStatus.PROPOSED, CommandStatus.PENDING, CommandStatus.DELIVERED)
