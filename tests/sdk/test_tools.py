"""A tool outside a workflow is the plain function it was made of; on the wire it is JSON both ways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import BaseModel
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

import agentgrid as ag
from agentgrid.protocol import ToolCall


class Order(BaseModel):
    id: str
    total: Decimal


@ag.tool(title="Price an order", risk="read", timeout=timedelta(seconds=5))
async def price(order: Order, at: datetime, factor: int = 2) -> Order:
    return Order(id=order.id, total=order.total * factor)


ORDER = Order(id="o", total=Decimal("1.50"))
AT = datetime(2026, 1, 1, tzinfo=UTC)


async def test_outside_a_workflow_it_just_runs() -> None:
    assert await price(ORDER, AT) == Order(id="o", total=Decimal("3.00"))
    assert ag.idempotency_key() == ""


async def test_arguments_and_results_survive_the_wire_with_their_types() -> None:
    values = price.signature.dump_arguments(ORDER, at=AT)
    assert values == {"order": {"id": "o", "total": "1.50"}, "at": "2026-01-01T00:00:00Z", "factor": 2}
    outcome = await ActivityEnvironment().run(
        price.as_activity(), ToolCall(tool="price", version=price.version, args=values)
    )
    assert outcome.result == {"id": "o", "total": "3.00"}


async def test_wrong_arguments_on_the_wire_are_a_final_error() -> None:
    with pytest.raises(ApplicationError) as caught:
        await ActivityEnvironment().run(
            price.as_activity(), ToolCall(tool="price", version="", args={"order": {"id": 1}, "more": 1})
        )
    assert caught.value.type == "ToolInputInvalid"
    assert caught.value.non_retryable


def test_a_wrong_call_is_refused_before_anything_is_scheduled() -> None:
    with pytest.raises(TypeError):
        price.signature.dump_arguments(ORDER)
    with pytest.raises(ValueError, match="total"):
        price.signature.dump_arguments({"id": "o", "total": "much"}, AT)
