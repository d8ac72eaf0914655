"""Deciding approvals: who may, when, and with which digest; and what is sent is exactly what was decided."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.api.enums.v1 import EventType

from agentgrid.control.signing import Signer
from agentgrid.db import principals
from agentgrid.db.session import reading, writing
from agentgrid.db.tables import SigningKey
from agentgrid.domain.approvals import Terms, Verdict, judge
from agentgrid.errors import Unavailable
from agentgrid.protocol import SIGNAL_DECIDE
from agentgrid.temporal import rpc
from tests.api import factories
from tests.api.conftest import Api


async def waiting(api: Api, *, run_over=None, keys=None, terms=None, **over):
    """A run that waits in Temporal, and its open approval."""
    workflow_id = f"approval-{uuid.uuid4()}"
    handle = await api.plane.temporal.start_workflow("Waits", id=workflow_id, task_queue=f"nobody-{workflow_id}")
    run = factories.run(
        workflow_id=workflow_id,
        first_execution_id=handle.first_execution_run_id,
        execution_id=handle.first_execution_run_id,
        status="waiting",
        waiting_on="approval",
        **(run_over or {}),
    )
    approval = factories.approval(run, **over)
    approval.terms = {
        **approval.terms,
        "kind": approval.kind,
        "keys": keys or {api.plane.signer.key_id: api.plane.signer.public_key},
        **(terms or {}),
    }
    await factories.insert(api.plane.engine, run, factories.execution(run), approval)
    return run, approval, handle


async def decide(client, approval, **over):
    body = {"verdict": "approved", "digest": approval.digest, **over}
    return await client.post(f"/api/v1/approvals/{approval.approval_id}/decisions", json=body)


async def signals(handle):
    history = await handle.fetch_history()
    return [
        event.workflow_execution_signaled_event_attributes
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    ]


async def test_a_decision_reaches_exactly_its_execution_signed_and_valid(api: Api, as_):
    _, approval, handle = await waiting(api)

    response = await decide(as_("reviewer"), approval, comment="looks right")

    assert response.status_code == 202, response.text
    command = response.json()["command"]
    assert (command["status"], command["reason"]) == ("delivered", "looks right")
    (signal,) = await signals(handle)
    assert (signal.signal_name, signal.request_id) == (SIGNAL_DECIDE, command["command_id"])
    (payload,) = signal.input.payloads
    judged = judge(Terms.model_validate(approval.terms), payload.data)
    assert judged.verdict is Verdict.APPROVED
    assert (judged.decision.principal, judged.decision.approver) == ("reviewer", "role:approver")
    assert judged.decision.nonce == command["command_id"]


async def test_an_approvers_group_counts_and_is_named_in_the_decision(api: Api, as_):
    _, approval, handle = await waiting(api, approvers=["support-leads"])
    assert (await decide(as_("second"), approval)).status_code == 403
    assert (await decide(as_("reviewer"), approval, verdict="rejected")).status_code == 202
    (signal,) = await signals(handle)
    judged = judge(Terms.model_validate(approval.terms), signal.input.payloads[0].data)
    assert (judged.verdict, judged.decision.approver) == (Verdict.REJECTED, "support-leads")


@contextmanager
def holding(api: Api, older: Signer):
    """The API with one more signing key in its file."""
    plane = api.plane
    api.app.state.plane = replace(plane, signer=replace(plane.signer, older=(older,)))
    try:
        yield
    finally:
        api.app.state.plane = plane


async def test_an_approval_opened_under_an_earlier_key_is_signed_with_it_or_refused(api: Api, as_):
    old = Signer.of(Ed25519PrivateKey.generate())
    _, approval, handle = await waiting(api, keys={old.key_id: old.public_key})
    refused = await decide(as_("reviewer"), approval)
    assert (refused.status_code, refused.json()["current_status"]) == (409, "pending")
    assert "AGENTGRID_SIGNING_KEY_FILE" in refused.json()["detail"]
    detail = (await as_("reviewer").get(f"/api/v1/approvals/{approval.approval_id}")).json()
    assert [action["allowed"] for action in detail["actions"]] == [False, False]
    assert await signals(handle) == []

    with holding(api, old):
        assert (await decide(as_("reviewer"), approval)).status_code == 202
    (signal,) = await signals(handle)
    judged = judge(Terms.model_validate(approval.terms), signal.input.payloads[0].data)
    assert (judged.verdict, judged.decision.key_id) == (Verdict.APPROVED, old.key_id)


async def test_an_approval_that_names_only_a_revoked_key_can_be_decided(api: Api, as_):
    stolen = Signer.of(Ed25519PrivateKey.generate())
    revoked = SigningKey(key_id=stolen.key_id, public_key=stolen.public_key, revoked_at=datetime.now(UTC))
    await factories.insert(api.plane.engine, revoked)
    _, approval, handle = await waiting(api, kind="explicit", keys={stolen.key_id: stolen.public_key})
    with holding(api, stolen):
        assert (await decide(as_("reviewer"), approval, verdict="rejected")).status_code == 202
    assert len(await signals(handle)) == 1


async def test_r37_a_forged_approval_with_the_same_id_does_not_hide_the_genuine_one(api: Api, as_):
    """A forger must have seen the id, so the forged approval opens later; it may name its own execution or the genuine one."""
    run, approval, handle = await waiting(api)
    forged_run, forged, other = await waiting(api, approval_id=approval.approval_id)
    copied_run, _, _ = await waiting(api, approval_id=approval.approval_id, inherited=True)
    refused = factories.decision(forged, 9, judged="refused", reason="forged")
    await factories.insert(api.plane.engine, refused)

    detail = (await as_("reviewer").get(f"/api/v1/approvals/{approval.approval_id}")).json()
    assert (detail["run_id"], detail["decisions"]) == (run.run_id, [])
    assert run.run_id not in (forged_run.run_id, copied_run.run_id)
    response = await decide(as_("reviewer"), approval)

    assert response.status_code == 202, response.text
    (signal,) = await signals(handle)
    assert judge(Terms.model_validate(approval.terms), signal.input.payloads[0].data).verdict is Verdict.APPROVED
    assert await signals(other) == []
    refused = await decide(as_("operator"), approval)
    command = (await as_("auditor").get(f"/api/v1/commands/{refused.json()['command_id']}")).json()
    assert command["run_id"] == run.run_id


@pytest.mark.parametrize("change", ["disabled", "role", "group", "scope", "nothing"])
async def test_r36_a_queued_decision_is_checked_again_on_delivery(
    api: Api, as_, monkeypatch: pytest.MonkeyPatch, change: str
):
    _, approval, handle = await waiting(api, approvers=["support-leads"])
    away, sent = asyncio.Event(), rpc.signal

    async def signal(*args, **kwargs):
        if not away.is_set():
            raise Unavailable("Temporal did not answer in time", outcome_unknown=True)
        await sent(*args, **kwargs)

    monkeypatch.setattr(rpc, "signal", signal)
    response = await decide(as_("reviewer"), approval)
    assert response.status_code == 504, response.text
    path = f"/api/v1/commands/{response.json()['command_id']}"
    async with without(api, change):
        away.set()
        async with asyncio.timeout(60):
            while (command := (await as_("auditor").get(path)).json())["status"] == "pending":
                await asyncio.sleep(0.05)
    assert command["status"] == ("delivered" if change == "nothing" else "refused")
    assert len(await signals(handle)) == (1 if change == "nothing" else 0)


@asynccontextmanager
async def without(api: Api, what: str):
    """Temporarily remove this permission from the reviewer."""
    async with reading(api.plane.engine) as session:
        row = await principals.get(session, "reviewer")
    before = {"name": row.name, "kind": row.kind, "roles": row.roles, "groups": row.groups, "workflows": row.workflows}
    less = {"role": {"roles": ["viewer"]}, "group": {"groups": []}, "scope": {"workflows": ["other_*"]}}.get(what, {})
    async with writing(api.plane.engine) as session:
        await principals.put(session, **(before | less))
        await principals.set_disabled(session, "reviewer", what == "disabled")
    yield
    async with writing(api.plane.engine) as session:
        await principals.put(session, **before)
        await principals.set_disabled(session, "reviewer", False)


PAST = datetime.now(UTC) - timedelta(seconds=1)

REFUSALS = {
    "the initiator": ("both", {"initiator": "both"}, {}, {}, 403, "started the run"),
    "the initiator of the run, under other terms": (
        "both",
        {"initiator": "somebody"},
        {"initiator": "both"},
        {},
        403,
        "started the run",
    ),
    "somebody who is not an approver": ("second", {"approvers": ["support-leads"]}, {}, {}, 403, "is for"),
    "an operator": ("operator", {}, {"initiator": "somebody"}, {}, 403, "role approver"),
    "an administrator": ("admin", {}, {}, {}, 403, "role approver"),
    "a service": ("robot", {}, {}, {}, 403, "only people"),
    "a different digest": ("reviewer", {}, {}, {"digest": "0" * 64}, 409, "digest"),
    "no digest": ("reviewer", {}, {}, {"digest": None}, 422, ""),
    "an unknown verdict": ("reviewer", {}, {}, {"verdict": "maybe"}, 422, ""),
    "other arguments, to an older worker": (
        "reviewer",
        {},
        {},
        {"arguments": {}},
        409,
        "too old for changed arguments",
    ),
    "a comment of a megabyte": ("reviewer", {}, {}, {"comment": "x" * 1_000_000}, 422, ""),
    "an expired approval": ("reviewer", {"expires_at": PAST}, {}, {}, 409, "expired"),
    "an approval not open yet": ("reviewer", {"decidable": False}, {}, {}, 409, "not open for decisions yet"),
    "already approved": ("reviewer", {"status": "approved", "decidable": False}, {}, {}, 409, "is approved"),
    "already rejected": ("reviewer", {"status": "rejected"}, {}, {}, 409, "is rejected"),
    "cancelled": ("reviewer", {"status": "cancelled"}, {}, {}, 409, "is cancelled"),
}


@pytest.mark.parametrize(("who", "over", "run_over", "body", "status", "words"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_an_invalid_decision_is_refused_and_audited_and_nothing_is_sent(
    api, as_, who, over, run_over, body, status, words
):
    _, approval, handle = await waiting(api, run_over=run_over, **over)

    response = await decide(as_(who), approval, **body)

    assert response.status_code == status, response.text
    assert words in response.json()["detail"]
    command = (await as_("auditor").get(f"/api/v1/commands/{response.json()['command_id']}")).json()
    assert (command["kind"], command["status"]) == ("approval.decide", "refused")
    assert (command["approval_id"], command["run_id"]) == (approval.approval_id, approval.run_id)
    assert command["principal"] == who
    assert await signals(handle) == []


async def test_a_run_started_outside_agentgrid_has_no_initiator_and_any_approver_may_decide(api: Api, as_):
    _, approval, handle = await waiting(api, initiator=None, run_over={"initiator": "unknown", "trigger": "external"})
    detail = (await as_("reviewer").get(f"/api/v1/approvals/{approval.approval_id}")).json()
    assert detail["initiator"] == "unknown"
    assert (await decide(as_("reviewer"), approval)).status_code == 202
    assert len(await signals(handle)) == 1


async def test_deciding_for_a_run_that_has_just_ended_is_a_conflict(api: Api, as_):
    _, approval, handle = await waiting(api)
    await handle.terminate()
    response = await decide(as_("reviewer"), approval)
    assert (response.status_code, response.json()["current_status"]) == (409, "cancelled")


async def test_the_same_decision_under_one_idempotency_key_is_sent_once(api: Api, as_):
    _, approval, handle = await waiting(api)
    body = {"verdict": "approved", "digest": approval.digest}
    path = f"/api/v1/approvals/{approval.approval_id}/decisions"
    answers = await asyncio.gather(
        *(as_("reviewer").post(path, json=body, headers={"Idempotency-Key": "k"}) for _ in range(5))
    )
    assert {response.status_code for response in answers} == {202}
    assert len({response.json()["command"]["command_id"] for response in answers}) == 1
    assert len(await signals(handle)) == 1


async def test_reading_decides_nothing(api: Api, as_):
    _, approval, handle = await waiting(api)
    place = f"/api/v1/approvals/{approval.approval_id}"
    for method in ("GET", "HEAD"):
        for path in (place, f"{place}/decisions", f"{place}/decisions?verdict=approved&digest={approval.digest}"):
            await as_("reviewer").request(method, path)
    assert await signals(handle) == []


async def test_an_approval_shows_the_arguments_the_digest_and_what_this_caller_may_do(api: Api, as_):
    run, approval, _ = await waiting(api)
    await factories.insert(
        api.plane.engine, factories.decision(approval, 9, judged="refused", reason="for another run")
    )

    mine = (await as_("reviewer").get(f"/api/v1/approvals/{approval.approval_id}")).json()
    theirs = (await as_("operator").get(f"/api/v1/approvals/{approval.approval_id}")).json()

    assert mine["payload"]["value"] == {"ticket_id": "T-1", "body": "hello"}
    assert (mine["digest"], mine["run_id"]) == (approval.digest, run.run_id)
    assert [action["allowed"] for action in mine["actions"]] == [True, True]
    assert {action["reason"] for action in theirs["actions"]} == {
        "operator started the run, so they can't decide its approvals"
    }
    assert [(item["judged"], item["reason"]) for item in mine["decisions"]] == [("refused", "for another run")]


async def test_an_approval_keeps_the_rules_reason_at_the_time_it_opened(api: Api, as_):
    _, bare, _ = await waiting(api)
    run = factories.run(status="waiting", waiting_on="approval")
    reasoned = factories.approval(run)
    reasoned.terms = {**reasoned.terms, "reason": "over the limit"}
    await factories.insert(api.plane.engine, run, factories.execution(run), reasoned)
    details = [
        (await as_("reviewer").get(f"/api/v1/approvals/{approval.approval_id}")).json() for approval in (bare, reasoned)
    ]
    assert [item["reason"] for item in details] == [None, "over the limit"]


async def test_the_inbox_lists_what_the_caller_can_decide(api: Api, as_):
    _, for_all, _ = await waiting(api, tool="inbox")
    _, for_group, _ = await waiting(api, approvers=["support-leads"], tool="inbox")
    _, own, _ = await waiting(api, initiator="reviewer", run_over={"initiator": "reviewer"}, tool="inbox")
    _, done, _ = await waiting(api, status="approved", tool="inbox")
    _, copy, _ = await waiting(api, inherited=True, tool="inbox")

    async def inbox(name, **params):
        response = await as_(name).get("/api/v1/approvals", params={"tool": "inbox", **params})
        return [item["approval_id"] for item in response.json()["items"]]

    mine = {"status": "pending", "assigned_to": "me"}
    assert await inbox("reviewer", **mine) == [for_group.approval_id, for_all.approval_id]
    assert await inbox("second", **mine) == [own.approval_id, for_all.approval_id]
    assert await inbox("operator", **mine) == []
    assert await inbox("viewer", status="pending") == [own.approval_id, for_group.approval_id, for_all.approval_id]
    assert done.approval_id in await inbox("viewer")
    assert copy.approval_id not in await inbox("viewer")
