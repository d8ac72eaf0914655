"""A hostile worker and a hostile Temporal client against the record (R30, R31): nothing they send or write is attributed to a person.

Their signals have effects: anyone who runs a worker can do what its workflows can. But no name is shown unless facts outside history confirm it.
"""

from __future__ import annotations

import asyncio
import base64
import io
import uuid
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import temporalio.api.workflowservice.v1 as service
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.client import WorkflowHandle
from temporalio.common import RetryPolicy, WorkerDeploymentVersion
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker, WorkerDeploymentConfig

from agentgrid.cli import approvals, audit, run_view
from agentgrid.control.signing import Signer
from agentgrid.domain.approvals import ApprovalKind, SignedDecision, Terms, Verdict
from agentgrid.domain.ids import new_id
from agentgrid.projector.rebuild import rebuild_projection
from agentgrid.protocol import (
    BUILD_GATE,
    HEADER_RUN,
    MEMO,
    SIGNAL_CONTROL,
    SIGNAL_DECIDE,
    ControlSignal,
    RunHeader,
    RunMemo,
    to_payload,
)
from agentgrid.sdk.context import current_key
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance, open_approvals
from tests.e2e.conftest import Loop, loop, namespace, seeded_template
from tests.worker import gated
from tests.worker.begins import CONFIG, Begins

__all__ = ["loop", "namespace", "seeded_template"]

Handle = WorkflowHandle[Any, Any]
RULE = {"effect": "require_approval", "approvers": ["role:approver"], "expires_seconds": 600}
FORGER = Ed25519PrivateKey.generate()
"""The hostile worker's own key."""
KEY_IDS: list[str] = []
"""The ids under which it presents its key, one for each call."""
ASKED: set[str] = set()


@activity.defn
async def pay_the_forger() -> str:
    """Requests an approval under terms of its own making."""
    info = activity.info()
    execution_id = info.workflow_run_id or ""
    if execution_id in ASKED:
        return "paid"
    ASKED.add(execution_id)
    terms = Terms(
        approval_id=new_id(),
        kind=ApprovalKind.TOOL,
        title="Pay the invoice",
        namespace=info.namespace,
        workflow_id=info.workflow_id or "",
        execution_id=execution_id,
        digest="0" * 64,
        tool="pay_the_forger",
        key=current_key.get(),
        approvers=("cfo",),
        initiator="alice",
        expires_seconds=600.0,
        keys={KEY_IDS.pop(): base64.b64encode(FORGER.public_key().public_bytes_raw()).decode()},
    )
    raise ApplicationError("needs the cfo", terms.wire(), type="ApprovalRequired", non_retryable=True)


@workflow.defn(sandboxed=False)
class Forging:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(
            pay_the_forger,
            start_to_close_timeout=timedelta(seconds=5),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


@pytest.fixture(autouse=True)
async def policy(loop: Loop) -> None:
    await loop.call("admin", "PUT", "/tools/refund/policy", json=RULE)


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


async def send(loop: Loop, handle: Handle, name: str, payload: Payload, *, request_id: str = "") -> None:
    """Send a signal, as anyone with access to Temporal can."""
    await loop.client.workflow_service.signal_workflow_execution(
        service.SignalWorkflowExecutionRequest(
            namespace=loop.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id),
            signal_name=name,
            input=Payloads(payloads=[payload]),
            identity="agentgrid-api",
            request_id=request_id,
        )
    )


async def pending(handle: Handle) -> Terms:
    async with asyncio.timeout(30):
        while not (opened := await open_approvals(handle)):
            await asyncio.sleep(0.05)
    return opened[-1]


async def shown(loop: Loop, approval_id: str, status: str) -> dict[str, Any]:
    """The approval as the API shows it, once it has this status."""
    approval: dict[str, Any] = {}
    try:
        async with asyncio.timeout(30):
            while approval.get("status") != status:
                async with loop.api.client("auditor") as http:
                    approval = (await http.get(f"/api/v1/approvals/{approval_id}")).json()
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{approval_id} never became {status}: {approval}") from None
    return approval


def printed(renderable: Any) -> str:
    """The command line's output, with single spaces between words."""
    console = Console(file=io.StringIO(), width=500, color_system=None)
    console.print(renderable)
    return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


async def unattributed(loop: Loop, run_id: str) -> list[dict[str, Any]]:
    """The audit's list of unattributed acts on the run."""
    items: list[dict[str, Any]] = (await loop.call("auditor", "GET", f"/commands/unattributed?run={run_id}"))["items"]
    return items


async def metric(loop: Loop) -> float:
    async with loop.api.client("viewer") as http:
        lines = (await http.get("/metrics")).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("agentgrid_signals_unattributed "))


def signed(loop: Loop, terms: Terms, **changed: Any) -> SignedDecision:
    """A decision signed with the API's key, as somebody who stole that key could make it."""
    signer = loop.api.plane.signer
    person = {"key": signer.private_key, "key_id": signer.key_id, "principal": "reviewer", "approver": "role:approver"}
    return Governance().decide(terms, Verdict.APPROVED, **(person | changed))


@pytest.mark.parametrize("named", ["its own key", "the id of the registered key"])
async def test_r30_an_approval_that_an_activity_grants_itself_is_unattributed(loop: Loop, named: str) -> None:
    """An activity raises `ApprovalRequired` with its own public key, and signs as the cfo."""
    before = await metric(loop)
    key_id = "forged" if named == "its own key" else loop.api.plane.signer.key_id
    KEY_IDS.append(key_id)
    queue = unique("forgers")
    async with loop.worker(queue, None, workflows=[Forging], activities=[pay_the_forger]):
        handle = await loop.client.start_workflow(Forging.run, id=unique("forged"), task_queue=queue)
        terms = await pending(handle)
        forged = Governance().decide(
            terms, Verdict.APPROVED, key=FORGER, key_id=key_id, principal="cfo", approver="cfo"
        )
        await send(loop, handle, SIGNAL_DECIDE, to_payload(forged), request_id=forged.decision.nonce)
        assert await handle.result() == "paid"
    approval = await shown(loop, terms.approval_id, "approved")
    why = "it is signed with a key that is not registered here"
    assert (approval["decided_by"], approval["attributed"], approval["unattributed_because"]) == (None, False, why)
    # The run's initiator isn't the one that the worker names either.
    assert (approval["initiator"], approval["claimed_initiator"]) == ("unknown", "alice")
    (signal,) = approval["decisions"]
    assert (signal["judged"], signal["principal"], signal["claimed_principal"]) == ("counted", None, "cfo")
    assert (signal["attributed"], signal["unattributed_because"], signal["command_id"]) == (False, why, None)

    run = await loop.run(approval["run_id"])
    assert (run["initiator"], run["unattributed_signals"]) == ("unknown", 1)
    listed = (await loop.call("auditor", "GET", f"/approvals?run={run['run_id']}"))["items"]
    assert [(item["decided_by"], item["attributed"]) for item in listed] == [(None, False)]
    steps = (await loop.call("operator", "GET", f"/runs/{run['run_id']}/steps"))["items"]
    assert "cfo" not in str(steps)

    assert f"decided by unattributed: {why}" in printed(approvals._detail(approval))
    assert "counted approved unattributed (claims cfo)" in printed(approvals._detail(approval))
    assert "1 unattributed signal affected it" in printed(run_view.run_detail(run))
    (act,) = await unattributed(loop, run["run_id"])
    assert (act["action"], act["claimed_principal"], act["approval_id"]) == ("approved", "cfo", terms.approval_id)
    assert "unattributed (claims cfo) approved" in printed(audit._actions([act]))
    assert (await loop.call("auditor", "GET", f"/commands?run={run['run_id']}"))["items"] == []
    assert await metric(loop) == before + 1


async def test_r30_a_raw_start_with_a_forged_header_and_memo_is_unattributed(loop: Loop) -> None:
    run_id, stranger = new_id(), Signer.of(Ed25519PrivateKey.generate())
    memo = stranger.memo(RunMemo(run_id=run_id, initiator="alice", command_id=new_id()))
    forged = memo.model_copy(update={"key_id": loop.api.plane.signer.key_id})
    request = service.StartWorkflowExecutionRequest(
        namespace=loop.client.namespace, workflow_id=run_id, request_id=new_id(), identity=f"agentgrid:{new_id()}"
    )
    request.workflow_type.name, request.task_queue.name = "gated", "gated"
    encode = loop.client.data_converter.encode
    request.input.payloads.extend(await encode(["once"]))
    request.memo.fields[MEMO].CopyFrom((await encode([forged.model_dump(mode="json", exclude_none=True)]))[0])
    request.header.fields[HEADER_RUN].CopyFrom(to_payload(RunHeader(tree=run_id, initiator="alice")))
    answer = await loop.client.workflow_service.start_workflow_execution(request)

    approval = await loop.approval(answer.run_id)
    run = await loop.run(answer.run_id)
    assert (run["initiator"], run["trigger"]) == ("unknown", "external")
    assert (approval["initiator"], approval["claimed_initiator"]) == ("unknown", "alice")
    assert "started by unknown (the worker claims alice: unverified)" in printed(approvals._detail(approval))
    assert (await loop.call("operator", "GET", "/runs?initiator=alice"))["items"] == []
    await loop.call("operator", "POST", f"/runs/{answer.run_id}/terminate", 202)


async def test_r31_decisions_and_starts_through_the_api_are_attributed(loop: Loop) -> None:
    run_id = await loop.start("gated", "once")
    approval = await loop.approval(run_id)
    assert (approval["initiator"], approval["claimed_initiator"]) == ("operator", None)
    assert approval["attributed"] is None
    command = (await loop.decide(approval))["command"]["command_id"]
    assert (await loop.until(run_id))["status"] == "completed"
    decided = await shown(loop, approval["approval_id"], "approved")
    assert (decided["decided_by"], decided["attributed"], decided["unattributed_because"]) == ("reviewer", True, None)
    (signal,) = decided["decisions"]
    assert (signal["principal"], signal["claimed_principal"], signal["command_id"]) == ("reviewer", None, command)
    assert "decided by reviewer" in printed(approvals._detail(decided))
    assert (await loop.run(run_id))["unattributed_signals"] == 0
    assert await unattributed(loop, run_id) == []


async def test_r31_a_stolen_signing_key_attributes_nothing(loop: Loop) -> None:
    """Its signatures are valid, so the approval takes effect. But there is no matching command."""
    run_id = await loop.start("gated", "once")
    refused = await loop.approval(run_id)
    await loop.decide(refused, who="operator", expect=403)
    command = (await loop.call("auditor", "GET", f"/commands?run={run_id}&status=refused"))["items"][0]
    cases = {
        "no command": {},
        "a command that was refused": {"nonce": command["command_id"], "principal": "reviewer"},
    }
    for name, changed in cases.items():
        if name == "no command":
            terms, run = (await pending(loop.client.get_workflow_handle(run_id))), run_id
        else:
            run = await loop.start("gated", "once")
            await loop.approval(run)
            terms = await pending(loop.client.get_workflow_handle(run))
        decision = signed(loop, terms, **changed)
        handle = loop.client.get_workflow_handle(run)
        await send(loop, handle, SIGNAL_DECIDE, to_payload(decision), request_id=decision.decision.nonce)
        approval = await shown(loop, terms.approval_id, "approved")
        assert (approval["decided_by"], approval["attributed"]) == (None, False), name
        assert approval["unattributed_because"] in (
            "AgentGrid did not send this signal",
            "it does not match the command that it names",
        )
    assert (await loop.call("auditor", "GET", f"/commands/{command['command_id']}"))["status"] == "refused"


async def test_r31_a_signal_with_another_commands_id_settles_nothing(loop: Loop) -> None:
    """Somebody who reads the audit signals another run with the id of a command that awaits delivery."""
    run_id = await loop.start("gated", "forever")
    await loop.until(run_id, "waiting")
    other = await loop.start("gated", "forever")
    await loop.until(other, "waiting")
    command_id = new_id()
    admin = await asyncpg.connect(loop.settings.require_database())
    await admin.execute(
        "INSERT INTO commands (command_id, kind, status, principal, run_id, next_attempt_at) "
        "VALUES ($1, 'run.pause', 'pending', 'operator', $2, now() + interval '1 hour')",
        command_id,
        run_id,
    )
    pause = ControlSignal(action="pause", principal="operator", command_id=command_id)
    try:
        handle = loop.client.get_workflow_handle(other)
        await send(loop, handle, SIGNAL_CONTROL, to_payload(pause), request_id=command_id)
        paused = await loop.until(other, "paused")
        control = paused["last_control"]
        assert (control["principal"], control["claimed_principal"], control["attributed"]) == (None, "operator", False)
        assert await admin.fetchval("SELECT status FROM commands WHERE command_id = $1", command_id) == "pending"
    finally:
        await admin.execute("UPDATE commands SET status = 'failed' WHERE command_id = $1", command_id)
        await admin.close()
    for open_run in (run_id, other):
        await loop.call("operator", "POST", f"/runs/{open_run}/terminate", 202)


async def test_r30_a_pause_without_a_command_is_unattributed(loop: Loop) -> None:
    before = await metric(loop)
    run_id = await loop.start("gated", "forever")
    await loop.until(run_id, "waiting")
    handle = loop.client.get_workflow_handle(run_id)
    await send(loop, handle, SIGNAL_CONTROL, to_payload(ControlSignal(action="pause", principal="alice")))
    run = await loop.until(run_id, "paused")
    control = run["last_control"]
    assert (control["action"], control["principal"], control["claimed_principal"]) == ("pause", None, "alice")
    assert control["unattributed_because"] == "AgentGrid did not send this signal"
    assert run["unattributed_signals"] == 1
    assert "last paused by unattributed (claims alice)" in printed(run_view.run_detail(run))
    (act,) = await unattributed(loop, run_id)
    assert (act["action"], act["claimed_principal"]) == ("pause", "alice")
    assert await metric(loop) == before + 1

    await loop.call("operator", "POST", f"/runs/{run_id}/resume", 202)
    run = await loop.until(run_id, "waiting")
    control = run["last_control"]
    assert (control["action"], control["principal"], control["attributed"]) == ("resume", "operator", True)
    await loop.call("operator", "POST", f"/runs/{run_id}/terminate", 202)


async def test_r31_a_run_is_not_shown_as_governed_just_because_its_worker_claims_it(loop: Loop) -> None:
    """The worker has no plugin, but uses a governed worker's build id, digest included. Its first call refutes the claim."""
    queue = unique("pretenders")
    version = WorkerDeploymentVersion(deployment_name="gated", build_id=f"{BUILD_GATE}{Grid('gated', gated).digest}")
    config = WorkerDeploymentConfig(version=version, use_worker_versioning=False)
    async with Worker(loop.client, task_queue=queue, workflows=[Begins], **CONFIG, deployment_config=config):
        handle = await loop.client.start_workflow(
            "Begins", "calls", id=queue, task_queue=queue, start_signal="go", result_type=str
        )
        assert await handle.result() == "free asked"
    run_id = handle.first_execution_run_id or ""
    async with asyncio.timeout(60), loop.api.client("operator") as http:
        while (await http.get(f"/api/v1/runs/{run_id}")).json().get("status") != "completed":
            await asyncio.sleep(0.1)
    run = await loop.run(run_id)
    assert run["governed"] is False
    steps = (await loop.call("operator", "GET", f"/runs/{run_id}/steps"))["items"]
    assert [step["governed"] for step in steps if step["kind"] == "activity"] == [False, False]


async def test_r6_a_rebuild_gives_the_same_attributions(loop: Loop) -> None:
    """Covers everything done by the tests above, and a key revoked since: revocation does not change attribution."""
    run_id = await loop.start("gated", "once")
    await loop.decide(await loop.approval(run_id))
    await loop.until(run_id)
    admin = await asyncpg.connect(loop.settings.require_database())
    tables = ("decisions", "approvals", "controls")

    async def rows() -> dict[str, list[str]]:
        return {
            table: sorted(record[0] for record in await admin.fetch(f"SELECT row_to_json(t)::text FROM {table} AS t"))
            for table in tables
        }

    try:
        before = await rows()
        assert any('"attributed":true' in row for row in before["decisions"])
        assert all(before[table] for table in ("decisions", "approvals"))
        for table in tables:
            await admin.execute(f"DELETE FROM {table}")
        await admin.execute("UPDATE executions SET fold_version = 0, fold_state = NULL")
        await admin.execute("UPDATE signing_keys SET revoked_at = now()")
        await rebuild_projection(loop.settings)
        assert await rows() == before
    finally:
        await admin.close()
    assert gated.EXECUTED
