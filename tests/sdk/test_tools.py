"""Outside a workflow, a tool is the plain function that it wraps; on the wire, it is JSON both ways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import BaseModel
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

import agentgrid as ag
from agentgrid.errors import NoIdempotencyKey
from agentgrid.protocol import ToolCall
from agentgrid.testing import keyed


class Order(BaseModel):
    id: str
    total: Decimal


@ag.tool(title="Price an order", risk="read", timeout=timedelta(seconds=5))
async def price(order: Order, at: datetime, factor: int = 2) -> Order:
    return Order(id=order.id, total=order.total * factor)


@ag.tool(title="Pay", risk="write", timeout=timedelta(seconds=5), idempotent=True)
async def pay(cents: int) -> str:
    return ag.idempotency_key()


ORDER = Order(id="o", total=Decimal("1.50"))
AT = datetime(2026, 1, 1, tzinfo=UTC)


async def test_outside_a_workflow_a_tool_just_runs() -> None:
    assert await price(ORDER, AT) == Order(id="o", total=Decimal("3.00"))


async def test_arguments_and_results_keep_their_types_on_the_wire() -> None:
    values = price.signature.dump_arguments(ORDER, at=AT)
    assert values == {"order": {"id": "o", "total": "1.50"}, "at": "2026-01-01T00:00:00Z", "factor": 2}
    outcome = await ActivityEnvironment().run(
        price.as_activity(), ToolCall(tool="price", version=price.version, args=values)
    )
    assert outcome.result == {"id": "o", "total": "3.00"}


async def test_invalid_arguments_on_the_wire_are_a_non_retryable_error() -> None:
    with pytest.raises(ApplicationError) as caught:
        await ActivityEnvironment().run(
            price.as_activity(), ToolCall(tool="price", version="", args={"order": {"id": 1}, "more": 1})
        )
    assert caught.value.type == "ToolInputInvalid"
    assert caught.value.non_retryable


def test_an_invalid_call_is_refused_before_anything_is_scheduled() -> None:
    with pytest.raises(TypeError):
        price.signature.dump_arguments(ORDER)
    with pytest.raises(ValueError, match="total"):
        price.signature.dump_arguments({"id": "o", "total": "much"}, AT)


async def test_two_direct_calls_have_two_keys_and_a_test_can_set_one() -> None:
    first, second = await pay(1), await pay(1)
    assert first
    assert second
    assert first != second
    with keyed("key-1"):
        assert [await pay(1), await pay(1), await pay.fn(1)] == ["key-1"] * 3


async def test_without_a_call_there_is_no_key() -> None:
    with pytest.raises(NoIdempotencyKey, match=r"agentgrid\.testing\.keyed"):
        ag.idempotency_key()
    with pytest.raises(NoIdempotencyKey):
        await pay.fn(1)
    with pytest.raises(NoIdempotencyKey):
        await ActivityEnvironment().run(pay.as_activity(), ToolCall(tool="pay", version="", args={"cents": 1}))
    with keyed("key-1"):
        outcome = await ActivityEnvironment().run(
            pay.as_activity(), ToolCall(tool="pay", version="", args={"cents": 1})
        )
    assert outcome.result == "key-1"
