"""Signals sent without the API: none of them decides an approval, and each is shown with the reason for its refusal."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import Any

import pytest
import temporalio.api.workflowservice.v1 as service
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.client import WorkflowHandle, WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.service import RPCError, RPCStatusCode

from agentgrid.domain.approvals import SignedDecision, Terms, Verdict
from agentgrid.protocol import SIGNAL_DECIDE, to_payload
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance, open_approvals
from tests.e2e import rolling
from tests.e2e.conftest import Loop
from tests.worker import gated

Handle = WorkflowHandle[Any, Any]
RULE = {"effect": "require_approval", "approvers": ["role:approver"], "expires_seconds": 600}
SENDER_IDENTITY = "someone@somewhere"
"""The Temporal identity of these senders."""


@pytest.fixture(autouse=True)
async def policy(loop: Loop) -> None:
    await loop.call("admin", "PUT", "/tools/refund/policy", json=RULE)
    await loop.call("admin", "PUT", "/policies/pay", json={**RULE, "tool": "pay"})


async def run_awaiting_approval(loop: Loop) -> tuple[str, dict[str, Any], Handle, Terms]:
    run_id = await loop.start("gated", "once")
    approval = await loop.approval(run_id)
    handle = loop.client.get_workflow_handle(run_id)
    (terms,) = await open_approvals(handle)
    return run_id, approval, handle, terms


async def send(
    loop: Loop, handle: Handle, *payloads: Payload, name: str = SIGNAL_DECIDE, identity: str = SENDER_IDENTITY
) -> None:
    """Send any payloads under any signal name, as Temporal's UI, CLI, batch jobs and HTTP API can."""
    await loop.client.workflow_service.signal_workflow_execution(
        service.SignalWorkflowExecutionRequest(
            namespace=loop.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id),
            signal_name=name,
            input=Payloads(payloads=payloads),
            identity=identity,
        )
    )


def signed(loop: Loop, terms: Terms, **changed: Any) -> SignedDecision:
    """A decision signed with the API's own signing key, as a thief of that key could make it."""
    signer = loop.api.plane.signer
    person = {"key": signer.private_key, "key_id": signer.key_id, "principal": "reviewer", "approver": "role:approver"}
    return Governance().decide(terms, changed.pop("verdict", Verdict.APPROVED), **(person | changed))


def json_payload(data: bytes, encoding: bytes = b"json/plain") -> Payload:
    return Payload(metadata={"encoding": encoding}, data=data)


def broken(decision: SignedDecision, **changed: Any) -> Payload:
    """The decision with changed fields; None removes one."""
    signal = decision.model_dump(mode="json")
    signal["decision"] = {name: value for name, value in (signal["decision"] | changed).items() if value is not None}
    return to_payload(signal)


UNREADABLE = "not a signed decision"


def shapes(good: SignedDecision) -> dict[str, tuple[list[Payload], str]]:
    """Payloads of many forms, each with the expected reason."""
    raw = good.model_dump_json().encode()
    return {
        "unsigned": ([to_payload({"verdict": "approved"})], UNREADABLE),
        "the decision without its signature": ([to_payload(good.decision)], UNREADABLE),
        "a number": ([to_payload(1)], UNREADABLE),
        "a list": ([to_payload([True])], UNREADABLE),
        "a word": ([to_payload("approved")], UNREADABLE),
        "nothing": ([Payload(metadata={"encoding": b"binary/null"})], ""),
        "a missing field": ([broken(good, nonce=None)], UNREADABLE),
        "an extra field": ([broken(good, also="this")], UNREADABLE),
        "another version": ([broken(good, v=2)], UNREADABLE),
        "an unknown verdict": ([broken(good, verdict="perhaps")], UNREADABLE),
        "a field changed after signing": ([broken(good, principal="second")], "the signature is invalid"),
        "no payload": ([], ""),
        "two payloads": ([to_payload(good), to_payload(good)], ""),
        "bytes": ([json_payload(raw, b"binary/plain")], ""),
        "protobuf": ([json_payload(b"\x08\x01", b"binary/protobuf")], ""),
        "an unknown encoding": ([json_payload(raw, b"x/unknown")], ""),
        "encrypted with another key": ([json_payload(b"sealed", b"binary/encrypted")], ""),
        "no encoding": ([Payload(data=b"\xff")], ""),
        "a very long one": ([json_payload(b'"' + b"x" * 1_900_000 + b'"')], ""),
    }


async def refused(loop: Loop, approval: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Wait until the approval shows this many refusals, and return them; the approval must still be pending."""
    async with asyncio.timeout(30):
        while True:
            shown = await loop.call("auditor", "GET", f"/approvals/{approval['approval_id']}")
            assert shown["status"] == "pending"
            refusals = [decision for decision in shown["decisions"] if decision["judged"] == "refused"]
            if len(refusals) >= count:
                return refusals
            await asyncio.sleep(0.05)


async def test_no_form_of_signal_decides_an_approval_and_each_is_shown_with_its_reason(loop: Loop) -> None:
    run_id, approval, handle, terms = await run_awaiting_approval(loop)
    forged = signed(loop, terms, key=Ed25519PrivateKey.generate())
    table = shapes(forged)
    for payloads, _ in table.values():
        await send(loop, handle, *payloads)
    shown = await refused(loop, approval, len(table))
    assert len(shown) == len(table)
    for (name, (_, reason)), signal in zip(table.items(), shown, strict=True):
        assert signal["reason"], name
        assert reason in signal["reason"], (name, signal["reason"])
        assert (signal["identity"], signal["command_id"]) == (SENDER_IDENTITY, None)
    assert (await loop.run(run_id))["refused_signals"] == len(table)
    assert "agentgrid_signals_refused" in await metrics(loop)
    await assert_only_the_api_decides(loop, run_id, approval)


@pytest.mark.parametrize("encoding", [b"binary/plain", b"json/protobuf", b"x/unknown", b"binary/encrypted", b""])
async def test_run_and_approval_agree_on_a_valid_decision_with_an_unusual_encoding(loop: Loop, encoding: bytes) -> None:
    run_id, approval, handle, terms = await run_awaiting_approval(loop)
    data = signed(loop, terms).model_dump_json().encode()
    await send(loop, handle, Payload(metadata={"encoding": encoding} if encoding else {}, data=data))
    async with asyncio.timeout(30):
        while not (shown := await loop.call("auditor", "GET", f"/approvals/{approval['approval_id']}"))["decisions"]:
            await asyncio.sleep(0.05)
    if shown["decisions"][0]["judged"] == "refused":
        await assert_only_the_api_decides(loop, run_id, approval)
    else:
        assert (await loop.until(run_id))["status"] == "completed"
        assert (await loop.call("auditor", "GET", f"/approvals/{approval['approval_id']}"))["status"] == "approved"


async def test_a_signature_of_the_api_decides_only_the_approval_that_it_was_made_for(loop: Loop) -> None:
    other_run, other_approval, _, elsewhere = await run_awaiting_approval(loop)
    run_id, approval, handle, terms = await run_awaiting_approval(loop)
    by_reason = {
        "for another approval": signed(loop, elsewhere),
        "for another run": signed(loop, elsewhere, approval_id=terms.approval_id),
        "for other arguments": signed(loop, terms, digest="0" * 64),
        "under another policy": signed(loop, terms, policy="other@1"),
        "by the initiator of the run": signed(loop, terms, principal="operator"),
        "by somebody who is not among the approvers": signed(loop, terms, approver="nobody"),
        "signed by a key that the terms don't name": signed(loop, terms, key_id="retired"),
        "the signature is invalid": signed(loop, terms, key=Ed25519PrivateKey.generate()),
    }
    environment = signed(loop, terms, namespace="production")
    for decision in (*by_reason.values(), environment):
        await send(loop, handle, to_payload(decision), identity="agentgrid")
    shown = [refusal["reason"] for refusal in await refused(loop, approval, len(by_reason) + 1)]
    assert shown[0] in ("for another approval", "for an approval that is not open here")
    assert shown[1:] == [*list(by_reason)[1:], "for another run"]
    # A hundred repetitions have no more effect than one.
    for _ in range(100):
        await send(loop, handle, to_payload(signed(loop, elsewhere)))
    await refused(loop, approval, len(by_reason) + 101)
    await assert_only_the_api_decides(loop, run_id, approval)
    await assert_only_the_api_decides(loop, other_run, other_approval)


async def test_updates_queries_and_other_signal_names_have_no_effect(loop: Loop) -> None:
    run_id, approval, handle, terms = await run_awaiting_approval(loop)
    good = signed(loop, terms)
    for name in ("agentgrid.decide", "agentgrid.control", "approve"):
        with pytest.raises((WorkflowUpdateFailedError, RPCError)):
            await handle.execute_update(name, RawValue(to_payload(good)))
        with pytest.raises((WorkflowQueryFailedError, RPCError)):
            await handle.query(name, RawValue(to_payload(good)))
    for name in ("approve", "Agentgrid.Decide", "agentgrid_decide", "decide", " ", "\u202e", "x" * 900):
        await send(loop, handle, to_payload(good), name=name)
    shown = await loop.call("auditor", "GET", f"/approvals/{approval['approval_id']}")
    assert (shown["status"], shown["decisions"]) == ("pending", [])
    await assert_only_the_api_decides(loop, run_id, approval)


async def test_a_thousand_malformed_signals_neither_hide_nor_delay_a_decision(loop: Loop) -> None:
    run_id, approval, handle, terms = await run_awaiting_approval(loop)
    junk = [to_payload({"n": 1}), to_payload(signed(loop, terms, key=Ed25519PrivateKey.generate()))]
    for start in range(0, 1_000, 100):
        await asyncio.gather(*(send(loop, handle, junk[number % 2]) for number in range(start, start + 100)))
    await loop.decide(approval)
    assert (await loop.until(run_id, timeout_seconds=60))["status"] == "completed"
    shown = await loop.call("auditor", "GET", f"/approvals/{approval['approval_id']}")
    assert (shown["status"], shown["decided_by"]) == ("approved", "reviewer")
    assert [decision["principal"] for decision in shown["decisions"] if decision["judged"] == "counted"] == ["reviewer"]
    assert (await loop.run(run_id))["refused_signals"] == 1_000
    assert [where for _, _, where in gated.EXECUTED].count(approval["execution_id"]) == 1


async def test_a_decision_before_its_approval_opens_is_refused(loop: Loop) -> None:
    """Sent with the start, signed with the API's key, by an attacker who guessed everything that can be known in advance."""
    _, _, _, terms = await run_awaiting_approval(loop)
    workflow_id = f"early-{uuid.uuid4()}"
    handle = await loop.client.start_workflow(
        "gated",
        "once",
        id=workflow_id,
        task_queue="gated",
        start_signal=SIGNAL_DECIDE,
        start_signal_args=[RawValue(to_payload(signed(loop, terms, workflow_id=workflow_id)))],
    )
    approval = await loop.approval(handle.first_execution_run_id or "")
    assert approval["status"] == "pending"
    assert (await loop.run(approval["run_id"]))["refused_signals"] == 1
    await assert_only_the_api_decides(loop, approval["run_id"], approval)


async def test_a_decision_has_no_effect_on_the_execution_that_continues_the_run(loop: Loop) -> None:
    rolling.PAID.clear()
    async with loop.worker("rolling", Grid("rolling", rolling)):
        async with asyncio.timeout(60):
            while "rolling" not in {
                workflow["name"] for workflow in (await loop.call("operator", "GET", "/workflows"))["items"]
            }:
                await asyncio.sleep(0.05)
        run_id = await loop.start("rolling", 3)
        handle = loop.client.get_workflow_handle(run_id)
        before: str | None = None
        stolen: list[Payload] = []
        for left in (3, 2, 1):
            approval = await loop.approval(run_id, after=before)
            assert len(rolling.PAID) == 3 - left
            terms = (await open_approvals(handle))[-1]
            for payload in stolen:
                await send(loop, handle, payload)
            if stolen:
                await refused(loop, approval, len(stolen))
            stolen.append(to_payload(signed(loop, terms)))
            await loop.decide(approval)
            for payload in stolen:  # also while it continues as new
                for _ in range(5):
                    with contextlib.suppress(RPCError):  # an execution that is just closing accepts none
                        await send(loop, handle, payload)
            before = approval["approval_id"]
        assert (await loop.until(run_id))["status"] == "completed"
    assert rolling.PAID == [3, 2, 1]


@pytest.mark.parametrize("end", ["terminate", "cancel", "delete"])
async def test_ending_a_run_without_the_api_approves_no_call(loop: Loop, end: str) -> None:
    _, approval, handle, _ = await run_awaiting_approval(loop)
    if end == "terminate":
        await handle.terminate("by hand")
    elif end == "cancel":
        await handle.cancel()
    else:
        await loop.client.workflow_service.delete_workflow_execution(
            service.DeleteWorkflowExecutionRequest(
                namespace=loop.client.namespace, workflow_execution=WorkflowExecution(workflow_id=handle.id)
            )
        )
    async with asyncio.timeout(30):
        while not await ended(loop, handle, approval, end):
            await asyncio.sleep(0.05)
    problem = await loop.decide(approval, expect=409)
    assert problem["current_status"]
    assert approval["execution_id"] not in [where for _, _, where in gated.EXECUTED]
    assert (await loop.call("auditor", "GET", f"/approvals/{approval['approval_id']}"))["status"] != "approved"


async def ended(loop: Loop, handle: Handle, approval: dict[str, Any], end: str) -> bool:
    """Whether the run has ended: its approval is closed, or Temporal has deleted the run."""
    if end != "delete":
        return (await loop.call("auditor", "GET", f"/approvals/{approval['approval_id']}"))["status"] != "pending"
    try:
        await handle.describe()
    except RPCError as error:
        return error.status is RPCStatusCode.NOT_FOUND
    return False


async def metrics(loop: Loop) -> str:
    async with loop.api.client("viewer") as http:
        return (await http.get("/metrics")).text


async def assert_only_the_api_decides(loop: Loop, run_id: str, approval: dict[str, Any]) -> None:
    """Check that the call hasn't run yet, and runs once after a decision through the API."""
    execution = approval["execution_id"]
    assert execution not in [where for _, _, where in gated.EXECUTED]
    await loop.decide(approval)
    assert (await loop.until(run_id))["status"] == "completed"
    assert [where for _, _, where in gated.EXECUTED].count(execution) == 1
