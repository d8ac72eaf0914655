"""A second project for the console's screenshots: many concurrent steps, an unreachable carrier, and a wait of hours."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, Field
from temporalio import workflow

import agentgrid as ag

SHORT = timedelta(seconds=90)
UNREACHABLE = "O-7003"
"""The order whose carrier is unreachable."""
UNSELLABLE = frozenset({"SKU-0042", "SKU-0107", "SKU-0163"})


@ag.tool(title="Reserve stock", risk="write", timeout=SHORT, idempotent=True, tags=("stock",))
async def reserve_stock(sku: str, quantity: int) -> int:
    """Reserve goods for an order."""
    await asyncio.sleep(0.2)
    return quantity


@ag.tool(title="Book carrier", risk="write", timeout=SHORT, retries=50, tags=("shipping",))
async def book_carrier(order_id: str, carrier: str) -> str:
    """Book the collection of a parcel."""
    await asyncio.sleep(0.3)
    if order_id == UNREACHABLE:
        raise ConnectionError(f"{carrier} answered 503: maintenance until 18:00")
    return f"{carrier}-{order_id}"


@ag.tool(title="Confirm delivery", risk="read", timeout=SHORT, tags=("shipping",))
async def confirm_delivery(booking: str) -> bool:
    """Whether the parcel has arrived."""
    return bool(booking)


@ag.tool(
    title="Reprice item",
    risk="write",
    timeout=SHORT,
    retries=0,
    tags=("catalogue",),
    reach=("Changes what customers pay",),
)
async def reprice_item(sku: str, percent: Annotated[int, ag.unit("%")]) -> int:
    """Change one price."""
    await asyncio.sleep(0.05)
    if sku in UNSELLABLE:
        raise ag.ToolError(f"{sku} is no longer sold", retryable=False)
    return percent


class Line(BaseModel):
    """Goods of an order."""

    sku: str
    quantity: int = Field(ge=1, le=100)


class OrderInput(BaseModel):
    """Which order to fulfil, and how."""

    order_id: str
    lines: list[Line] = Field(min_length=1)
    carrier: str = "Nordpost"


@ag.workflow(title="Fulfil order", tags=("orders",))
class FulfilOrder:
    """Reserve the goods, book a carrier, and check that they arrived."""

    @workflow.run
    async def run(self, order: OrderInput) -> str:
        await asyncio.gather(*[reserve_stock(line.sku, line.quantity) for line in order.lines])
        booking = await book_carrier(order.order_id, order.carrier)
        ag.log.info("carrier_booked", order=order.order_id, carrier=order.carrier)
        await workflow.sleep(timedelta(hours=6))
        await confirm_delivery(booking)
        return booking


class RepriceInput(BaseModel):
    """How much prices change."""

    percent: Annotated[int, ag.unit("%")] = Field(ge=-30, le=30, description="Negative values lower prices.")
    items: int = Field(default=200, ge=1, le=1000)


@ag.workflow(title="Reprice catalogue", tags=("catalogue",))
class RepriceCatalogue:
    """Change the price of each item, all concurrently."""

    @workflow.run
    async def run(self, change: RepriceInput) -> int:
        skus = [f"SKU-{number:04}" for number in range(1, change.items + 1)]
        done = await asyncio.gather(*[reprice_item(sku, change.percent) for sku in skus], return_exceptions=True)
        failed = sum(isinstance(result, Exception) for result in done)
        ag.log.warning("items_not_repriced", failed=failed)
        await workflow.sleep(timedelta(hours=1))
        return len(done) - failed
