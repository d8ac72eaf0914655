"""R37: one approval allows exactly one effect, whatever a workflow's author or a Temporal client does with the decision."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import (
    ActivityFailureError,
    Client,
    Interceptor,
    OutboundInterceptor,
    StartActivityInput,
    WorkflowHandle,
)
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from agentgrid.domain.approvals import Changes, Terms
from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.protocol import HEADER_APPROVAL, HEADER_KEY, to_payload
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from tests.security.hostile import Headers, Hostile, Swapper, Thief
from tests.worker import gated
from tests.worker.conftest import client as client  # the fixture
from tests.worker.conftest import kinds
from tests.worker.conftest import queue as queue
from tests.worker.gated import EXECUTED, refund

ASK = Rule(rule_id="ask", tool="refund", effect=Effect.REQUIRE_APPROVAL, expires_seconds=60)


@pytest.fixture
def governance() -> Governance:
    EXECUTED.clear()
    return Governance(rules=[ASK])


async def requested_terms(handle: WorkflowHandle[Any, Any]) -> Terms:
    async with asyncio.timeout(60):
        while (terms := await handle.query(Hostile.requested_terms)) is None:
            await asyncio.sleep(0.05)
    return Terms.model_validate(terms)


async def test_r37_a_temporal_client_scheduling_the_approved_call_four_times_gets_one_effect(
    client: Client, queue: str, governance: Governance
) -> None:
    """The author's own worker runs the workflow without the plugin. The governed worker runs only the activities."""
    theirs = f"{queue}-theirs"
    async with (
        Worker(client, task_queue=queue, plugins=[governance.plugin(Grid("gated", gated))]),
        Worker(
            client,
            task_queue=theirs,
            workflows=[Hostile],
            interceptors=[Headers()],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ),
    ):
        handle = await client.start_workflow(
            Hostile.run, args=[queue, refund.version], id=f"hostile-{queue}", task_queue=theirs
        )
        decision = governance.decide(await requested_terms(handle))
        assert decision.decision.key == "my-own-key"
        await handle.signal(Hostile.take, decision.model_dump_json())
        ended = await handle.result()
    assert ended.count("refunded 900") == 1
    assert ended.count("ApprovalRequired") == 8
    assert len(EXECUTED) == 1


async def test_r37_setting_the_gates_headers_in_workflow_code_still_requires_approval_for_each_call(
    client: Client, queue: str, governance: Governance
) -> None:
    plugin = governance.plugin(Grid("gated", gated))
    async with Worker(client, task_queue=queue, workflows=[Thief], plugins=[plugin], interceptors=[Headers()]):
        handle = await client.start_workflow(Thief.run, refund.version, id=f"thief-{queue}", task_queue=queue)
        terms = (await governance.pending(handle))[0]
        decision = governance.decide(terms)
        await governance.send(handle, decision)
        stolen = {HEADER_KEY: terms.key, HEADER_APPROVAL: decision.model_dump_json()}
        await handle.signal(Thief.steal, stolen)
        assert await handle.result() == ["refunded 900"]
        scheduled = [
            event.activity_task_scheduled_event_attributes.header.fields
            async for event in handle.fetch_history_events()
            if event.HasField("activity_task_scheduled_event_attributes")
        ]
    assert len(EXECUTED) == 1
    assert [HEADER_APPROVAL in headers for headers in scheduled] == [False, True, False, False, False]
    assert len({headers[HEADER_KEY].data for headers in scheduled}) == 4, "an identical call has a different key"


@pytest.mark.parametrize(
    ("given", "sent", "ended"),
    [
        (500, [900, 700, 500, 500], ["ApprovalRequired", "ApprovalRequired", "refunded 500", "ApprovalRequired"]),
        (None, [500, 900], ["ApprovalRequired", "refunded 900"]),
    ],
    ids=["the change ignored", "a change of the author's own"],
)
async def test_r37_a_decision_admits_exactly_the_arguments_that_the_approver_gave(
    client: Client, queue: str, governance: Governance, given: int | None, sent: list[int], ended: list[str]
) -> None:
    """The author's own worker ignores the approver's change, makes its own, or uses the right call twice."""
    theirs = f"{queue}-theirs"
    async with (
        Worker(client, task_queue=queue, plugins=[governance.plugin(Grid("gated", gated))]),
        Worker(
            client,
            task_queue=theirs,
            workflows=[Swapper],
            interceptors=[Headers()],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ),
    ):
        handle = await client.start_workflow(
            Swapper.run, args=[queue, refund.version, 900, sent], id=f"swapper-{queue}", task_queue=theirs
        )
        arguments = None if given is None else {"order": "order", "cents": given}
        decision = governance.decide(await requested_terms(handle), arguments=arguments)
        await handle.signal(Swapper.take, decision.model_dump_json())
        assert await handle.result() == ended
    assert len(EXECUTED) == 1


async def test_r37_a_change_by_one_person_admits_nothing_if_the_rule_requires_two(
    client: Client, queue: str, governance: Governance
) -> None:
    """The current rule counts, even if the terms shown by the author's worker are older."""
    theirs = f"{queue}-theirs"
    async with (
        Worker(client, task_queue=queue, plugins=[governance.plugin(Grid("gated", gated))]),
        Worker(
            client,
            task_queue=theirs,
            workflows=[Swapper],
            interceptors=[Headers()],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ),
    ):
        for proposer, change, word in (
            (None, {}, "ApprovalRequired"),
            ("second", {"revoked_principals": frozenset({"second"})}, "ApprovalRequired"),
            ("second", {}, "refunded 500"),
        ):
            entries = {name: frozenset({"role:approver"}) for name in ("reviewer", "second")}
            handle = await client.start_workflow(
                Swapper.run, args=[queue, refund.version, 900, [500]], id=f"two-{uuid.uuid4()}", task_queue=theirs
            )
            terms = await requested_terms(handle)
            arguments = {"order": "order", "cents": 500}
            decision = governance.decide(terms, arguments=arguments, proposer=proposer, proposal=proposer and "c")
            two = ASK.model_copy(update={"changes": Changes.SECOND_PERSON})
            governance.change(
                **{"rules": (two,), "approver_entries": entries, "revoked_principals": frozenset()} | change
            )
            await handle.signal(Swapper.take, decision.model_dump_json())
            assert await handle.result() == [word]
    assert len(EXECUTED) == 1


class Presenting(Interceptor):
    """A client that sets these headers on the activities it starts."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = {name: to_payload(value) for name, value in headers.items()}

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Presenting(next, self.headers)


class _Presenting(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, headers: dict[str, Any]) -> None:
        super().__init__(next)
        self._headers = headers

    async def start_activity(self, input: StartActivityInput) -> Any:
        return await super().start_activity(dataclasses.replace(input, headers={**input.headers, **self._headers}))


async def test_r37_a_decision_presented_on_a_clients_own_activity_admits_nothing(
    client: Client, queue: str, governance: Governance
) -> None:
    async with Worker(client, task_queue=queue, plugins=[governance.plugin(Grid("gated", gated))]):
        handle = await client.start_workflow("gated", "", id=f"asks-{queue}", task_queue=queue)
        terms = (await governance.pending(handle))[0]
        headers = {HEADER_KEY: terms.key or "", HEADER_APPROVAL: governance.decide(terms).model_dump_json()}
        config = client.config()
        config["interceptors"] = [Presenting(headers)]
        with pytest.raises(ActivityFailureError):
            await Client(**config).execute_activity(
                "tool.refund",
                {"tool": "refund", "version": refund.version, "args": {"order": "order", "cents": 900}},
                id=f"presents-{uuid.uuid4()}",
                task_queue=queue,
                start_to_close_timeout=timedelta(seconds=10),
            )
        await handle.terminate()
    assert EXECUTED == []


async def test_r24_a_decision_for_one_call_does_not_let_an_identical_call_through(
    client: Client, queue: str, governance: Governance
) -> None:
    """Both approvals are open in one execution for the same arguments. They differ only in approval id and call key."""
    async with Worker(client, task_queue=queue, plugins=[governance.plugin(Grid("gated", gated))]):
        handle = await client.start_workflow("gated", "equal", id=f"equal-{queue}", task_queue=queue)
        one, other = await governance.pending(handle, at_least=2)
        assert one.digest == other.digest
        assert one.key != other.key
        await governance.send(handle, governance.decide(one, approval_id=other.approval_id))
        assert len(await governance.pending(handle, at_least=2)) == 2
        await governance.send(handle, governance.decide(one))
        async with asyncio.timeout(60):
            while len(EXECUTED) < 1:
                await asyncio.sleep(0.05)
        assert [terms.approval_id for terms in await governance.pending(handle)] == [other.approval_id]
        await governance.send(handle, governance.decide(other))
        assert await handle.result() == ["refunded 900", "refunded 900"]
    assert len(EXECUTED) == 2
    assert "WORKFLOW_TASK_FAILED" not in kinds((await handle.fetch_history()).events)
