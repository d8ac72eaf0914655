"""Commands: requested changes, recorded before they are carried out.

To add a kind, add a member to `CommandKind`, an entry to `HANDLING` and, if Temporal carries it out, a send function in `control/delivery.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

PROPOSAL_LIFETIME = timedelta(days=7)
"""How long a proposed command can be confirmed."""


class CommandKind(StrEnum):
    """The requested change."""

    RUN_START = "run.start"
    RUN_CANCEL = "run.cancel"
    RUN_TERMINATE = "run.terminate"
    RUN_PAUSE = "run.pause"
    RUN_RESUME = "run.resume"
    RUN_INTERRUPT = "run.interrupt"
    RUN_SIGNAL = "run.signal"
    RUN_UPDATE = "run.update"
    APPROVAL_DECIDE = "approval.decide"
    APPROVAL_PROPOSE = "approval.propose"
    TOOL_POLICY = "tool.policy"
    TOOL_DISABLE = "tool.disable"
    TOOL_ENABLE = "tool.enable"
    AGENT_POLICY = "agent.policy"
    AGENT_DISABLE = "agent.disable"
    AGENT_ENABLE = "agent.enable"
    WORKFLOW_DISABLE = "workflow.disable"
    WORKFLOW_ENABLE = "workflow.enable"
    AGENT_PUT = "agent.put"
    AGENT_USE = "agent.use"
    POLICY_PUT = "policy.put"
    POLICY_WITHDRAW = "policy.withdraw"
    PRINCIPAL_PUT = "principal.put"
    PRINCIPAL_DISABLE = "principal.disable"
    PRINCIPAL_ENABLE = "principal.enable"
    KEY_CREATE = "key.create"
    KEY_REVOKE = "key.revoke"
    SESSION_CODE = "session.code"
    SESSION_OPEN = "session.open"
    SESSION_CLOSE = "session.close"
    SESSION_END = "session.end"
    SIGNING_KEY_RETIRE = "signing_key.retire"
    SIGNING_KEY_REVOKE = "signing_key.revoke"
    VIEW_PUT = "view.put"
    VIEW_DELETE = "view.delete"
    LOGIN_PUT = "login.put"
    LOGIN_CLOSE = "login.close"
    GRID_MOVE = "grid.move"
    COMMAND_CONFIRM = "command.confirm"
    COMMAND_WITHDRAW = "command.withdraw"


class CommandStatus(StrEnum):
    """How far a command has come."""

    PROPOSED = "proposed"
    """Requested by one administrator; not carried out until another confirms it."""
    PENDING = "pending"
    """Recorded, not yet known to have been delivered."""
    DELIVERED = "delivered"
    """Temporal accepted it; its effect is not yet in history."""
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
        """Whether this status is final."""
        return self not in (CommandStatus.PROPOSED, CommandStatus.PENDING, CommandStatus.DELIVERED)


class ConfirmedBy(StrEnum):
    """What shows that a command has taken effect."""

    TRANSACTION = "transaction"
    """The transaction that records it. It changes only the database, and is never sent."""
    ANSWER = "answer"
    """Temporal's response. Only for effects that no run's history shows, such as a change to one of Temporal's own objects."""
    HISTORY = "history"
    """An event in a run's history, seen by the projector."""


class Target(StrEnum):
    """What a command acts on. It determines which column names the target and who may see the command."""

    RUN = "run"
    """A run, in `run_id`. Visible to principals whose scope includes the run."""
    APPROVAL = "approval"
    """An approval, in `approval_id`. Visible to principals whose scope includes its run."""
    WORKFLOW_START = "workflow_start"
    """A workflow to start, in `target`; `run_id` is the new run. Visible to principals whose scope includes the workflow, even if refused before a
    run exists."""
    NAMED = "named"
    """Anything else, in `target`. Visible in every scope."""

    @property
    def column(self) -> str:
        """The column that names the target."""
        return {Target.RUN: "run_id", Target.APPROVAL: "approval_id"}.get(self, "target")


@dataclass(frozen=True, kw_only=True)
class Words:
    """The value from a command's body that the audit log shows next to its kind."""

    paths: tuple[tuple[str, ...], ...]
    """Paths in the body. The first that has a value is used."""
    among: frozenset[str] | None = None
    """The possible values; None for a name. They are texts, because importing the enums takes the command line 0.15 s."""

    def shown(self, value: Any) -> str | None:
        """The value, if it is valid: the body of a refused request may contain anything."""
        if not isinstance(value, str) or len(value) > MAX_WORD:
            return None
        return value if self.among is None or value in self.among else None


@dataclass(frozen=True, kw_only=True)
class Handling:
    """How commands of one kind are handled."""

    confirmed_by: ConfirmedBy
    target: Target
    queued: bool = False
    """Whether it is accepted and queued while Temporal is unreachable. Otherwise the caller gets an error, and the command fails unless it may
    have been sent."""
    words: Words | None = None

    @property
    def sent(self) -> bool:
        """Whether Temporal carries it out."""
        return self.confirmed_by is not ConfirmedBy.TRANSACTION

    @property
    def once_taken(self) -> CommandStatus:
        """Its status once Temporal has accepted it."""
        return CommandStatus.DELIVERED if self.confirmed_by is ConfirmedBy.HISTORY else CommandStatus.APPLIED

    @property
    def ends_with_run(self) -> bool:
        """Whether the end of its run supersedes it after delivery, because its effect can no longer appear in history."""
        return self.confirmed_by is ConfirmedBy.HISTORY and self.target in (Target.RUN, Target.APPROVAL)


MAX_WORD = 255
"""Lists don't show longer values from a body."""

_ON_RUN = Handling(confirmed_by=ConfirmedBy.HISTORY, target=Target.RUN)
_MESSAGE = Handling(confirmed_by=ConfirmedBy.HISTORY, target=Target.RUN, words=Words(paths=(("name",),)))
_RECORDED = Handling(confirmed_by=ConfirmedBy.TRANSACTION, target=Target.NAMED)
_RULE = Handling(
    confirmed_by=ConfirmedBy.TRANSACTION,
    target=Target.NAMED,
    # A proposed rule is nested in the proposer's `wish`.
    words=Words(
        paths=(("effect",), ("wish", "rule", "effect")), among=frozenset({"allow", "require_approval", "deny"})
    ),
)

HANDLING: dict[str, Handling] = {
    CommandKind.RUN_START: Handling(confirmed_by=ConfirmedBy.HISTORY, target=Target.WORKFLOW_START, queued=True),
    CommandKind.RUN_CANCEL: _ON_RUN,
    CommandKind.RUN_TERMINATE: _ON_RUN,
    CommandKind.RUN_PAUSE: _ON_RUN,
    CommandKind.RUN_RESUME: _ON_RUN,
    CommandKind.RUN_INTERRUPT: _ON_RUN,
    CommandKind.RUN_SIGNAL: _MESSAGE,
    CommandKind.RUN_UPDATE: _MESSAGE,
    CommandKind.APPROVAL_DECIDE: Handling(
        confirmed_by=ConfirmedBy.HISTORY,
        target=Target.APPROVAL,
        words=Words(paths=(("verdict",),), among=frozenset({"approved", "rejected"})),
    ),
    CommandKind.APPROVAL_PROPOSE: Handling(confirmed_by=ConfirmedBy.TRANSACTION, target=Target.APPROVAL),
    CommandKind.TOOL_POLICY: _RULE,
    CommandKind.TOOL_DISABLE: _RECORDED,
    CommandKind.TOOL_ENABLE: _RECORDED,
    CommandKind.AGENT_POLICY: _RULE,
    CommandKind.AGENT_DISABLE: _RECORDED,
    CommandKind.AGENT_ENABLE: _RECORDED,
    CommandKind.WORKFLOW_DISABLE: _RECORDED,
    CommandKind.WORKFLOW_ENABLE: _RECORDED,
    CommandKind.AGENT_PUT: _RECORDED,
    CommandKind.AGENT_USE: Handling(
        confirmed_by=ConfirmedBy.TRANSACTION, target=Target.NAMED, words=Words(paths=(("version",),))
    ),
    CommandKind.POLICY_PUT: _RULE,
    CommandKind.POLICY_WITHDRAW: _RECORDED,
    CommandKind.PRINCIPAL_PUT: _RECORDED,
    CommandKind.PRINCIPAL_DISABLE: _RECORDED,
    CommandKind.PRINCIPAL_ENABLE: _RECORDED,
    CommandKind.KEY_CREATE: _RECORDED,
    CommandKind.KEY_REVOKE: _RECORDED,
    CommandKind.SESSION_CODE: _RECORDED,
    CommandKind.SESSION_OPEN: _RECORDED,
    CommandKind.SESSION_CLOSE: _RECORDED,
    CommandKind.SESSION_END: _RECORDED,
    CommandKind.SIGNING_KEY_RETIRE: _RECORDED,
    CommandKind.SIGNING_KEY_REVOKE: _RECORDED,
    CommandKind.VIEW_PUT: _RECORDED,
    CommandKind.VIEW_DELETE: _RECORDED,
    CommandKind.LOGIN_PUT: _RECORDED,
    CommandKind.LOGIN_CLOSE: _RECORDED,
    CommandKind.GRID_MOVE: _RECORDED,
    CommandKind.COMMAND_CONFIRM: _RECORDED,
    CommandKind.COMMAND_WITHDRAW: _RECORDED,
}
"""By `CommandKind`. Keyed by text, because that is what rows hold."""
