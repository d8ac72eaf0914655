"""Workflows with mistakes that `agentgrid check` can't see, and a tool that blocks its worker."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow

import agentgrid as ag


@ag.tool(title="Block the worker", risk="read", timeout=timedelta(seconds=20), retries=0)
async def block(seconds: float) -> str:
    _slowly(seconds)
    return "done"


def _slowly(seconds: float) -> None:
    time.sleep(seconds)  # blocks


def slowly_checked(seconds: float) -> None:
    _slowly(seconds)


@ag.tool(title="Block the worker in its check", risk="read", timeout=timedelta(seconds=20), check=slowly_checked)
async def block_in_check(seconds: float) -> str:
    return "done"


def _clock() -> Any:
    return getattr(datetime, "now")  # noqa: B009  # hidden from the check


@ag.workflow(title="Failing")
class Failing:
    @workflow.run
    async def run(self, case: str) -> str:
        if case == "key":
            return {"present": "x"}["missing"]  # key
        if case == "clock":
            return str(_clock()())  # clock
        if case == "expires":
            await ag.approval("Now", expires=timedelta(0))
        return await block(3.0)
