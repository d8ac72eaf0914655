"""Previews what a rule would change before it is put in force."""

from __future__ import annotations

from agentgrid.api.schemas.policies import PolicyPreview, PolicyPreviewed, RuleApplied, RuleChange
from agentgrid.control import snapshots
from agentgrid.db import approval_counts, policies, tools
from agentgrid.db.session import ReadSession
from agentgrid.domain.effects import Effect
from agentgrid.domain.lifting import lifted
from agentgrid.domain.policies import AGENT_RULE, TOOL_RULE, Risk, Rule, Snapshot

MAX_SHOWN = 200


async def previewed(session: ReadSession, preview: PolicyPreview, scope: frozenset[str]) -> PolicyPreviewed:
    """The tools whose calls would be treated differently, and the number of pending approvals to be reopened."""
    rows = await policies.in_force(session)
    before = snapshots.of(rows)
    rule = _rule(preview, before)
    others = tuple(other for other in before.rules if other.rule_id != rule.rule_id)
    after = before.model_copy(update={"rules": (*others, rule)})
    risks = {name: Risk(risk) for name, risk in (await tools.risks(session)).items()}
    changes = []
    for name, risk in risks.items():
        old, new = (snapshot.rule_for(name, risk, agent=preview.agent) for snapshot in (before, after))
        if not _equivalent(old, new):
            changes.append(RuleChange(tool=name, before=_applied(old), after=_applied(new)))
    pending = await approval_counts.pending_under(
        session,
        tools=[change.tool for change in changes],
        rules=sorted({change.before.rule for change in changes}),
        agent=preview.agent,
        scope=scope,
    )
    return PolicyPreviewed(
        changes=changes[:MAX_SHOWN],
        total=len(changes),
        asked_again=pending,
        relaxes=list(lifted(before, after, risks))[:MAX_SHOWN],
    )


def _rule(preview: PolicyPreview, before: Snapshot) -> Rule:
    rule_id = f"{TOOL_RULE}{preview.tool}" if preview.agent is None else f"{AGENT_RULE}{preview.agent}"
    version = next((rule.version for rule in before.rules if rule.rule_id == rule_id), 0)
    return Rule(
        rule_id=rule_id,
        version=version + 1,
        tool=preview.tool or "*",
        agent=preview.agent,
        effect=preview.effect,
        approvers=tuple(dict.fromkeys(preview.approvers)),
        expires_seconds=preview.expires_seconds,
        reason="",
        changes=preview.changes,
    )


def _equivalent(old: Rule, new: Rule) -> bool:
    """Whether both rules treat a call the same way."""
    if old.effect is not new.effect:
        return False
    if old.effect is not Effect.REQUIRE_APPROVAL:
        return True
    return (old.approvers, old.expires_seconds, old.changes) == (new.approvers, new.expires_seconds, new.changes)


def _applied(rule: Rule) -> RuleApplied:
    needs_approval = rule.effect is Effect.REQUIRE_APPROVAL
    return RuleApplied(
        rule=rule.reference, effect=rule.effect, approvers=list(rule.approvers) if needs_approval else []
    )
