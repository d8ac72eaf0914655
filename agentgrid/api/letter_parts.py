"""The parts of an approval's page besides its row: rule, prose, what the agent looked at, the previous approval, who may decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentgrid.api.schemas.approvals import (
    LookedAt,
    PreviousApproval,
    ProseOut,
    RefusedApprover,
    RuleOfApproval,
    ShapeCounts,
    StepOfApproval,
    WhoMayDecide,
)
from agentgrid.api.shown import Shown
from agentgrid.control.plane import Caller
from agentgrid.db.approval_context import Context
from agentgrid.db.approval_letters import MAX_PREVIOUS_BYTES, Letter
from agentgrid.db.approvals import ApprovalFacts
from agentgrid.db.tables import Approval, PolicyRow, Step
from agentgrid.domain.approval_status import ApprovalStatus
from agentgrid.domain.approvals import ARGUMENTS, ApprovalKind, Changes, Terms, Verdict
from agentgrid.domain.policies import plain_title
from agentgrid.domain.principals import ANY_APPROVER, UNKNOWN_INITIATOR
from agentgrid.domain.shapes import arguments_of, cut, label, texts_in

MAX_PROSE = 8_000
MAX_NAMED, MAX_REFUSED = 20, 20


def of(caller: Caller, shown: Shown, facts: ApprovalFacts, letter: Letter, context: Context) -> dict[str, Any]:
    """The fields that `ApprovalLetter` adds, except the schema. shown: what the caller may see in general."""
    row = facts.approval
    seen = shown.of_approval(caller, facts)
    counted = seen.payloads or row.kind != ApprovalKind.EXPLICIT
    return {
        "rule": _rule(row, letter.rule),
        "step": StepOfApproval(execution_id=row.execution_id, event_id=row.step_event_id),
        "authored": _authored(row, seen),
        "prose": _prose(row, letter.turn, context, seen),
        "looked_at": [_looked_at(step, seen) for step in letter.looked_at] if seen.payloads else None,
        "previous": None if letter.previous is None or not counted else _previous(caller, shown, letter.previous),
        "same_shape_30d": _counts(letter) if counted else None,
        "who": _who(facts),
    }


def _rule(row: Approval, rule: PolicyRow | None) -> RuleOfApproval | None:
    if row.policy is None:
        return None
    rule_id = row.policy.rpartition("@")[0] or row.policy
    return RuleOfApproval(
        rule=row.policy,
        rule_id=rule_id,
        title=(rule.title if rule is not None else "") or plain_title(rule_id),
        reason=row.terms.get("reason") or "",
        created_by=None if rule is None else rule.created_by,
        created_at=None if rule is None else rule.created_at,
    )


def _authored(row: Approval, seen: Shown) -> list[str] | None:
    """The arguments written by a model: in an agent's call, all that are or contain text, because nothing else writes them."""
    arguments = arguments_of(row.payload) if row.agent is not None and row.kind == ApprovalKind.TOOL else None
    names: list[str] | None = seen.value(texts_in(arguments or {}))
    return names


def _prose(row: Approval, turn: Step | None, context: Context, seen: Shown) -> ProseOut | None:
    if turn is None or row.agent is None or row.turn is None or not seen.payloads:
        return None
    output, usage = turn.output, turn.usage
    value = output.get("value") if isinstance(output, dict) else None
    text = seen.text(value.get("text")) if isinstance(value, dict) and isinstance(value.get("text"), str) else None
    if not text:
        return None
    model = usage.get("model") if isinstance(usage, dict) else None
    return ProseOut(
        agent=row.agent,
        agent_title=context.agent_titles.get(row.agent, row.agent),
        version=row.agent_version,
        model=model if isinstance(model, str) else None,
        turn=row.turn,
        text=cut(text, MAX_PROSE),
        truncated=len(text) > MAX_PROSE,
    )


def _looked_at(step: Step, seen: Shown) -> LookedAt:
    began = step.started_at or step.scheduled_at
    took = None if step.closed_at is None else round((step.closed_at - began).total_seconds() * 1000)
    return LookedAt(
        execution_id=step.execution_id,
        event_id=step.event_id,
        kind=step.kind,
        name=step.name,
        title=step.title or step.name,
        label=seen.text(label(arguments_of(step.input))) if step.kind == "tool" else None,
        status=step.status,
        took_ms=None if took is None else max(0, took),
    )


def _previous(caller: Caller, shown: Shown, facts: ApprovalFacts) -> PreviousApproval:
    row = facts.approval
    seen = shown.of_approval(caller, facts)
    stored = row.payload if row.changed is None else row.changed
    arguments = arguments_of(stored, row.terms.get("parameters", ()))
    short = isinstance(stored, dict) and stored.get("size", MAX_PREVIOUS_BYTES + 1) <= MAX_PREVIOUS_BYTES
    return PreviousApproval(
        approval_id=row.approval_id,
        run_id=row.run_id,
        reference=facts.run.reference,
        arguments=seen.value(arguments if short and arguments is not None else row.arguments),
        verdict=Verdict(row.status),
        decided_by=row.decided_by if row.attributed else None,
        decided_at=row.closed_at,
    )


def _counts(letter: Letter) -> ShapeCounts:
    ended = letter.ended
    return ShapeCounts(
        approved=ended.get(ApprovalStatus.APPROVED, 0),
        rejected=ended.get(ApprovalStatus.REJECTED, 0),
        expired=ended.get(ApprovalStatus.EXPIRED, 0),
    )


def _who(facts: ApprovalFacts) -> WhoMayDecide:
    row = facts.approval
    terms = facts.terms
    changeable = ARGUMENTS in terms.takes
    second = terms.changes is Changes.SECOND_PERSON
    refused = _refused(facts, terms)
    sentences = [f"{_named(row.approvers)} may decide; one decision is enough."]
    if changeable and second:
        sentences.append(
            "Changed arguments need two people: one proposes them, and another approves exactly the same ones."
        )
    sentences += [f"{refusal.principal} may not decide: they {refusal.why}." for refusal in refused]
    return WhoMayDecide(
        approvers=row.approvers,
        needed=1,
        needed_to_change=(2 if second else 1) if changeable else None,
        refused=refused,
        text=" ".join(sentences),
    )


def _named(approvers: Sequence[str]) -> str:
    """The entries in words, to begin a sentence."""
    if not approvers:
        return "Nobody"
    names = ["anyone with the role approver" if entry == ANY_APPROVER else entry for entry in approvers[:MAX_NAMED]]
    if approvers[0] == ANY_APPROVER:
        names[0] = names[0].capitalize()
    more = len(approvers) - len(names)
    return " or ".join([*names, f"{more} more"] if more else names)


def _refused(facts: ApprovalFacts, terms: Terms) -> list[RefusedApprover]:
    starters = {facts.run.initiator, facts.approval.initiator} - {None, UNKNOWN_INITIATOR}
    reasons: tuple[tuple[set[str | None], str], ...] = (
        (starters, "started the run"),
        ({*terms.issuers, *facts.run.issuers}, "issued the key that started the run"),
        ({terms.changed_by} - {None}, "changed the arguments of this call"),
        (set(terms.changed_issuers), "issued the key used to change the arguments of this call"),
    )
    why: dict[str, str] = {}
    for names, reason in reasons:
        for name in sorted(map(str, names)):
            why.setdefault(name, reason)
    return [RefusedApprover(principal=name, why=reason) for name, reason in list(why.items())[:MAX_REFUSED]]
