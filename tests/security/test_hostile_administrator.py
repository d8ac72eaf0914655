"""A hostile administrator: every way for one person to gain the power to decide, or to keep it after it was revoked.

Uses the real API with real keys. `anna` and `berta` are administrators whose keys were created directly in the database; `robot` is a program
with the role admin.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from agentgrid.control import api_keys, delivery, principals
from agentgrid.db.session import reading, writing
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.api import factories
from tests.api.conftest import SETUP
from tests.security.town import GRANT, V1, Town, shared, town

__all__ = ["shared", "town"]

GRANTS = {
    "the role": ("PUT", "/principals/mole", {"kind": "human", "roles": ["approver"]}),
    "the role for an existing principal": ("PUT", "/principals/viewer", {"roles": ["viewer", "approver"]}),
    "a group": ("PUT", "/principals/reviewer", {"roles": ["approver"], "groups": ["finance"]}),
    "an API key": ("POST", "/keys", {"principal": "reviewer"}),
    "enabling again": ("POST", "/principals/gone/enable", {}),
}


async def _gone(town: Town) -> None:
    await town.person("gone", Role.APPROVER)
    await principals.set_disabled(town.plane.engine, SETUP, "gone", True)


async def test_r22_widening_an_approvers_scope_takes_two_administrators_and_narrowing_it_one(town: Town) -> None:
    """An approver can't decide approvals of workflows out of scope."""
    narrow = {"roles": ["approver"], "workflows": ["crm_*"]}
    assert (await town.call("anna", "PUT", "/principals/reviewer", json=narrow))["workflows"] == ["crm_*"]
    proposed = await town.call(
        "anna", "PUT", "/principals/reviewer", 202, json={**narrow, "workflows": ["crm_*", "pay"]}
    )
    assert proposed["outcome"]["proposal"]["gains"] == ["workflows:pay"]
    assert (await town.call("berta", "GET", "/principals/reviewer"))["workflows"] == ["crm_*"]
    await town.confirm("berta", proposed["command_id"])
    assert (await town.call("berta", "GET", "/principals/reviewer"))["workflows"] == ["crm_*", "pay"]


@pytest.mark.parametrize(("method", "path", "body"), GRANTS.values(), ids=GRANTS.keys())
async def test_r22_granting_the_power_to_decide_takes_two_administrators(
    town: Town, method: str, path: str, body: dict[str, Any]
) -> None:
    await _gone(town)
    before = await town.snapshot()

    proposed = await town.call("anna", method, path, 202, json=body)

    assert (proposed["status"], proposed["principal"]) == ("proposed", "anna")
    assert proposed["command_id"] in proposed["outcome"]["message"]
    assert (await town.snapshot()).version == before.version, "nothing has changed"
    assert len((await town.call("anna", "GET", "/keys?principal=reviewer"))["items"]) == 1
    listed = (await town.call("berta", "GET", "/commands?status=proposed"))["items"]
    assert [command["command_id"] for command in listed] == [proposed["command_id"]]
    assert (await town.call("berta", "GET", f"/commands/{proposed['command_id']}"))["outcome"] == proposed["outcome"]
    assert (await town.call("viewer", "GET", "/commands?status=proposed"))["items"] == []
    refused = await town.confirm("anna", proposed["command_id"], 403)
    assert (await town.command(refused["command_id"]))["kind"] == "command.confirm"

    done = await town.call("berta", "POST", proposed["confirm"].removeprefix(V1))

    assert (done["status"], done["principal"], done["outcome"]["confirmed_by"]) == ("applied", "anna", "berta")
    after = await town.snapshot()
    if path == "/keys":
        assert after.version == before.version
        town.api.tokens["given"] = done["key"]
        key = await town.call("given", "GET", "/me")
        assert key["name"] == "reviewer"
        (listed_key,) = [
            item
            for item in (await town.call("anna", "GET", "/keys?principal=reviewer"))["items"]
            if item["key_id"] == key["key_id"]
        ]
        assert (listed_key["issuers"], listed_key["created_by"]) == (["anna", "berta"], "anna")
        assert (await town.confirm("berta", proposed["command_id"]))["key"] is None, "shown once"
    else:
        assert after.approver_entries != before.approver_entries
        assert done["key"] is None
    audit = (await town.call("auditor", "GET", "/commands?kind=command.confirm&status=applied"))["items"]
    assert audit[-1]["target"] == proposed["command_id"]
    about = {"command_id": proposed["command_id"], "kind": done["kind"], "changed": True}
    assert audit[-1]["outcome"] == {"form": "facts", **about}


@pytest.mark.parametrize(("method", "path", "body"), GRANTS.values(), ids=GRANTS.keys())
async def test_r22_a_sole_administrator_cannot_grant_and_is_told_what_to_do(
    town: Town, method: str, path: str, body: dict[str, Any]
) -> None:
    await _gone(town)
    await town.call("anna", "POST", "/principals/berta/disable")
    before = await town.snapshot()
    refused = await town.call("anna", method, path, 403, json=body)
    assert refused["code"] == "second_administrator_needed"
    assert "agentgrid key create" in refused["detail"]
    assert (await town.command(refused["command_id"]))["status"] == "refused"
    assert (await town.snapshot()).version == before.version
    program = await town.call("robot", method, path, 403, json=body)
    assert "robot is a service" in program["detail"]


async def test_r22_a_second_administrator_created_by_the_first_can_not_confirm(town: Town) -> None:
    """Not with a key created by the first, nor with a key created with that key, nor through a program, nor as a program."""
    await town.call("anna", "PUT", "/principals/sock", json={"kind": "human", "roles": ["admin"]})
    await town.key_by("anna", "sock", "sock")
    again = await town.key_by("sock", "sock", "sock-again")
    assert again["issuers"] == ["anna", "sock"]
    await town.key_by("robot", "sock", "sock-of-robot")
    await town.key_by("anna", "berta", "berta-of-anna")
    proposal = await town.propose("anna", "mole")
    for token in ("sock", "sock-again", "sock-of-robot", "berta-of-anna", "robot"):
        await town.confirm(token, proposal, 403)
    proposal_of_sock = await town.propose("sock", "mole2")
    await town.confirm("anna", proposal_of_sock, 403)
    assert not await town.may_decide("mole")
    for token in ("operator", "reviewer", "auditor"):
        assert (await town.confirm(token, proposal, 403))["code"] == "forbidden"
    await town.confirm("berta", proposal)
    assert await town.may_decide("mole")


async def test_r22_nobody_can_make_themselves_an_approver_under_any_name(town: Town) -> None:
    await town.call("anna", "PUT", "/principals/anna", 403, json={"roles": ["approver"]})
    proposal = str(
        (await town.call("anna", "PUT", "/principals/berta", 202, json={"roles": ["approver"]}))["command_id"]
    )
    refused = await town.confirm("berta", proposal, 403)
    assert "themselves" in refused["detail"]
    await town.call("anna", "POST", f"/commands/{proposal}/withdraw")
    # A key of berta's that anna created also counts as anna's.
    await town.key_by("anna", "berta", "berta-of-anna")
    await town.call("berta-of-anna", "PUT", "/principals/anna", 403, json={"roles": ["approver"]})


async def test_r28_a_key_still_belongs_to_the_issuer_of_the_key_that_created_it(town: Town) -> None:
    """An administrator tries to become an approver: a colleague they created creates a second key, then the first key is revoked."""
    await town.call("anna", "PUT", "/principals/sock", json={"kind": "human", "roles": ["admin"]})
    first = await town.key_by("anna", "sock", "sock")
    second = await town.key_by("sock", "sock", "sock-again")
    await town.call("anna", "POST", f"/keys/{first['key_id']}/revoke")
    await town.call("anna", "PUT", "/principals/sock", json={"roles": ["viewer"]})
    refused = await town.call("anna", "PUT", "/principals/sock", 409, json={"roles": ["approver"]})
    assert second["key_id"] in refused["detail"]


async def test_r22_either_administrator_can_withdraw_a_proposal_once(town: Town) -> None:
    for who in ("anna", "berta"):
        proposal = await town.propose("anna", f"mole-{who}")
        gone = await town.call(who, "POST", f"/commands/{proposal}/withdraw", json={"reason": "no"})
        assert (gone["status"], gone["outcome"]["withdrawn_by"]) == ("refused", who)
        again = await town.call(who, "POST", f"/commands/{proposal}/withdraw")
        assert again["outcome"] == gone["outcome"]
        late = await town.confirm("berta", proposal, 409)
        assert late["current_status"] == "refused"
        assert not await town.may_decide(f"mole-{who}")
    done = await town.propose("anna", "mole")
    await town.confirm("berta", done)
    await town.call("anna", "POST", f"/commands/{done}/withdraw", 409)
    await town.confirm("anna", "no-such-command", 404)
    (started,) = (await town.call("auditor", "GET", "/commands?kind=command.confirm&status=applied"))["items"]
    await town.confirm("berta", started["command_id"], 404)


async def test_r22_of_concurrent_confirm_and_withdraw_one_wins_and_identical_requests_make_one_proposal(
    town: Town,
) -> None:
    headers = {"Idempotency-Key": "once"}
    proposed = [await town.call("anna", "PUT", "/principals/mole", 202, json=GRANT, headers=headers) for _ in range(2)]
    assert len({command["command_id"] for command in proposed}) == 1
    place = f"{V1}/commands/{proposed[0]['command_id']}"
    async with town.api.client("berta") as berta, town.api.client("anna") as anna:
        answers = await asyncio.gather(
            *(berta.post(f"{place}/confirm", headers=headers, json={}) for _ in range(3)),
            anna.post(f"{place}/withdraw", json={}),
        )
    statuses = [answer.status_code for answer in answers]
    assert statuses in ([200, 200, 200, 409], [409, 409, 409, 200]), [answer.text for answer in answers]
    assert await town.may_decide("mole") == (statuses[3] == 409)
    applied = (await town.call("auditor", "GET", "/commands?kind=command.confirm&status=applied"))["items"]
    assert len(applied) == (1 if statuses[3] == 409 else 0)


async def test_r36_a_proposal_is_checked_again_on_confirmation(town: Town) -> None:
    proposal = await town.propose("anna", "viewer", roles=["viewer", "approver"])
    await town.call("anna", "PUT", "/principals/viewer", json={"roles": ["operator"]})
    changed = await town.confirm("berta", proposal, 409)
    assert "changed since" in changed["detail"]

    keyed = await town.propose("anna", "operator", roles=["operator", "approver"])
    await town.key_by("anna", "operator", "operator-of-anna")
    assert "revoke" in (await town.confirm("berta", keyed, 409))["detail"]

    by_leaver = await town.propose("anna", "mole")
    await principals.set_disabled(town.plane.engine, SETUP, "anna", True)
    assert "no longer an administrator" in (await town.confirm("berta", by_leaver, 409))["detail"]
    await principals.set_disabled(town.plane.engine, SETUP, "anna", False)
    stolen = (await town.call("anna", "GET", "/me"))["key_id"]
    await api_keys.revoke(town.plane.engine, SETUP, stolen, reason="stolen")
    assert "revoked" in (await town.confirm("berta", by_leaver, 409))["detail"]
    assert not await town.may_decide("mole")


async def test_r22_a_proposal_expires_by_the_database_clock_and_is_never_delivered(town: Town) -> None:
    proposal = await town.propose("anna", "mole")
    async with writing(town.plane.engine) as session:
        await session.execute(
            text(
                "UPDATE commands SET created_at = now() - interval '7 days', next_attempt_at = now() WHERE status = 'proposed'"
            )
        )
    assert await delivery.deliver_due(town.plane) == 0
    late = await town.confirm("berta", proposal, 409)
    assert "expired" in late["detail"]
    await delivery.expire_proposals(town.plane)
    ended = await town.command(proposal)
    assert (ended["status"], ended["outcome"]["code"]) == ("refused", "expired")
    assert ended["outcome"]["proposal"]["gains"] == ["mole", "role:approver"]
    assert not await town.may_decide("mole")


async def test_r36_a_removed_role_or_group_is_missing_from_the_policy_published_with_the_change(town: Town) -> None:
    """One administrator is enough. The snapshot of that transaction has the new rights, not those read before the change."""
    await principals.put(
        town.plane.engine,
        SETUP,
        Principal(
            name="reviewer", kind=PrincipalKind.HUMAN, roles=frozenset({Role.APPROVER}), groups=frozenset({"finance"})
        ),
    )
    assert (await town.snapshot()).approver_entries["reviewer"] == {"reviewer", "role:approver", "finance"}
    await town.call("anna", "PUT", "/principals/reviewer", json={"roles": ["approver"]})
    assert (await town.snapshot()).approver_entries["reviewer"] == {"reviewer", "role:approver"}
    await town.call("anna", "PUT", "/principals/reviewer", json={"roles": ["viewer"]})
    assert not await town.may_decide("reviewer")
    promoted = await town.propose("anna", "reviewer", roles=["approver"])
    await town.confirm("berta", promoted)
    assert await town.may_decide("reviewer"), (
        "it must apply at once, or a new approver's decisions would be refused repeatedly"
    )


async def test_r22_the_issuer_of_the_starting_key_can_not_decide_the_runs_approvals(town: Town) -> None:
    """The issuer counts as an initiator. A decision with a key issued by an initiator is also refused."""
    await factories.insert(town.plane.engine, *factories.workflow("made", {}))
    await town.key_by("anna", "operator", "operator-of-anna")
    run = await town.call("operator-of-anna", "POST", "/workflows/made/runs", 201, json={"input": 1})
    assert (run["initiator"], run["issuers"]) == ("operator", ["anna"])
    clean = await town.call("operator", "POST", "/workflows/made/runs", 201, json={"input": 1})
    assert clean["issuers"] == []
    issued = factories.run(issuers=["anna"])
    signer = town.plane.signer
    waiting = factories.under(signer, factories.approval(issued))
    free = factories.run()
    other = factories.under(signer, factories.approval(free))
    await factories.insert(
        town.plane.engine, issued, factories.execution(issued), waiting, free, factories.execution(free), other
    )
    # anna becomes an approver directly in the database, and creates a key for the reviewer together with berta.
    await principals.put(
        town.plane.engine,
        SETUP,
        Principal(name="anna", kind=PrincipalKind.HUMAN, roles=frozenset({Role.APPROVER})),
    )
    answers, inboxes = {}, {}
    for who in ("anna", "reviewer"):
        inbox = inboxes[who] = (await town.call(who, "GET", "/approvals?decidable_by=me"))["items"]
        shown = await town.call(who, "GET", f"/approvals/{waiting.approval_id}")
        answers[who] = (
            waiting.approval_id in [item["approval_id"] for item in inbox],
            {action["allowed"] for action in shown["actions"]},
        )
        assert other.approval_id in [item["approval_id"] for item in inbox]
    assert answers["anna"] == (False, {False})
    assert answers["reviewer"][0] is True
    body = {"verdict": "approved", "digest": waiting.digest}
    refused = await town.call("anna", "POST", f"/approvals/{waiting.approval_id}/decisions", 403, json=body)
    assert "issued the key" in refused["detail"]
    counted = await town.call("anna", "GET", "/overview")
    assert counted["approvals_for_me"]["count"] == len(inboxes["anna"])


async def test_r28_nobody_decides_their_own_run_with_somebody_elses_key(town: Town) -> None:
    proposed = await town.call("anna", "POST", "/keys", 202, json={"principal": "reviewer"})
    town.api.tokens["reviewer-of-both"] = (await town.confirm("berta", proposed["command_id"]))["key"]
    runs = {
        "started by an issuer": factories.run(initiator="berta"),
        "started with an issuer's key": factories.run(issuers=["anna"]),
    }
    for run in runs.values():
        waiting = factories.approval(run)
        await factories.insert(town.plane.engine, run, factories.execution(run), waiting)
        place, body = f"/approvals/{waiting.approval_id}", {"verdict": "approved", "digest": waiting.digest}
        refused = await town.call("reviewer-of-both", "POST", f"{place}/decisions", 403, json=body)
        assert "took part in starting" in refused["detail"]
        inbox = (await town.call("reviewer-of-both", "GET", "/approvals?assigned_to=me&status=pending"))["items"]
        assert waiting.approval_id not in [item["approval_id"] for item in inbox]
        assert {action["allowed"] for action in (await town.call("reviewer-of-both", "GET", place))["actions"]} == {
            False
        }


@pytest.mark.parametrize("initiator", [None, "somebody-else"])
async def test_r22_an_approval_without_its_runs_initiator_can_not_be_decided(town: Town, initiator: str | None) -> None:
    """The run's signed memo names the operator, but the waiting call names nobody or somebody else: fail closed."""
    run = factories.run(initiator="operator")
    waiting = factories.approval(run, initiator=initiator)
    outside = factories.run(initiator="unknown", trigger="external")
    free = factories.approval(outside, initiator=None)
    await factories.insert(
        town.plane.engine, run, factories.execution(run), waiting, outside, factories.execution(outside), free
    )
    body = {"verdict": "approved", "digest": waiting.digest}
    refused = await town.call("reviewer", "POST", f"/approvals/{waiting.approval_id}/decisions", 409, json=body)
    assert "but operator started it" in refused["detail"]
    shown = await town.call("reviewer", "GET", f"/approvals/{free.approval_id}")
    assert (shown["initiator"], "started it" in str(shown["actions"])) == ("unknown", False)


async def test_a_proposed_key_does_not_exist_before_confirmation_and_its_lifetime_starts_then(town: Town) -> None:
    headers = {"Idempotency-Key": "one key"}
    body = {"principal": "reviewer", "lifetime_seconds": 3600, "note": "a laptop"}
    proposed = await town.call("anna", "POST", "/keys", 202, json=body, headers=headers)
    again = await town.call("anna", "POST", "/keys", 202, json=body, headers=headers)
    assert again["command_id"] == proposed["command_id"]
    async with writing(town.plane.engine) as session:
        await session.execute(text("UPDATE commands SET created_at = created_at - interval '2 hours'"))
    done = await town.confirm("berta", proposed["command_id"])
    town.api.tokens["given"] = done["key"]
    assert (await town.call("given", "GET", "/me"))["name"] == "reviewer"
    (made,) = [item for item in (await town.call("anna", "GET", "/keys"))["items"] if item["note"] == "a laptop"]
    assert made["key_id"] == proposed["target"]
    shown = await town.call("anna", "POST", "/keys", 200, json=body, headers=headers)
    assert (shown["key_id"], shown["key"]) == (made["key_id"], None)
    async with reading(town.plane.engine) as session:
        rows = (await session.execute(text("SELECT row_to_json(c)::text FROM commands c"))).scalars().all()
    secret = done["key"].removeprefix(f"ag_{made['key_id']}_")
    assert not any(secret in row for row in rows), "the secret is not stored"
