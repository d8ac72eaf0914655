"""What a rule would change, before it is put."""

from __future__ import annotations

from agentgrid.api.schemas.policies import PolicyPreview, PolicyPreviewed, RuleApplied, RuleChange
from agentgrid.control import snapshots
from agentgrid.db import approval_counts, policies, tools
from agentgrid.db.session import ReadSession
from agentgrid.domain.effects import Effect
from agentgrid.domain.lifting import lifted
from agentgrid.domain.policies import AGENT_RULE, TOOL_RULE, Risk, Rule, Snapshot

MAX_SHOWN = 200


async def previewed(session: ReadSession, asked: PolicyPreview, scope: frozenset[str]) -> PolicyPreviewed:
    """The tools whose calls another rule would apply to, and the pending approvals that would be asked again."""
    rows = await policies.in_force(session)
    before = snapshots.of(rows)
    rule = _rule(asked, before)
    others = tuple(each for each in before.rules if each.rule_id != rule.rule_id)
    after = before.model_copy(update={"rules": (*others, rule)})
    risks = {name: Risk(risk) for name, risk in (await tools.risks(session)).items()}
    changes = []
    for name, risk in risks.items():
        old, new = (each.rule_for(name, risk, agent=asked.agent) for each in (before, after))
        if not _same(old, new):
            changes.append(RuleChange(tool=name, before=_applied(old), after=_applied(new)))
    pending = await approval_counts.pending_under(
        session,
        tools=[each.tool for each in changes],
        rules=sorted({each.before.rule for each in changes}),
        agent=asked.agent,
        scope=scope,
    )
    return PolicyPreviewed(
        changes=changes[:MAX_SHOWN],
        total=len(changes),
        asked_again=pending,
        relaxes=list(lifted(before, after, risks))[:MAX_SHOWN],
    )


def _rule(asked: PolicyPreview, before: Snapshot) -> Rule:
    rule_id = f"{TOOL_RULE}{asked.tool}" if asked.agent is None else f"{AGENT_RULE}{asked.agent}"
    version = next((each.version for each in before.rules if each.rule_id == rule_id), 0)
    return Rule(
        rule_id=rule_id,
        version=version + 1,
        tool=asked.tool or "*",
        agent=asked.agent,
        effect=asked.effect,
        approvers=tuple(dict.fromkeys(asked.approvers)),
        expires_seconds=asked.expires_seconds,
        reason="",
        changes=asked.changes,
    )


def _same(old: Rule, new: Rule) -> bool:
    """Whether a call under either meets the same."""
    if old.effect is not new.effect:
        return False
    asks = old.effect is Effect.REQUIRE_APPROVAL
    what = (old.approvers, old.expires_seconds, old.changes) == (new.approvers, new.expires_seconds, new.changes)
    return what or not asks


def _applied(rule: Rule) -> RuleApplied:
    asks = rule.effect is Effect.REQUIRE_APPROVAL
    return RuleApplied(rule=rule.reference, effect=rule.effect, approvers=list(rule.approvers) if asks else [])
