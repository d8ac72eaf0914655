"""Tools whose effects are counted, and which can hang where a test kills their worker."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta

import ledger
from temporalio import activity

import agentgrid as ag

BEAT_SECONDS = 0.2
ALWAYS = 100
"""Retries: enough for everything to recover."""


async def effect(step: str, hold: str | None = None, effort: float = 0.0) -> str:
    """Make the effect once under this call's idempotency key. hold: where the first attempt hangs.

    effort: seconds of work before the effect, and again before it returns.
    """
    key, workflow_id = ag.idempotency_key(), activity.info().workflow_id or ""
    first = ledger.attempt(key, workflow_id, step) == 1
    await busy(math.inf if first and hold == "before" else effort)
    ledger.land(key, workflow_id, step)
    await busy(math.inf if first and hold == "after" else effort)
    return step


async def busy(seconds: float) -> None:
    """Heartbeat for this many seconds."""
    while seconds > 0:
        activity.heartbeat()
        await asyncio.sleep(min(seconds, BEAT_SECONDS))
        seconds -= BEAT_SECONDS


@ag.tool(
    title="Enter into the ledger",
    risk="write",
    timeout=timedelta(seconds=10),
    heartbeat=timedelta(seconds=2),
    retries=ALWAYS,
    idempotent=True,
)
async def enter(step: str, hold: str | None = None, effort: float = 0.0) -> str:
    return await effect(step, hold, effort)


@ag.tool(title="Note locally", risk="write", timeout=timedelta(seconds=60), retries=ALWAYS, local=True, idempotent=True)
async def note(step: str, hold: str | None = None) -> str:
    return await effect(step, hold)


@ag.tool(title="Remove for good", risk="destructive", timeout=timedelta(seconds=10), retries=ALWAYS, idempotent=True)
async def remove(step: str) -> str:
    return await effect(step)


@ag.tool(title="Look", risk="read", timeout=timedelta(seconds=10), retries=ALWAYS)
async def look(number: int) -> int:
    return number
