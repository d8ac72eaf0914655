"""A user's worker that logs and fails, run as a process: `python -m tests.worker.noisy ADDRESS QUEUE PLUGGED CONFIGURED`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

NAMES = ("", "temporalio", "temporalio.workflow", "temporalio.activity", "temporalio.worker._workflow_instance", "mine")
FAILED: list[str] = []
"""Filled once a workflow task has failed."""


@activity.defn
async def noisy() -> None:
    activity.logger.info("activity info")
    activity.logger.warning("activity warning")
    logging.getLogger("mine").info("own info")
    logging.getLogger("mine").error("own error")
    raise ApplicationError("the activity failed", non_retryable=True)


@workflow.defn(sandboxed=False)
class Noisy:
    @workflow.run
    async def run(self) -> str:
        if not FAILED:
            FAILED.append("once")
            raise RuntimeError("the task failed")
        workflow.logger.info("workflow info")
        workflow.logger.warning("workflow warning")
        try:
            await workflow.execute_activity(
                noisy, start_to_close_timeout=timedelta(seconds=20), retry_policy=RetryPolicy(maximum_attempts=1)
            )
        except Exception:
            workflow.logger.exception("caught")
        return "done"


def state() -> list[Any]:
    """The logging state that a plugin could change."""
    loggers = [logging.getLogger(name) for name in NAMES]
    return [
        [logger.name, logger.level, len(logger.handlers), len(logger.filters), logger.propagate] for logger in loggers
    ]


async def main(address: str, queue: str, plugged: str, configured: str) -> None:
    if configured != "none":
        logging.basicConfig(level=configured, format="%(levelname)s %(name)s %(message)s")
    plugins = []
    if plugged == "plugged":
        from pydantic import SecretStr

        from agentgrid.settings import Settings
        from agentgrid.testing import Governance

        away = Settings(database_url=SecretStr("postgresql://nobody:secret@127.0.0.1:1/nowhere"))
        plugins.append(Governance().plugin(settings=away))
    before = state()
    client = await Client.connect(address)
    async with Worker(client, task_queue=queue, workflows=[Noisy], activities=[noisy], plugins=plugins):
        result = await client.execute_workflow(Noisy.run, id=queue, task_queue=queue)
        handlers = [type(handler).__name__ for handler in logging.getLogger().handlers]
    sys.stdout.write(json.dumps({"result": result, "restored": state() == before, "handlers": handlers}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
    sys.stdout.flush()
    os._exit(0)  # the SDK's threads can abort the interpreter on exit, with or without the plugin
