"""Tools and a plain activity that leak a secret in every possible way, and a workflow that passes everything on."""

from __future__ import annotations

import base64
import logging
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

from pydantic import BaseModel, Field, field_serializer
from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

import agentgrid as ag

STRIPE = ag.secret("BETRAYED_KEY")


class Order(BaseModel):
    amount: int
    note: str = Field("", repr=False)


@dataclass(repr=False)
class Receipt:
    key: str


class Unstorable(BaseModel):
    key: str

    @field_serializer("key")
    def complain(self, key: str) -> str:
        raise ValueError(f"can't store {key}")


@ag.tool(title="Return it", risk="read", timeout=timedelta(seconds=5), retries=0)
async def returns_it() -> dict[str, str]:
    key = await STRIPE.value()
    basic = base64.b64encode(f"me:{key}".encode()).decode()
    return {
        "plain": f"key={key}",
        key: "as a key",
        "basic": basic,
        "url": f"?k={quote(key, safe='')}",
        "repr": repr(key),
    }


def _refuse(key: str) -> None:
    raise ConnectionError(f"refused {key}")


@ag.tool(title="Raise it", risk="read", timeout=timedelta(seconds=5), retries=0)
async def raises_it(way: str) -> str:
    key = await ag.secret("BETRAYED_KEY").value()
    if way == "tool error":
        raise ag.ToolError(f"bad key {key}")
    if way == "argument":
        raise KeyError(key)
    if way == "pydantic":
        Order(amount=f"Bearer {key}")
    if way == "details":
        raise ApplicationError("refused", Receipt(key), Order(amount=1, note=key), type=f"T{key}", non_retryable=True)
    if way == "group":
        raise ExceptionGroup("several", [ValueError(key)])
    try:
        try:
            _refuse(key)
        except ConnectionError as failure:
            if way == "cause":
                raise RuntimeError("outer") from failure
            raise RuntimeError("outer") from ag.ToolError("middle")
    except RuntimeError as failure:
        if way == "context of a cause":
            failure.__cause__ = failure.__context__
        raise
    return way


@ag.tool(title="Quote it", risk="read", timeout=timedelta(seconds=5), retries=0)
async def quotes_it() -> str:
    key = await STRIPE.value()
    try:
        Order(amount=key)
    except ValueError as failure:
        raise ag.ToolError(f"not an order: {failure}") from None
    return ""


@ag.tool(title="Log it", risk="read", timeout=timedelta(seconds=5), retries=0)
async def logs_it() -> str:
    key = await STRIPE.value()
    ag.log.info("called with " + key, headers={"authorization": f"Bearer {key}"}, order=Order(amount=1, note=key))
    logging.getLogger("vendor").warning("sent %s and %r", key, {"k": key})
    logging.getLogger("vendor").warning("wrongly formatted %d", key)
    try:
        _refuse(key)
    except ConnectionError:
        activity.logger.exception("it failed")
    return f"the {STRIPE} is {STRIPE!r}"


@ag.tool(title="Try forever", risk="read", timeout=timedelta(seconds=20), retries=100)
async def beats_and_tries() -> str:
    key = await STRIPE.value()
    activity.heartbeat({"key": key}, Receipt(key), key)
    raise RuntimeError(f"attempt with {key}")


@activity.defn
async def plain_betrayal(way: str) -> Receipt | Unstorable:
    key = await STRIPE.value()
    if way == "unstorable result":
        return Unstorable(key=key)
    if way == "unstorable heartbeat":
        activity.heartbeat(Unstorable(key=key))
    if way == "unstorable detail":
        raise ApplicationError("refused", Unstorable(key=key), non_retryable=True)
    if way == "raise":
        raise ApplicationError(f"refused {key}", non_retryable=True)
    return Receipt(key)


@ag.workflow(title="Betrays")
class Betrays:
    @workflow.run
    async def run(self, way: str) -> list[str]:
        if way == "reads":
            return [await getattr(STRIPE, "value")()]  # noqa: B009  # hidden from the check
        if way == "tries":
            return [await beats_and_tries()]
        results = [str(await returns_it()), await logs_it()]
        for case in ("tool error", "argument", "pydantic", "details", "group", "cause", "context of a cause"):
            try:
                await raises_it(case)
            except ActivityError as failure:
                results.append(f"{case}: {failure.cause!r} {failure.cause.__cause__!r}")
        results.append(str(await self._plain("return")))
        unstorable = [self._plain(f"unstorable {what}") for what in ("result", "heartbeat", "detail")]
        for call in (quotes_it(), self._plain("raise"), *unstorable):
            try:
                await call
            except ActivityError as failure:
                results.append(repr(failure.cause))
        workflow.logger.warning("all of it: %s", results)
        return results

    async def _plain(self, way: str) -> Receipt | Unstorable:
        once = RetryPolicy(maximum_attempts=1)
        return await workflow.execute_activity(
            plain_betrayal, way, start_to_close_timeout=timedelta(seconds=5), retry_policy=once
        )
