"""A hostile administrator who relaxes approval rules: this takes a second administrator, if there is one."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from agentgrid.control import principals
from agentgrid.db.session import writing
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Risk
from tests.api import factories
from tests.api.conftest import SETUP
from tests.security.town import Town, shared, town

__all__ = ["shared", "town"]

RULE = {"tool": "pay*", "effect": "require_approval", "approvers": ["finance"]}
LIFTS = {
    "allowing": ("PUT", "/policies/money", {**RULE, "effect": "allow"}),
    "withdrawing": ("DELETE", "/policies/money", {}),
    "widening its approvers": ("PUT", "/policies/money", {**RULE, "approvers": ["finance", "sales"]}),
    "asking all": ("PUT", "/policies/money", {**RULE, "approvers": ["role:approver"]}),
    "moving it": ("PUT", "/policies/money", {**RULE, "tool": "pay_much*"}),
    "a rule for one tool": ("PUT", "/tools/pay_out/policy", {"effect": "allow"}),
    "a longer glob": ("PUT", "/policies/hole", {"tool": "pay_o*", "effect": "allow"}),
    "an overlapping glob": ("PUT", "/policies/hole", {"tool": "*_by_card_*", "effect": "allow"}),
    "an activity that it matches": ("PUT", "/policies/hole", {"tool": "pay::charge card", "effect": "allow"}),
    "a destructive tool": ("PUT", "/tools/wipe/policy", {"effect": "allow"}),
    "a future tool": ("PUT", "/policies/hole", {"tool": "wipe_*", "effect": "allow"}),
}


async def _ruled(town: Town) -> None:
    async with writing(town.plane.engine) as session:
        await session.execute(text("DELETE FROM tools"))
    await factories.insert(
        town.plane.engine, factories.tool("pay_out"), factories.tool("wipe", risk="destructive"), factories.tool("mail")
    )
    await town.call("anna", "PUT", "/policies/money", json=RULE)


@pytest.mark.parametrize(("method", "path", "body"), LIFTS.values(), ids=LIFTS.keys())
async def test_r22_relaxing_an_approval_rule_takes_the_second_administrator_if_there_is_one(
    town: Town, method: str, path: str, body: dict[str, Any]
) -> None:
    await _ruled(town)
    before = await town.snapshot()

    proposed = await town.call("anna", method, path, 202, json=body)

    assert proposed["outcome"]["proposal"]["lifts"]
    assert (await town.snapshot()).version == before.version
    await town.call("robot", method, path, 403, json=body)
    done = await town.confirm("berta", proposed["command_id"])
    assert (done["outcome"]["changed"], done["outcome"]["confirmed_by"]) == (True, "berta")
    assert "alone" not in done["outcome"]
    assert (await town.snapshot()).version > before.version


TIGHTENED = {
    "denying": ("PUT", "/policies/money", {**RULE, "effect": "deny"}),
    "an unchanged rule": ("PUT", "/policies/money", {**RULE, "reason": "quarter end"}),
    "one more rule": ("PUT", "/policies/more", {"tool": "send*", "effect": "require_approval"}),
    "allowing what is allowed": ("PUT", "/tools/mail/policy", {"effect": "allow"}),
}


@pytest.mark.parametrize(("method", "path", "body"), TIGHTENED.values(), ids=TIGHTENED.keys())
async def test_a_change_that_relaxes_nothing_takes_one_administrator(
    town: Town, method: str, path: str, body: dict[str, Any]
) -> None:
    await _ruled(town)
    await town.call("anna", method, path, 200, json=body)
    newest = (await town.call("auditor", "GET", "/commands?limit=1"))["items"][0]
    assert "lifts" not in newest["outcome"]


async def test_a_sole_administrator_can_relax_a_rule_and_the_audit_records_that_they_were_alone(town: Town) -> None:
    await _ruled(town)
    await principals.set_disabled(town.plane.engine, SETUP, "berta", True)
    await town.call("anna", "DELETE", "/policies/money")
    command = (await town.call("auditor", "GET", "/commands?kind=policy.withdraw"))["items"][0]
    assert (command["status"], command["outcome"]["alone"], command["outcome"]["lifts"]) == (
        "applied",
        True,
        ["pay*", "pay_out"],
    )
    assert "no second administrator" in command["outcome"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [("/principals/berta/disable", {}), ("/principals/berta", {"roles": ["viewer"]})],
    ids=["disabled", "demoted"],
)
async def test_r22_removing_the_second_administrator_does_not_allow_acting_alone_at_once(
    town: Town, path: str, body: dict[str, Any]
) -> None:
    await _ruled(town)
    await town.call("robot", "PUT" if "roles" in body else "POST", path, json=body)
    refused = await town.call("anna", "DELETE", "/policies/money", 403)
    assert refused["code"] == "second_administrator_needed"
    assert (await town.snapshot()).rule_for("pay_out", Risk.WRITE).effect is Effect.REQUIRE_APPROVAL
    async with writing(town.plane.engine) as session:
        await session.execute(text("UPDATE commands SET created_at = created_at - interval '7 days'"))
    await town.call("anna", "DELETE", "/policies/money")
