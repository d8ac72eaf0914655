"""The rule that applies to each tool, for the catalog."""

from __future__ import annotations

from collections.abc import Sequence

from agentgrid.api.schemas.tools import ToolPolicyOut
from agentgrid.control import snapshots
from agentgrid.db import policies
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import PolicyRow, ToolRow
from agentgrid.domain.policies import Risk, Rule


def _is_narrow(rule: Rule) -> bool:
    """Whether it covers only some callers or arguments."""
    return rule.agent is not None or bool(rule.when)


class ToolPolicies:
    """The rule for each tool, as a worker with the newest snapshot would apply it to a call by workflow code."""

    def __init__(self, rules: Sequence[PolicyRow]) -> None:
        """rules: the rules in force."""
        snapshot = snapshots.of(list(rules))
        self._snapshot = snapshot.model_copy(
            update={"rules": tuple(rule for rule in snapshot.rules if not _is_narrow(rule))}
        )
        self._narrow = [rule for rule in snapshot.rules if _is_narrow(rule)]
        self._rows = {row.rule_id: row for row in rules}

    @classmethod
    async def read(cls, session: ReadSession) -> ToolPolicies:
        return cls(await policies.in_force(session))

    def of(self, tool: ToolRow) -> ToolPolicyOut:
        rule = self._snapshot.rule_for(tool.name, Risk(tool.risk))
        row = self._rows.get(rule.rule_id)
        return ToolPolicyOut(
            rule=rule.reference,
            tool=rule.tool,
            effect=rule.effect,
            approvers=list(rule.approvers),
            expires_seconds=rule.expires_seconds,
            title="" if row is None else row.title,
            reason=rule.reason,
            also=[narrow.reference for narrow in self._narrow if narrow.fits(tool.name)],
            changes=rule.changes,
            created_by=None if row is None else row.created_by,
            created_at=None if row is None else row.created_at,
        )
