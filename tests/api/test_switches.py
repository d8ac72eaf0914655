"""Kill switches over the API: on and off, independent of rules, always audited and published."""

from __future__ import annotations

import pytest

from agentgrid.control import switches
from agentgrid.control.plane import Caller
from agentgrid.db.session import WriteSession, reading
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Risk
from agentgrid.domain.switches import SwitchKind, Thing
from agentgrid.errors import Conflict, NotFound
from tests.api import factories
from tests.api.conftest import PRINCIPALS, Api
from tests.api.test_policies import last_command, published

OFF = {"disabled": False, "reason": "", "created_by": None, "created_at": None}


async def test_a_tool_is_disabled_and_enabled_and_its_rule_is_unaffected_r36(api: Api, as_):
    await factories.insert(api.plane.engine, factories.tool("wire", risk="destructive"))
    path = "/api/v1/tools/wire"
    assert (await as_("viewer").get(path)).json()["switch"] == OFF
    rule = {"effect": "require_approval", "approvers": ["support-leads"], "expires_seconds": 600}
    await as_("admin").put(f"{path}/policy", json=rule)
    before = (await as_("viewer").get(path)).json()["policy"]

    disabled = await as_("admin").post(f"{path}/disable", json={"reason": "wrong account"})

    assert disabled.status_code == 200, disabled.text
    switch = disabled.json()["switch"]
    assert (switch["disabled"], switch["reason"], switch["created_by"]) == (True, "wrong account", "admin")
    assert disabled.json()["policy"] == before
    assert "wire" in (await published(api)).disabled_tools
    command = await last_command(as_, "tool.disable")
    assert (command["status"], command["target"], command["reason"]) == ("applied", "wire", "wrong account")
    (listed,) = (await as_("viewer").get("/api/v1/tools", params={"q": "wire"})).json()["items"]
    assert listed["switch"]["disabled"]

    on = await as_("admin").post(f"{path}/enable")

    assert (on.json()["switch"]["disabled"], on.json()["policy"]) == (False, before)
    snapshot = await published(api)
    assert "wire" not in snapshot.disabled_tools
    applied = snapshot.rule_for("wire", Risk.DESTRUCTIVE)
    assert (applied.reference, applied.effect, applied.approvers) == (
        "tool:wire@1",
        Effect.REQUIRE_APPROVAL,
        ("support-leads",),
    )
    assert (await last_command(as_, "tool.enable"))["target"] == "wire"


async def test_putting_changing_or_withdrawing_a_rule_leaves_the_kill_switch_on_r36(api: Api, as_):
    await factories.insert(api.plane.engine, factories.tool("burn"))
    path = "/api/v1/tools/burn"
    await as_("admin").post(f"{path}/disable", json={"reason": "smoke"})
    for effect in ("deny", "allow"):
        put = await as_("admin").put(f"{path}/policy", json={"effect": effect})
        assert put.json()["switch"]["disabled"], effect
    await as_("admin").delete("/api/v1/policies/tool:burn")
    assert (await as_("viewer").get(path)).json()["switch"]["reason"] == "smoke"
    assert "burn" in (await published(api)).disabled_tools
    old = await as_("admin").put(f"{path}/policy", json={"effect": "allow", "disabled": False})
    assert (old.status_code, old.json()["faults"][0]["pointer"]) == (422, "/disabled")


async def test_a_disabled_workflow_refuses_starts_with_its_reason_until_enabled(api: Api, as_):
    await factories.insert(api.plane.engine, *factories.workflow("halted", {}))
    path = "/api/v1/workflows/halted"
    assert (await as_("operator").get(path)).json()["switch"] == OFF
    early = await as_("operator").post(f"{path}/runs", json={"input": 1}, headers={"Idempotency-Key": "early"})
    assert early.status_code == 201

    put = await as_("admin").post(f"{path}/disable", json={"reason": "it floods the CRM"})

    assert put.status_code == 200, put.text
    assert (put.json()["switch"]["disabled"], put.json()["switch"]["created_by"]) == (True, "admin")
    assert "halted" in (await published(api)).disabled_workflows
    refused = await as_("operator").post(f"{path}/runs", json={"input": 1})
    assert (refused.status_code, refused.json()["current_status"]) == (409, "disabled")
    assert "it floods the CRM" in refused.json()["detail"]
    audit = await last_command(as_, "run.start")
    assert (audit["status"], audit["target"]) == ("refused", "halted")
    replayed = await as_("operator").post(f"{path}/runs", json={"input": 1}, headers={"Idempotency-Key": "early"})
    assert (replayed.status_code, replayed.json()["run_id"]) == (200, early.json()["run_id"])
    detail = (await as_("operator").get(path)).json()
    start = next(action for action in detail["actions"] if action["verb"] == "start")
    assert (start["allowed"], "it floods the CRM" in start["reason"]) == (False, True)
    (listed,) = (await as_("viewer").get("/api/v1/workflows", params={"q": "halted"})).json()["items"]
    assert listed["switch"]["reason"] == "it floods the CRM"
    command = await last_command(as_, "workflow.disable")
    assert (command["status"], command["target"], command["reason"]) == ("applied", "halted", "it floods the CRM")

    version = (await published(api)).version
    await as_("admin").post(f"{path}/disable", json={"reason": "it floods the CRM"})
    assert (await published(api)).version == version, "already off"
    await as_("admin").post(f"{path}/enable")
    assert "halted" not in (await published(api)).disabled_workflows
    assert (await as_("operator").post(f"{path}/runs", json={"input": 1})).status_code == 201


async def test_a_new_noun_gets_kill_switches_with_one_row(api: Api, as_, monkeypatch: pytest.MonkeyPatch):
    """The table, the snapshot, the refusal and the audit log accept an unknown kind."""

    async def exists(_session: WriteSession, name: str) -> bool:
        return name == "sweeper"

    # A new noun also has its own commands; these stand in for them.
    noun = switches.Noun(disable=CommandKind.TOOL_DISABLE, enable=CommandKind.TOOL_ENABLE, exists=exists)
    monkeypatch.setitem(switches.NOUNS, "robot", noun)
    caller = Caller(principal=PRINCIPALS["admin"], route="test", body={})
    sweeper, tool = Thing("robot", "sweeper"), Thing(SwitchKind.TOOL, "sweeper")
    with pytest.raises(NotFound, match="robot"):
        await switches.put(api.plane, caller, "robot", "mower", disabled=True, reason="")

    command = await switches.put(api.plane, caller, "robot", "sweeper", disabled=True, reason="it bites")

    audit = await last_command(as_, "tool.disable")
    assert (audit["command_id"], audit["target"], audit["reason"]) == (command.command_id, "sweeper", "it bites")
    snapshot = await published(api)
    assert snapshot.refusal(tool, sweeper) == "the robot sweeper is disabled by its kill switch"
    assert snapshot.refusal(tool) is None
    async with reading(api.plane.engine) as session:
        await switches.check(session, tool)
        with pytest.raises(Conflict, match="the robot sweeper is disabled by its kill switch: it bites") as refused:
            await switches.check(session, tool, sweeper)
    assert refused.value.status == "disabled"

    await switches.put(api.plane, caller, "robot", "sweeper", disabled=False, reason="")
    assert (await published(api)).refusal(sweeper) is None
    async with reading(api.plane.engine) as session:
        await switches.check(session, sweeper)


@pytest.mark.parametrize("noun", ["tools", "workflows"])
@pytest.mark.parametrize("verb", ["disable", "enable"])
async def test_only_administrators_set_switches_and_only_for_registered_names(api: Api, as_, noun: str, verb: str):
    name = f"odd_{noun}_{verb}"
    rows = (factories.tool(name),) if noun == "tools" else factories.workflow(name, {})
    await factories.insert(api.plane.engine, *rows)
    before = await published(api)
    path = f"/api/v1/{noun}/{name}/{verb}"
    for who in ("viewer", "operator", "reviewer", "developer", "auditor", "agent", "nobody"):
        assert (await as_(who).post(path)).status_code == 403, who
    refused = await last_command(as_, f"{noun[:-1]}.{verb}")
    assert (refused["status"], refused["target"]) == ("refused", name)
    assert (await as_("admin").post(f"/api/v1/{noun}/none/{verb}")).status_code == 404
    assert (await as_("admin").post(path, json={"reason": "x", "effect": "allow"})).status_code == 422
    assert (await published(api)).version == before.version
    actions = (await as_("viewer").get(f"/api/v1/{noun}/{name}")).json()["actions"]
    assert (verb, False) in [(action["verb"], action["allowed"]) for action in actions]
