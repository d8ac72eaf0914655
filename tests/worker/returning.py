"""Tools and workflows whose results don't match their annotations, and activities whose results can't be stored."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.common import RetryPolicy

import agentgrid as ag

SECONDS = timedelta(seconds=20)
TOKENS: asyncio.Queue[bytes] = asyncio.Queue()
"""The task tokens of activities that are completed asynchronously."""


class Receipt(BaseModel):
    number: int
    note: str = ""


VALUES: dict[str, Any] = {
    "nothing": None,
    "digits": "5",
    "dict": {"number": 5},
    "wrong_dict": {"number": "many"},
    "model": Receipt(number=5),
    "nan": float("nan"),
    "object": object(),
    "words": "five",
    "number": 5,
}


@ag.tool(title="Text", risk="read", timeout=SECONDS)
async def text(value: str) -> str:
    return VALUES[value]  # type: ignore[no-any-return]


@ag.tool(title="Number", risk="read", timeout=SECONDS, local=True)
async def number(value: str) -> int:
    return VALUES[value]  # type: ignore[no-any-return]


@ag.tool(title="Fraction", risk="read", timeout=SECONDS)
async def fraction(value: str) -> float:
    return VALUES[value]  # type: ignore[no-any-return]


@ag.tool(title="Receipt", risk="read", timeout=SECONDS)
async def receipt(value: str) -> Receipt:
    return VALUES[value]  # type: ignore[no-any-return]


TOOLS = {tool.name: tool for tool in (text, number, fraction, receipt)}


@ag.workflow(title="Calls")
class Calls:
    @workflow.run
    async def run(self, tool: str, value: str) -> Any:
        result = await TOOLS[tool](value)
        return result.model_dump() if isinstance(result, Receipt) else result


@ag.workflow(title="Gives a number")
class GivesNumber:
    @workflow.run
    async def run(self, value: str) -> int:
        return VALUES[value]  # type: ignore[no-any-return]


@ag.workflow(title="Gives a text")
class GivesText:
    @workflow.run
    async def run(self, value: str) -> str:
        return VALUES[value]  # type: ignore[no-any-return]


@ag.workflow(title="Gives a receipt")
class GivesReceipt:
    @workflow.run
    async def run(self, value: str) -> Receipt:
        return VALUES[value]  # type: ignore[no-any-return]


@ag.workflow(title="Gives a receipt or nothing")
class GivesReceiptOrNothing:
    @workflow.run
    async def run(self, value: str) -> Receipt | None:
        return VALUES[value]  # type: ignore[no-any-return]


@ag.workflow(title="Gives nothing")
class GivesNothing:
    @workflow.run
    async def run(self, value: str) -> None:
        return VALUES[value]  # type: ignore[no-any-return]


@activity.defn
async def plain_object() -> Any:
    return object()


@activity.defn
async def plain_long() -> str:
    return "x" * (2 * 1024 * 1024)


@activity.defn
async def handed_over() -> str:
    TOKENS.put_nowait(activity.info().task_token)
    activity.raise_complete_async()


@activity.defn
async def plain_good() -> dict[str, int]:
    return {"good": 1}


@workflow.defn
class CallsPlain:
    @workflow.run
    async def run(self, name: str) -> Any:
        return await workflow.execute_activity(
            name, start_to_close_timeout=SECONDS, retry_policy=RetryPolicy(maximum_attempts=1)
        )
