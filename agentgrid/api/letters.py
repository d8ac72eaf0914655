"""Approvals as responses: rows of lists, and the page of one approval. Everything that holds a payload passes through `shown.py`.

An explicit approval's title may quote values, and so may a title that a tool's template builds from the arguments: both are payloads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentgrid.api import actions, letter_parts
from agentgrid.api.schemas.approvals import (
    ApprovalAccepted,
    ApprovalLetter,
    ApprovalRow,
    ApprovalSummary,
    DecisionOut,
    ProposedChange,
)
from agentgrid.api.schemas.commands import CommandSummary
from agentgrid.api.schemas.common import Action
from agentgrid.api.shown import HIDDEN_TITLE, Shown
from agentgrid.control.approvals import signer_for
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import approvals
from agentgrid.db.approval_context import Context
from agentgrid.db.approval_letters import Letter
from agentgrid.db.approval_urgency import is_soon
from agentgrid.db.approvals import ApprovalFacts
from agentgrid.db.pool import Connection
from agentgrid.db.tables import Approval, Command, Control, DecisionRow, Run, ToolVersion
from agentgrid.domain import asks
from agentgrid.domain.approval_status import ApprovalStatus
from agentgrid.domain.approvals import ApprovalKind, Changes
from agentgrid.domain.principals import UNKNOWN_INITIATOR


def summary(row: Approval, run: Run, shown: Shown) -> ApprovalSummary:
    """An approval within its run's response."""
    return ApprovalSummary.model_validate(summary_values(row, run, shown))


def summary_values(row: Approval, run: Run, shown: Shown) -> dict[str, Any]:
    """The fields of `ApprovalSummary`."""
    columns = {name: getattr(row, name) for name in ApprovalSummary.model_fields if hasattr(row, name)}
    explicit = row.kind == ApprovalKind.EXPLICIT
    return columns | {
        "title": shown.text(row.asked) or (HIDDEN_TITLE if explicit else row.title),
        "shape": shown.text(row.shape) if explicit else row.shape,
        "workflow": run.workflow,
        "reference": run.reference,
        "initiator": run.initiator,
        "claimed_initiator": claimed if (claimed := row.initiator or UNKNOWN_INITIATOR) != run.initiator else None,
    }


def rows(
    plane: ControlPlane, caller: Caller, shown: Shown, pairs: Sequence[tuple[Approval, Run]], context: Context
) -> list[ApprovalRow]:
    """Approvals in a list, each with what this caller may see and do."""
    return [
        ApprovalRow.model_validate(row_values(plane, caller, shown, approval, run, context)) for approval, run in pairs
    ]


def row_values(
    plane: ControlPlane, caller: Caller, shown: Shown, row: Approval, run: Run, context: Context
) -> dict[str, Any]:
    """The fields of `ApprovalRow`."""
    facts = context.facts(row, run)
    shown = shown.of_approval(caller, facts)
    version = context.tool(row)
    values = summary_values(row, run, shown)
    return values | {
        "title": _title(row, version, shown) or values["title"],
        "tool_title": _tool_title(row, version, context),
        "workflow_title": context.workflow_titles.get(run.workflow, run.workflow),
        "agent_title": None if row.agent is None else context.agent_titles.get(row.agent, row.agent),
        "reach": [] if version is None else reach(version.reach),
        "undoable": None if version is None else version.undoable,
        "expires_soon": row.status == ApprovalStatus.PENDING and is_soon(row, context.now),
        "payloads_visible": shown.payloads,
        "arguments": shown.value(row.arguments),
        "actions": _actions(plane, caller, facts, context),
    }


def reach(registered: Sequence[str]) -> list[str]:
    """The tool's registered reach, bounded: a worker can register any number of texts of any length."""
    return [asks.line(phrase[: asks.MAX_REACH_TEXT]) for phrase in registered[: asks.MAX_REACH]]


def _title(row: Approval, version: ToolVersion | None, shown: Shown) -> str | None:
    """The title built from the tool's template, if there is one and the caller may see the values in it."""
    if version is None or version.asks is None or not isinstance(row.arguments, dict) or not shown.payloads:
        return None
    return shown.text(asks.title(version.asks, row.arguments, version.input_schema))


def _tool_title(row: Approval, version: ToolVersion | None, context: Context) -> str | None:
    if row.tool is None:
        return None
    return version.title if version is not None else context.tool_titles.get(row.tool, row.tool)


def _actions(plane: ControlPlane, caller: Caller, facts: ApprovalFacts, context: Context) -> list[Action]:
    row = facts.approval
    if (row.execution_id, row.approval_id) in context.copies:
        why = "an earlier approval has the same id, so this one can't be decided"
        return [Action(verb=verb, allowed=False, reason=why) for verb in ("approve", "reject")]
    return actions.of_approval(caller, facts, signer_for(plane, facts))


def page(
    plane: ControlPlane,
    caller: Caller,
    shown: Shown,
    facts: ApprovalFacts,
    answers: Answers,
    letter: Letter,
    context: Context,
) -> ApprovalLetter:
    """An approval with everything a person needs to decide it."""
    version = context.tool(facts.approval)
    return ApprovalLetter.model_validate(
        detail_values(plane, caller, shown, facts, answers)
        | row_values(plane, caller, shown, facts.approval, facts.run, context)
        | letter_parts.of(caller, shown, facts, letter, context)
        | {"input_schema": None if version is None else version.input_schema}
    )


def decision(row: DecisionRow, comment: str | None) -> DecisionOut:
    """A decision signal. The principal is included only if it is attributed."""
    columns = {name: getattr(row, name) for name in DecisionOut.model_fields if hasattr(row, name)}
    return DecisionOut.model_validate(columns | claims(row) | {"comment": comment})


def claims(row: DecisionRow | Control) -> dict[str, Any]:
    """The sender of a signal if it is attributed, otherwise the principal it claims."""
    return {
        "principal": row.principal if row.attributed else None,
        "claimed_principal": None if row.attributed else row.principal,
    }


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Responses to an approval: decision signals with their comments, and proposed changes."""

    decisions: Sequence[tuple[DecisionRow, str | None]]
    proposals: Sequence[Command] = ()


async def answers_to(connection: Connection, row: Approval) -> Answers:
    """The decisions and proposals for this approval."""
    decisions = await approvals.decisions(connection, row)
    needs_second = row.terms.get("changes") == Changes.SECOND_PERSON
    return Answers(
        decisions=decisions, proposals=await approvals.proposals(connection, row.approval_id) if needs_second else ()
    )


def proposal(row: Command, shown: Shown) -> ProposedChange:
    """Changed arguments proposed by an approver."""
    changed = row.body["changed"]
    return ProposedChange(
        command_id=row.command_id,
        principal=row.principal,
        digest=changed["digest"],
        arguments=shown.value(changed["arguments"]),
        comment=shown.text(row.reason),
        created_at=row.created_at,
    )


def accepted(
    plane: ControlPlane, caller: Caller, shown: Shown, facts: ApprovalFacts, answers: Answers, command: CommandSummary
) -> ApprovalAccepted:
    """An approval with the command that delivers the decision."""
    return ApprovalAccepted.model_validate(detail_values(plane, caller, shown, facts, answers) | {"command": command})


def detail_values(
    plane: ControlPlane, caller: Caller, shown: Shown, facts: ApprovalFacts, answers: Answers
) -> dict[str, Any]:
    """The fields of `ApprovalDetail`."""
    shown = shown.of_approval(caller, facts)
    row, run = facts.approval, facts.run
    return summary_values(row, run, shown) | {
        "run_status": run.status,
        "reason": row.terms.get("reason"),
        "call_key": row.terms.get("key"),
        "expires_seconds": row.terms.get("expires_seconds", 0.0),
        "parameters": row.terms.get("parameters", []),
        "payloads_visible": shown.payloads,
        "payload": shown.payload(row.payload),
        "changed": shown.payload(row.changed),
        "proposed_by": row.proposed_by if row.attributed else None,
        "comment": next(
            (shown.text(comment) for signal, comment in answers.decisions if signal.judged == "counted"), None
        ),
        "takes": row.terms.get("takes", []),
        "changes": row.terms.get("changes", Changes.ONE_PERSON),
        "change_refused": shown.text(row.change_refused),
        "proposals": [proposal(command, shown) for command in answers.proposals],
        "decisions": [decision(signal, shown.text(comment)) for signal, comment in answers.decisions],
        "actions": actions.of_approval(caller, facts, signer_for(plane, facts)),
    }
