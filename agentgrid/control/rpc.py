"""Calls to Temporal within a request: one attempt, a deadline of two seconds, and a clear outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice import v1 as service
from temporalio.service import RPCError, RPCStatusCode

from agentgrid.control.plane import ControlPlane
from agentgrid.errors import AgentGridError, Unavailable
from agentgrid.temporal import rpc

Answer = TypeVar("Answer")

DEADLINE = rpc.DEADLINE
GUARD_SECONDS = 1.0
"""Added to each deadline: a lazy client's first call connects before its deadline begins to count."""

_NEVER_SENT = ("connect error", "connection refused", "dns error", "failed client connect", "no route to host")


async def call_temporal(
    call: Awaitable[Answer], *, noun: str = "run", identifier: str = "", seconds: float = DEADLINE.total_seconds()
) -> Answer:
    """Await a call to Temporal and return its response. Raises AgentGrid's errors: Unavailable with `outcome_unknown` if the call may have been carried out.

    seconds: the call's own deadline.
    """
    try:
        async with asyncio.timeout(seconds + GUARD_SECONDS):
            return await call
    except RPCError as error:
        if error.status is RPCStatusCode.UNAVAILABLE:
            raise Unavailable(
                f"Temporal is unavailable: {error.message}", outcome_unknown=not _never_sent(error.message)
            ) from error
        failure = rpc.failure(error, noun=noun, identifier=identifier)
        if type(failure) is AgentGridError or _about_the_namespace(error):
            # A wrong credential, a missing namespace or an old server: an operator must fix it, not the caller.
            failure = Unavailable(
                f"Temporal rejected the request; an operator must check the credentials, the namespace and the server's version: {error.message}",
                retry_after_seconds=30,
            )
        raise failure from error
    except TimeoutError as error:
        raise Unavailable("Temporal did not answer in time", outcome_unknown=True) from error
    except RuntimeError as error:
        # The SDK raises this when a lazy client can't connect.
        if not _never_sent(str(error)):
            raise
        raise Unavailable(f"Temporal can't be reached: {error}") from error


async def describe(
    plane: ControlPlane, workflow_id: str, execution_id: str | None
) -> service.DescribeWorkflowExecutionResponse:
    """Temporal's description of an execution; by default the newest of its workflow id."""
    return await call_temporal(
        plane.temporal.workflow_service.describe_workflow_execution(
            service.DescribeWorkflowExecutionRequest(
                namespace=plane.settings.temporal_namespace,
                execution=WorkflowExecution(workflow_id=workflow_id, run_id=execution_id or ""),
            ),
            timeout=DEADLINE,
        ),
        identifier=workflow_id,
    )


def _about_the_namespace(error: RPCError) -> bool:
    return error.status is RPCStatusCode.NOT_FOUND and error.message.startswith("Namespace ")


def _never_sent(message: str) -> bool:
    lowered = message.lower()
    return any(words in lowered for words in _NEVER_SENT)
