"""A workflow whose calls an approver may change: a tool with its own check, remote and local."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity, workflow

import agentgrid as ag

EXECUTED: list[tuple[str, int, str]] = []
"""What actually ran: tool, cents, idempotency key."""


LIMITS = {True: "up"}
"""Deliberately lacks an entry for negative amounts: a bug in the check."""


def affordable(order: str, cents: int) -> None:
    LIMITS[cents >= 0]
    if cents > 1_000:
        raise ValueError("at most 1,000 cents")


@ag.tool(title="Pay back", risk="write", timeout=timedelta(seconds=5), retries=1, check=affordable)
async def pay_back(order: str, cents: int) -> str:
    EXECUTED.append(("pay_back", cents, ag.idempotency_key()))
    if order == "flaky" and activity.info().attempt == 1:
        raise RuntimeError("not yet")
    return f"paid back {cents}"


@ag.tool(title="Book", risk="write", timeout=timedelta(seconds=5), local=True, idempotent=True, check=affordable)
async def book(order: str, cents: int) -> str:
    EXECUTED.append(("book", cents, ag.idempotency_key()))
    return f"booked {cents}"


@ag.workflow(title="Changing")
class Changing:
    @workflow.run
    async def run(self, case: str, cents: int) -> str:
        if case == "explicit":
            approved = await ag.approval("Go on", expires=timedelta(seconds=60))
            return f"{approved.principal}: {approved.comment}"
        try:
            return await (book("order", cents) if case == "local" else pay_back(case, cents))
        except ag.ApprovalRejected as error:
            return f"{error.message} ({error.comment})"
