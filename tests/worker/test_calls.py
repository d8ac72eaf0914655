"""A call sends its original arguments, however long it waits and whatever happens to the objects meanwhile (R20)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RawValue
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
)
from temporalio.worker import Replayer, Worker

from agentgrid.domain.effects import Effect
from agentgrid.domain.policies import Rule
from agentgrid.protocol import SIGNAL_CONTROL, ControlSignal, to_payload
from agentgrid.settings import Settings
from agentgrid.testing import Governance
from tests.worker.conftest import kinds, recorded
from tests.worker.serialised import GOT, Changing, Payee, fail_once, pay

ASK = Rule(rule_id="ask", tool="*", effect=Effect.REQUIRE_APPROVAL, expires_seconds=60)
CASES = ["activity", "local", "backoff", "child", "shared"]
EXPECTED: dict[str, Any] = {"child": [1, 1], "shared": [1, 2]}


@pytest.fixture
def governance() -> Governance:
    GOT.clear()
    return Governance()


def workers(client: Client, queue: str, governance: Governance, cached: int = 100) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        workflows=[Changing, Payee],
        activities=[pay, fail_once],
        plugins=[governance.plugin(settings=Settings(policy_refresh_seconds=0.1))],
        max_cached_workflows=cached,
    )


async def ends(handle: WorkflowHandle[Any, Any], governance: Governance, case: str) -> None:
    assert await handle.result() == EXPECTED.get(case, 1)
    assert set(GOT) <= {("one", 1), ("two", 2)}
    assert len(set(GOT)) == len(GOT) or case == "backoff"
    replayer = Replayer(
        workflows=[Changing, Payee],
        plugins=[governance.plugin()],
        data_converter=handle._client.data_converter,
    )
    await replayer.replay_workflow(await handle.fetch_history())


@pytest.mark.parametrize("cached", [0, 100], ids=["uncached", "cached"])
@pytest.mark.parametrize("case", CASES)
async def test_r20_a_pause_does_not_change_a_calls_arguments(
    client: Client, queue: str, governance: Governance, case: str, cached: int
) -> None:
    async with workers(client, queue, governance, cached):
        handle = await client.start_workflow(
            Changing.run,
            case,
            id=f"{case}-{queue}",
            task_queue=queue,
            start_signal=SIGNAL_CONTROL,
            start_signal_args=[RawValue(to_payload(ControlSignal(action="pause")))],
        )
        await recorded(handle, "WORKFLOW_TASK_COMPLETED")
        assert GOT == []
        await handle.signal(SIGNAL_CONTROL, RawValue(to_payload(ControlSignal(action="resume"))))
        await ends(handle, governance, case)


@pytest.mark.parametrize("cached", [0, 100], ids=["uncached", "cached"])
@pytest.mark.parametrize("case", ["activity", "local", "shared"])
async def test_r20_an_approved_call_sends_the_approved_arguments_and_needs_one_approval(
    client: Client, queue: str, governance: Governance, case: str, cached: int
) -> None:
    governance.change(rules=(ASK,))
    async with workers(client, queue, governance, cached):
        handle = await client.start_workflow(Changing.run, case, id=f"{case}-{queue}", task_queue=queue)
        pending = await governance.pending(handle, at_least=2 if case == "shared" else 1)
        assert len({terms.key for terms in pending}) == len({terms.digest for terms in pending}) == len(pending)
        for terms in pending:
            await governance.send(handle, governance.decide(terms))
        await ends(handle, governance, case)
        events = (await handle.fetch_history()).events
    assert kinds(events).count("TIMER_STARTED") == len(pending)


@pytest.mark.parametrize("cached", [0, 100], ids=["uncached", "cached"])
@pytest.mark.parametrize("case", ["activity", "local", "shared"])
async def test_r20_a_wait_for_policy_does_not_change_a_calls_arguments(
    client: Client, queue: str, governance: Governance, case: str, cached: int
) -> None:
    """The rule requires approval, but no signing key is in force: each call waits on a timer, then is made again."""
    keys = governance.snapshot.public_keys
    governance.change(rules=(ASK,), public_keys={})
    async with workers(client, queue, governance, cached):
        handle = await client.start_workflow(Changing.run, case, id=f"{case}-{queue}", task_queue=queue)
        async with asyncio.timeout(60):
            await recorded(handle, "TIMER_STARTED")
        assert GOT == []
        governance.change(rules=(), public_keys=keys)
        await ends(handle, governance, case)


@pytest.mark.parametrize("case", CASES)
async def test_r20_a_call_without_a_wait_sends_its_original_arguments(
    client: Client, queue: str, governance: Governance, case: str
) -> None:
    async with workers(client, queue, governance):
        handle = await client.start_workflow(Changing.run, case, id=f"{case}-{queue}", task_queue=queue)
        await ends(handle, governance, case)


class Naming(JSONPlainPayloadConverter, WithSerializationContext):
    """JSON that records the context it was serialised in."""

    def __init__(self, context: SerializationContext | None = None) -> None:
        super().__init__()
        self.context = context

    def with_context(self, context: SerializationContext) -> Naming:
        return Naming(context)

    def to_payload(self, value: Any) -> Payload | None:
        payload = super().to_payload(value)
        if payload is not None:
            context = {} if self.context is None else vars(self.context)
            seen = {name: item for name, item in context.items() if name in ("activity_type", "is_local", "namespace")}
            payload.metadata["context"] = repr((type(self.context).__name__, sorted(seen.items()))).encode()
        return payload


class NamingConverter(CompositePayloadConverter):
    def __init__(self) -> None:
        defaults = DefaultPayloadConverter.default_encoding_payload_converters
        super().__init__(*(Naming() if payload.encoding == "json/plain" else payload for payload in defaults))


class Reversing(PayloadCodec):
    """A codec whose output obviously isn't JSON."""

    async def encode(self, payloads: Any) -> list[Payload]:
        return [
            Payload(metadata={**payload.metadata, "reversed": b"1"}, data=payload.data[::-1]) for payload in payloads
        ]

    async def decode(self, payloads: Any) -> list[Payload]:
        return [Payload(metadata=payload.metadata, data=payload.data[::-1]) for payload in payloads]


@pytest.mark.parametrize("case", ["activity", "child"])
async def test_payloads_are_the_same_as_without_the_plugin_under_any_converter_and_codec(
    temporal_server: Any, queue: str, governance: Governance, case: str
) -> None:
    converter = DataConverter(payload_converter_class=NamingConverter, payload_codec=Reversing())
    client = await Client.connect(temporal_server.address, data_converter=converter)
    sent: list[Any] = []
    for plugins in ([], [governance.plugin()]):
        name = f"{queue}-{len(sent)}"
        async with Worker(
            client, task_queue=name, workflows=[Changing, Payee], activities=[pay, fail_once], plugins=plugins
        ):
            handle = await client.start_workflow(
                Changing.run, case, id=f"{case}-{name}", task_queue=name, run_timeout=timedelta(seconds=30)
            )
            assert await handle.result() == EXPECTED.get(case, 1)
            sent.append([_sent(event) for event in (await handle.fetch_history()).events if _sent(event)])
    assert sent[0] == sent[1]
    assert b"reversed" in sent[0][0][0].SerializeToString()


def _sent(event: Any) -> list[Payload]:
    """The arguments of an activity or a child, and the child's memo."""
    if event.HasField("activity_task_scheduled_event_attributes"):
        return list(event.activity_task_scheduled_event_attributes.input.payloads)
    if event.HasField("start_child_workflow_execution_initiated_event_attributes"):
        child = event.start_child_workflow_execution_initiated_event_attributes
        return [*child.input.payloads, child.memo.fields["order"]]
    return []
