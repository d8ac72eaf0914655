"""The activity half of the gate: checks policy before every attempt, and reports every attempt as a job."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import inspect
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, CancelledError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from agentgrid.domain.activities import MODEL_PREFIX, PLAIN, classify
from agentgrid.domain.agents import AgentHeader
from agentgrid.domain.policies import Risk
from agentgrid.domain.steps import JobStatus, StepKind
from agentgrid.errors import SecretMissing, ToolError
from agentgrid.protocol import (
    HEADER_AGENT,
    HEADER_APPROVAL,
    HEADER_KEY,
    HEADER_RUN,
    OWN_ACTIVITIES,
    ErrorType,
    RunHeader,
    ToolCall,
    text_of,
)
from agentgrid.sdk.context import current_key
from agentgrid.sdk.secrets import SecretStore, current_store
from agentgrid.sdk.state import KEY_DIGITS
from agentgrid.sdk.tools import Tool
from agentgrid.worker.admissions import Scheduled
from agentgrid.worker.approvals import stale_policy
from agentgrid.worker.governor import Allow, Answer, ApprovalNeeded, CallAttempt, Deny, Governor, Stale
from agentgrid.worker.secrets import Redacting
from agentgrid.worker.telemetry import JobReport, Telemetry

MAX_MESSAGE = 2_000
"""Error messages of tools and jobs are truncated to this many characters; longer ones couldn't be reported at all."""
MAX_PAYLOAD_BYTES = 2 * 1024 * 1024
"""Temporal's size limit for one result."""
MAX_PARAMETERS = 50
MAX_PARAMETER = 100
"""Keeps terms small: an activity with more parameters or longer names is shown without them."""
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_COMPLETED_ASYNC = activity._CompleteAsyncError
"""Raised by `activity.raise_complete_async()`."""


class GovernedActivities(Interceptor):
    """Wraps every activity of a worker in the activity half of the gate."""

    def __init__(
        self,
        *,
        governor: Governor,
        telemetry: Telemetry,
        tools: Mapping[str, Tool[..., Any]],
        worker: str,
        policy_wait_seconds: float,
        secrets: SecretStore,
        encoded: bool = False,
    ) -> None:
        self.governor = governor
        self.telemetry = telemetry
        self.tools = tools
        self.worker = worker
        self.policy_wait_seconds = policy_wait_seconds
        """Initial retry delay when the policy is stale."""
        self.secrets = secrets
        self._encoded = encoded
        """Whether a codec changes the stored bytes, so that their length is unknown here."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Called by the SDK once per activity task."""
        return _Governed(next, self)

    def unstorable(self, result: Any) -> dict[str, Any] | None:
        """Why a plain activity's result can't be stored, or None. Storing it fails the attempt after the function has returned."""
        if result is None or isinstance(result, (bool, int, float)):
            return None
        try:
            (payload,) = activity.payload_converter().to_payloads([result])
        except Exception as failure:
            return _describe(failure)
        if self._encoded or payload.ByteSize() <= MAX_PAYLOAD_BYTES:
            return None
        return {
            "type": "PayloadTooLarge",
            "message": f"the result has {payload.ByteSize():,} bytes; Temporal's limit is {MAX_PAYLOAD_BYTES:,}",
        }


class _Governed(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, owner: GovernedActivities) -> None:
        super().__init__(next)
        self._owner = owner

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        """Called by the SDK before the attempt."""
        self._outbound = Redacting(outbound)
        super().init(self._outbound)

    async def _redacted(self, input: ExecuteActivityInput) -> Any:
        """Run the activity's code, with secret values removed from what it returns or raises."""
        if current_store.get() is None:  # otherwise a test has set the secrets
            current_store.set(self._owner.secrets)
        try:
            return self._outbound.redacted(await super().execute_activity(input), "result")
        except BaseException as failure:
            safe = self._outbound.error(failure)
            if safe is failure:
                raise
        # Outside the handler, so that the original error doesn't become this one's context.
        raise safe

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        if info.activity_type in OWN_ACTIVITIES:
            return await super().execute_activity(input)
        # A call that a client starts outside a workflow belongs to no run: nothing can wait for its approval, and it is not a job. It still
        # passes the gate.
        key = text_of(input.headers.get(HEADER_KEY)) if info.in_workflow else None
        job = self._job(info, key)
        self._report(job)
        token = current_key.set(key or _derived_key(info))
        status: JobStatus | None = JobStatus.FAILED
        error = None
        try:
            await self._owner.governor.policy.caught_up()
            answer = self._owner.governor.judge(self._call(input, info, key))
            if not info.in_workflow:
                self._owner.telemetry.standalone(info, passed=isinstance(answer, Allow))
            if isinstance(answer, Stale):
                raise stale_policy(answer.reason, key, info.attempt, self._owner.policy_wait_seconds)
            if isinstance(answer, ApprovalNeeded):
                self._check(input, info)
            _enforce(answer, info)
            result = await self._redacted(input)
            own = info.activity_type in self._owner.tools or info.activity_type.startswith(MODEL_PREFIX)
            error = None if own else self._owner.unstorable(result)
            status = JobStatus.COMPLETED if error is None else JobStatus.FAILED
            return result
        except ToolError as failure:
            error = _describe(failure)
            after = failure.retry_after_seconds
            raise ApplicationError(
                failure.message[:MAX_MESSAGE],
                type=ErrorType.TOOL_ERROR,
                non_retryable=not failure.retryable,
                next_retry_delay=None if after is None else timedelta(seconds=after),
            ) from (failure if len(failure.message) <= MAX_MESSAGE else None)
        except SecretMissing as failure:
            error = _describe(failure)
            raise ApplicationError(failure.message, type=ErrorType.SECRET_MISSING, non_retryable=True) from None
        except (asyncio.CancelledError, CancelledError) as failure:
            status, error = JobStatus.CANCELLED, _describe(failure)
            raise
        except _COMPLETED_ASYNC:
            status = None  # completed asynchronously; history records the outcome
            raise
        except BaseException as failure:
            error = _describe(failure)
            raise
        finally:
            current_key.reset(token)
            if status is not None:
                self._report(dataclasses.replace(job, status=status, finished_at=datetime.now(UTC), error=error))

    def _check(self, input: ExecuteActivityInput, info: activity.Info) -> None:
        """Raise ApplicationError if a tool call's arguments are invalid, so that it never opens an approval."""
        tool = self._owner.tools.get(info.activity_type)
        if tool is not None and len(input.args) == 1 and isinstance(input.args[0], ToolCall):
            tool.checked(input.args[0].args)

    def _report(self, job: JobReport) -> None:
        if job.execution_id:
            self._owner.telemetry.job(job)

    def _job(self, info: activity.Info, key: str | None) -> JobReport:
        # A local activity can repeat an attempt number after its workflow task crashed.
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

    def _call(self, input: ExecuteActivityInput, info: activity.Info, key: str | None) -> CallAttempt:
        tool = self._owner.tools.get(info.activity_type)
        kind, name = classify(info.activity_type)
        if kind.step is StepKind.TOOL and tool is None:
            # Named like a tool but not registered as one: nothing is known about it, so rules match its full type.
            kind, name = PLAIN, info.activity_type
        return CallAttempt(
            kind=kind,
            subject=name,
            title=tool.title if tool is not None else name,
            version=tool.version if tool is not None else None,
            risk=Risk(tool.risk) if tool is not None else None,
            arguments=lambda: _arguments(input),
            parameters=lambda: () if tool is not None else _parameters(input),
            local=info.is_local,
            namespace=info.namespace,
            workflow_id=info.workflow_id or "",
            execution_id=info.workflow_run_id or "",
            workflow=info.workflow_type or "",
            scheduled=Scheduled(
                activity_id=info.activity_id,
                scheduled_at=info.scheduled_time,
                local=info.is_local,
                attempt=info.attempt,
            ),
            key=key,
            run=lambda: _run_header(input),
            presented=text_of(input.headers.get(HEADER_APPROVAL)),
            now=datetime.now(UTC),
            agent=_agent_header(input),
            standalone=not info.in_workflow,
        )


def _derived_key(info: activity.Info) -> str:
    """A key for a call that carries none, because its run began before the plugin or without it. The same in every attempt."""
    where = (
        info.namespace,
        info.workflow_id or "",
        info.workflow_run_id or info.activity_run_id or "",
        info.activity_id,
    )
    return hashlib.sha256("/".join(where).encode()).hexdigest()[:KEY_DIGITS]


def _arguments(input: ExecuteActivityInput) -> Any:
    """The arguments as the JSON that a decision covers. Raises ValueError if JSON can't represent them."""
    if len(input.args) == 1 and isinstance(input.args[0], ToolCall):
        return input.args[0].args
    return [json.loads(payload.data) for payload in activity.payload_converter().to_payloads(input.args)]


def _parameters(input: ExecuteActivityInput) -> tuple[str, ...]:
    """The names of the positional arguments from the activity's signature; empty unless it names them all."""
    try:
        parameters = inspect.signature(input.fn).parameters.values()
    except (TypeError, ValueError):
        return ()
    names = tuple(parameter.name for parameter in parameters if parameter.kind in _POSITIONAL)[: len(input.args)]
    fit = len(names) == len(input.args) <= MAX_PARAMETERS and all(len(name) <= MAX_PARAMETER for name in names)
    return names if fit else ()


def _run_header(input: ExecuteActivityInput) -> RunHeader | None:
    payload = input.headers.get(HEADER_RUN)
    if payload is None:
        return None
    try:
        return RunHeader.model_validate_json(payload.data)
    except ValidationError:
        return None


def _agent_header(input: ExecuteActivityInput) -> AgentHeader | None:
    """The agent that makes the call. An unreadable header counts as an unregistered agent, so the call is denied."""
    payload = input.headers.get(HEADER_AGENT)
    if payload is None:
        return None
    try:
        return AgentHeader.model_validate_json(payload.data)
    except ValidationError:
        return AgentHeader(agent="", version="", call="")


def _describe(error: BaseException) -> dict[str, Any]:
    kind = getattr(error, "type", None) or type(error).__name__
    return {"type": str(kind), "message": str(getattr(error, "message", None) or error)[:MAX_MESSAGE]}


def _enforce(answer: Answer, info: activity.Info) -> None:
    """Return if the call is allowed; otherwise raise the error for the workflow half, or for a plain caller."""
    if isinstance(answer, Allow):
        return
    if isinstance(answer, ApprovalNeeded):
        raise ApplicationError(
            f"{answer.terms.title}: requires approval",
            answer.terms.wire(),
            type=ErrorType.APPROVAL_REQUIRED,
            non_retryable=True,
            category=ApplicationErrorCategory.BENIGN,
        )
    if isinstance(answer, Deny):
        raise ApplicationError(answer.reason, type=ErrorType.POLICY_DENIED, non_retryable=True)
    raise ApplicationError(
        f"{info.activity_type} requires approval, but {answer.reason}",
        type=ErrorType.APPROVAL_UNSUPPORTED,
        non_retryable=True,
    )
