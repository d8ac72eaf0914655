"""Authority that was revoked, or that one person created, against running workflows: real workers, real signals."""

from __future__ import annotations

from sqlalchemy import text

from agentgrid.control import api_keys, principals
from agentgrid.db.session import reading, writing
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.projector.rebuild import rebuild_projection
from tests.api.conftest import SETUP
from tests.e2e.conftest import Loop, loop, namespace, seeded_template
from tests.worker import gated

__all__ = ["loop", "namespace", "seeded_template"]

ASK = {"effect": "require_approval", "expires_seconds": 600}


async def person(loop: Loop, name: str, *roles: Role, groups: frozenset[str] = frozenset()) -> None:
    """Create or change a principal directly in the database, with a key the first time."""
    made = Principal(name=name, kind=PrincipalKind.HUMAN, roles=frozenset(roles), groups=groups)
    await principals.put(loop.api.plane.engine, SETUP, made)
    if name not in loop.api.tokens:
        loop.api.tokens[name] = (await api_keys.create(loop.api.plane.engine, SETUP, principal=name)).secret


async def test_r36_a_role_or_group_removed_between_decision_and_effect_stops_the_effect(loop: Loop) -> None:
    for case, changed in (("role", {"roles": ["viewer"], "groups": ["leavers"]}), ("group", {"roles": ["approver"]})):
        await person(loop, "leaver", Role.APPROVER, groups=frozenset({"leavers"}))
        rule = {**ASK, "approvers": ["leavers", "support-leads"]}
        await loop.call("admin", "PUT", "/tools/refund/policy", json=rule)
        run_id = await loop.start("gated", "once")
        approval = await loop.approval(run_id)
        await loop.call("operator", "POST", f"/runs/{run_id}/pause", 202)
        await loop.until(run_id, "paused")
        await loop.decide(approval, who="leaver")
        await loop.call("admin", "PUT", "/principals/leaver", json=changed)

        await loop.call("operator", "POST", f"/runs/{run_id}/resume", 202)

        again = await loop.approval(run_id, after=approval["approval_id"])
        execution_id = (await loop.run(run_id))["executions"][0]["execution_id"]
        assert execution_id not in [execution for _, _, execution in gated.EXECUTED], case
        await loop.decide(again)
        assert (await loop.until(run_id))["status"] == "completed"


async def test_r36_revoking_an_approvers_key_between_decision_and_effect_stops_the_effect(loop: Loop) -> None:
    """The owner of a stolen key is still an approver, but a call that the thief approved is not made."""
    await loop.call("admin", "PUT", "/tools/refund/policy", json=ASK)
    for case in ("once", "explicit"):
        await person(loop, "robbed", Role.APPROVER)
        stolen = await api_keys.create(loop.api.plane.engine, SETUP, principal="robbed")
        loop.api.tokens["thief"] = stolen.secret
        run_id = await loop.start("gated", case)
        approval = await loop.approval(run_id)
        await loop.call("operator", "POST", f"/runs/{run_id}/pause", 202)
        await loop.until(run_id, "paused")
        await loop.decide(approval, who="thief")
        await loop.call("admin", "POST", f"/keys/{stolen.key_id}/revoke")

        await loop.call("operator", "POST", f"/runs/{run_id}/resume", 202)

        again = await loop.approval(run_id, after=approval["approval_id"])
        execution_id = (await loop.run(run_id))["executions"][0]["execution_id"]
        assert execution_id not in [execution for _, _, execution in gated.EXECUTED], case
        await loop.decide(again, who="robbed")
        assert (await loop.until(run_id))["status"] == "completed"


async def test_r36_a_newly_promoted_approvers_decision_counts_at_once(loop: Loop) -> None:
    await loop.call("admin", "PUT", "/tools/refund/policy", json=ASK)
    await person(loop, "anna", Role.ADMIN)
    await person(loop, "novice", Role.VIEWER)
    run_id = await loop.start("gated", "once")
    approval = await loop.approval(run_id)
    try:
        promoted = await loop.call("admin", "PUT", "/principals/novice", 202, json={"roles": ["approver"]})
        await loop.call("anna", "POST", f"/commands/{promoted['command_id']}/confirm")
    finally:
        await person(loop, "anna", Role.VIEWER)
    await loop.decide(approval, who="novice")
    assert (await loop.until(run_id))["status"] == "completed"
    page = await loop.call("reviewer", "GET", f"/approvals?run={run_id}")
    assert [item["approval_id"] for item in page["items"]] == [approval["approval_id"]], (
        "no second approval was requested"
    )


async def test_r22_a_starting_keys_issuers_are_in_the_runs_memo_header_and_terms(
    loop: Loop,
) -> None:
    """The signed memo carries them to the projection; the header carries them to both kinds of approvals, and to children."""
    await loop.call("admin", "PUT", "/tools/refund/policy", json=ASK)
    made = await loop.call("admin", "POST", "/keys", 201, json={"principal": "operator"})
    loop.api.tokens["operator-of-admin"] = made["key"]
    for case in ("once", "explicit"):
        body = {"input": case}
        run_id = (await loop.call("operator-of-admin", "POST", "/workflows/gated/runs", 201, json=body))["run_id"]
        approval = await loop.approval(run_id)
        assert (await loop.run(run_id))["issuers"] == ["admin"]
        await person(loop, "admin", Role.APPROVER)
        try:
            refused = await loop.decide(approval, who="admin", expect=403)
            assert "issued the key" in refused["detail"]
        finally:
            await person(loop, "admin", Role.ADMIN)
        async with reading(loop.api.plane.engine) as session:
            terms = "SELECT terms FROM approvals WHERE approval_id = :id"
            terms_of_call = (await session.execute(text(terms), {"id": approval["approval_id"]})).scalar_one()
        assert (terms_of_call["initiator"], terms_of_call["issuers"]) == ("operator", ["admin"])
        await loop.decide(approval)
        assert (await loop.until(run_id))["status"] == "completed"
    parent = await loop.call(
        "operator-of-admin", "POST", "/workflows/lead_qualification/runs", 201, json={"input": {"lead_id": "L-201"}}
    )
    ended = await loop.until(parent["run_id"])
    (child,) = ended["children"]
    assert (await loop.until(child["run_id"]))["issuers"] == ["admin"]
    await _rebuilt(loop, [parent["run_id"], child["run_id"]])


async def _rebuilt(loop: Loop, run_ids: list[str]) -> None:
    """The projection takes issuers from history, so a rebuild gives the same ones."""
    async with writing(loop.api.plane.engine) as session:
        await session.execute(text("UPDATE runs SET issuers = '{}' WHERE run_id = ANY(:ids)"), {"ids": run_ids})
    await rebuild_projection(loop.settings, run_ids=run_ids)
    for run_id in run_ids:
        assert (await loop.run(run_id))["issuers"] == ["admin"]
