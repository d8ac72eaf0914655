"""The activity half of the gate: before every attempt policy is asked, around every attempt a job is reported."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, CancelledError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from agentgrid.domain.approvals import ApprovalKind, Terms
from agentgrid.domain.canonical import digest
from agentgrid.domain.ids import new_id
from agentgrid.domain.policies import Risk
from agentgrid.domain.steps import JobStatus
from agentgrid.errors import ToolError
from agentgrid.protocol import (
    ACTIVITY_OPEN_APPROVAL,
    HEADER_APPROVAL,
    HEADER_KEY,
    HEADER_RUN,
    ErrorType,
    PolicyWait,
    RunHeader,
    ToolCall,
    text_of,
)
from agentgrid.sdk.approvals import ApprovalRequest
from agentgrid.sdk.context import current_key
from agentgrid.sdk.tools import Tool
from agentgrid.worker.governor import Allow, Answer, Ask, Call, Deny, Governor, Policy, Stale
from agentgrid.worker.telemetry import JobReport, Telemetry

MAX_MESSAGE = 2_000
"""A tool's word on its failure, and what a job keeps of any, is cut to so many characters: a long one could not be reported at all."""
STALE_RETRY_MOST_SECONDS = 60.0
"""A caller without a key can't wait; its activity is retried, after a time that doubles with each attempt, up to this."""


class GovernedActivities(Interceptor):
    """Puts the activity half around every activity of a worker."""

    def __init__(
        self,
        *,
        governor: Governor,
        telemetry: Telemetry,
        tools: Mapping[str, Tool[..., Any]],
        worker: str,
        policy_wait_seconds: float,
    ) -> None:
        self.governor = governor
        self.telemetry = telemetry
        self.tools = tools
        self.worker = worker
        self.policy_wait_seconds = policy_wait_seconds
        """How long a call that came under too old a policy waits before its first next try."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """The SDK makes one per activity task."""
        return _Governed(next, self)


class _Governed(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, owner: GovernedActivities) -> None:
        super().__init__(next)
        self._owner = owner

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        if info.activity_type == ACTIVITY_OPEN_APPROVAL:
            return await super().execute_activity(input)
        # Started by a client and by no workflow, a call belongs to no run: nobody waits for its approval, and it is no job. The gate is the same.
        key = text_of(input.headers.get(HEADER_KEY)) if info.in_workflow else None
        job = self._job(info, key)
        self._tell(job)
        token = current_key.set(key or "")
        status, error = JobStatus.FAILED, None
        try:
            answer = self._owner.governor.judge(self._call(input, info, key))
            if isinstance(answer, Stale):
                raise _stale(answer.reason, key, info.attempt, self._owner.policy_wait_seconds)
            _enforce(answer, info)
            result = await super().execute_activity(input)
            status = JobStatus.COMPLETED
            return result
        except ToolError as failure:
            error = _describe(failure)
            raise ApplicationError(
                failure.message[:MAX_MESSAGE], type=ErrorType.TOOL_ERROR, non_retryable=not failure.retryable
            ) from (failure if len(failure.message) <= MAX_MESSAGE else None)
        except (asyncio.CancelledError, CancelledError) as failure:
            status, error = JobStatus.CANCELLED, _describe(failure)
            raise
        except BaseException as failure:
            error = _describe(failure)
            raise
        finally:
            current_key.reset(token)
            self._tell(dataclasses.replace(job, status=status, finished_at=datetime.now(UTC), error=error))

    def _tell(self, job: JobReport) -> None:
        if job.execution_id:
            self._owner.telemetry.job(job)

    def _job(self, info: activity.Info, key: str | None) -> JobReport:
        # A local activity's attempts can repeat under the same number after a crash of the workflow task.
        started = datetime.now(UTC)
        suffix = f"@{int(started.timestamp() * 1000)}" if info.is_local else ""
        return JobReport(
            job_id=f"{info.workflow_run_id}/{info.activity_id}/{info.attempt}{suffix}",
            started_at=started,
            execution_id=info.workflow_run_id or "",
            workflow_id=info.workflow_id or "",
            activity_id=info.activity_id,
            activity_type=info.activity_type,
            attempt=info.attempt,
            local=info.is_local,
            call_key=key,
            worker=self._owner.worker,
            task_queue=info.task_queue,
        )

    def _call(self, input: ExecuteActivityInput, info: activity.Info, key: str | None) -> Call:
        tool = self._owner.tools.get(info.activity_type)
        return Call(
            subject=tool.name if tool is not None else info.activity_type,
            title=tool.title if tool is not None else info.activity_type,
            version=tool.version if tool is not None else None,
            risk=Risk(tool.risk) if tool is not None else None,
            arguments=lambda: _arguments(input),
            local=info.is_local,
            namespace=info.namespace,
            workflow_id=info.workflow_id or "",
            execution_id=info.workflow_run_id or "",
            workflow=info.workflow_type or "",
            attempt=info.attempt,
            key=key,
            run=lambda: _run_header(input),
            presented=text_of(input.headers.get(HEADER_APPROVAL)),
            now=datetime.now(UTC),
        )


def _arguments(input: ExecuteActivityInput) -> Any:
    """The arguments as JSON, exactly as a decision binds them; raises ValueError where they can't be."""
    if len(input.args) == 1 and isinstance(input.args[0], ToolCall):
        return input.args[0].args
    return [json.loads(payload.data) for payload in activity.payload_converter().to_payloads(input.args)]


def _run_header(input: ExecuteActivityInput) -> RunHeader | None:
    payload = input.headers.get(HEADER_RUN)
    if payload is None:
        return None
    try:
        return RunHeader.model_validate_json(payload.data)
    except ValidationError:
        return None


def _describe(error: BaseException) -> dict[str, Any]:
    kind = getattr(error, "type", None) or type(error).__name__
    return {"type": str(kind), "message": str(getattr(error, "message", None) or error)[:MAX_MESSAGE]}


def _enforce(answer: Answer, info: activity.Info) -> None:
    """Return for a call that may go ahead; raise what the workflow half, or the plain caller, is told otherwise."""
    if isinstance(answer, Allow):
        return
    if isinstance(answer, Ask):
        raise ApplicationError(
            f"{answer.terms.title}: needs an approval",
            answer.terms.wire(),
            type=ErrorType.APPROVAL_REQUIRED,
            non_retryable=True,
            category=ApplicationErrorCategory.BENIGN,
        )
    if isinstance(answer, Deny):
        raise ApplicationError(answer.reason, type=ErrorType.POLICY_DENIED, non_retryable=True)
    raise ApplicationError(
        f"{info.activity_type} needs an approval, but {answer.reason}",
        type=ErrorType.APPROVAL_UNSUPPORTED,
        non_retryable=True,
    )


def _stale(reason: str, key: str | None, attempt: int, wait_seconds: float) -> ApplicationError:
    """A caller under the plugin waits and calls again, whatever retries the tool has; any other can only retry."""
    if key is not None:
        return ApplicationError(
            reason,
            PolicyWait(key=key, first_seconds=wait_seconds).model_dump(mode="json"),
            type=ErrorType.POLICY_STALE,
            non_retryable=True,
            category=ApplicationErrorCategory.BENIGN,
        )
    delay = min(wait_seconds * 2 ** min(attempt - 1, 30), STALE_RETRY_MOST_SECONDS)
    return ApplicationError(reason, type=ErrorType.POLICY_STALE, next_retry_delay=timedelta(seconds=delay))


def open_approval_activity(policy: Policy, *, policy_wait_seconds: float) -> Any:
    """The local activity that opens an explicit approval: its result is the terms, what is shown included."""

    @activity.defn(name=ACTIVITY_OPEN_APPROVAL)
    async def open_approval(request: ApprovalRequest) -> dict[str, Any]:
        info = activity.info()
        snapshot = policy.snapshot
        if snapshot is None or not snapshot.keys_in_force:
            reason = "no policy with signing keys has reached this worker yet"
            raise _stale(reason, request.key, info.attempt, policy_wait_seconds)
        try:
            bound = digest([request.title, request.shown])
        except ValueError as error:
            raise ApplicationError(
                f"{request.title}: what is shown can't be signed exactly: {error}",
                type=ErrorType.APPROVAL_UNSUPPORTED,
                non_retryable=True,
            ) from None
        terms = Terms(
            approval_id=new_id(),
            kind=ApprovalKind.EXPLICIT,
            title=request.title,
            namespace=info.namespace,
            workflow_id=info.workflow_id or "",
            execution_id=info.workflow_run_id or "",
            digest=bound,
            shown=request.shown,
            approvers=tuple(request.approvers),
            initiator=request.initiator,
            issuers=tuple(request.issuers),
            expires_seconds=request.expires_seconds,
            keys=snapshot.keys_in_force,
        )
        return terms.wire()

    return open_approval
