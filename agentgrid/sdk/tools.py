"""Tools: typed async functions that touch the outside world. Workflows call them as durable, governed activities."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any, Generic, Literal, ParamSpec, TypeVar, cast

from pydantic import ValidationError
from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from agentgrid.domain.activities import TOOL_PREFIX
from agentgrid.domain.policies import Risk
from agentgrid.errors import NoIdempotencyKey
from agentgrid.protocol import ErrorType, ToolCall, ToolOutcome, too_long
from agentgrid.sdk.context import current_key, keyed
from agentgrid.sdk.schema import Boundary, Signature, canonical_source, message_of, version_of

INSIDE_ACTIVITY = (
    "{0} is a tool, and tools can't be called inside an activity: the call would bypass the gate and not appear as a step. "
    "Call it from the workflow, or share a plain function between both, such as {0}.fn"
)

RiskName = Literal["read", "write", "destructive"]
"""The values of `Risk`, so that type checkers detect a misspelling."""

P = ParamSpec("P")
R = TypeVar("R")


class Tool(Generic[P, R]):
    """A registered tool. In a workflow, calling it schedules its activity, subject to policy; in a test or a script, it just runs the function.

    It can't be called inside an activity: the call would bypass the gate and not appear as a step.

    Its activity type is `tool.<name>`; its version is a digest of its module's code and its schemas.
    """

    def __init__(
        self,
        fn: Callable[P, Awaitable[R]],
        *,
        title: str,
        risk: Risk | RiskName,
        timeout: timedelta | None,
        retries: int,
        local: bool,
        idempotent: bool,
        heartbeat: timedelta | None,
        tags: tuple[str, ...],
        name: str | None,
        check: Callable[..., None] | None = None,
        reach: tuple[str, ...] = (),
        undoable: bool | None = None,
        asks: str | None = None,
    ) -> None:
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.name = name or fn.__name__
        self.title = title
        self.description = inspect.cleandoc(fn.__doc__ or "")
        self.risk = risk
        self.timeout = timeout
        self.retries = retries
        self.local = local
        self.idempotent = idempotent
        self.heartbeat = heartbeat
        self.tags = tags
        self.check = check
        self.reach = reach
        self.undoable = undoable
        self.asks = asks
        self.file = inspect.getsourcefile(fn) or ""
        self.line = fn.__code__.co_firstlineno if inspect.isfunction(fn) else 0
        self.module = fn.__module__
        """The name of the module that declares it."""

    @property
    def activity_type(self) -> str:
        """The type of its activity."""
        return TOOL_PREFIX + self.name

    @functools.cached_property
    def signature(self) -> Boundary:
        """Its boundary: arguments and result to JSON and back. Raises TypeError if the signature is invalid."""
        return Signature(self.fn)

    @functools.cached_property
    def version(self) -> str:
        """A digest of its module's code and its schemas. An approval is bound to it and to the arguments."""
        source = canonical_source(self.file) if self.file else ""
        return version_of(self.name, source, self.signature.input_schema, self.signature.output_schema)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the tool: durably in a workflow, directly in a test or a script. Raises ApplicationError in an activity."""
        if not workflow.in_workflow():
            with self._directly():
                return await self.fn(*args, **kwargs)
        outcome = await self._scheduled(self.signature.dump_arguments(*args, **kwargs), local=self.local)
        try:
            return cast(R, self.signature.load_result(outcome.result))
        except ValidationError as error:
            # It came from a worker with different code. This fails the run; any other error would retry the workflow task forever.
            raise self._unfit(error) from None

    async def call(self, arguments: dict[str, Any]) -> Any:
        """Call the tool with a JSON object of arguments, as agent loops and runs of tools do. The result is JSON too.

        The activity checks the arguments: invalid ones fail the call with an ApplicationError of type `ToolInputInvalid`.
        Never a local activity, because its marker has no header that could name the agent. A cancellation waits for the outcome, because the call
        may still complete, and an agent must not believe that it had no effect.
        """
        values = self._object(arguments)
        if not workflow.in_workflow():
            with self._directly():
                result = await self.fn(**self.checked(values))  # type: ignore[call-arg]
                return self._dumped(result)
        wait = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        return (await self._scheduled(values, local=False, cancellation=wait)).result

    @contextlib.contextmanager
    def _directly(self) -> Iterator[None]:
        """The context of a call in a test or a script. Raises ApplicationError inside an activity."""
        if activity.in_activity():
            raise ApplicationError(
                INSIDE_ACTIVITY.format(self.name), type=ErrorType.TOOL_INSIDE_ACTIVITY, non_retryable=True
            )
        # Each call in a test or a script is a separate effect, unless its author sets a key.
        with keyed(current_key.get() or f"direct-{uuid.uuid4().hex}"):
            yield

    async def _scheduled(
        self,
        arguments: dict[str, Any],
        *,
        local: bool,
        cancellation: workflow.ActivityCancellationType = workflow.ActivityCancellationType.TRY_CANCEL,
    ) -> ToolOutcome:
        call = ToolCall(tool=self.name, version=self.version, args=arguments)
        retry = RetryPolicy(
            initial_interval=timedelta(seconds=1),
            maximum_interval=timedelta(seconds=60),
            maximum_attempts=self.retries + 1,
        )
        if local:
            outcome: ToolOutcome = await workflow.execute_local_activity(
                self.activity_type,
                call,
                result_type=ToolOutcome,
                start_to_close_timeout=self.timeout,
                retry_policy=retry,
                summary=self.title,
            )
            return outcome
        outcome = await workflow.execute_activity(
            self.activity_type,
            call,
            result_type=ToolOutcome,
            start_to_close_timeout=self.timeout,
            heartbeat_timeout=self.heartbeat,
            retry_policy=retry,
            summary=self.title,
            cancellation_type=cancellation,
        )
        return outcome

    def as_activity(self) -> Callable[[ToolCall], Awaitable[ToolOutcome]]:
        """The activity that a worker registers for the tool: JSON in, JSON out, errors as Temporal failures."""

        @activity.defn(name=self.activity_type)
        async def run(call: ToolCall) -> ToolOutcome:
            result = await self.fn(**self.checked(call.args))  # type: ignore[call-arg]
            return ToolOutcome(result=self._dumped(result))

        return run

    def _object(self, arguments: Any) -> dict[str, Any]:
        """A copy of a JSON object. Otherwise raises ApplicationError, because any other error in workflow code would retry the task forever."""
        try:
            text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
            text.encode()
            values = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            values, why = None, f"its arguments can't be represented in JSON: {error}"
        else:
            why = "its arguments must be a JSON object"
        if isinstance(values, dict):
            return values
        raise ApplicationError(f"{self.name}: {why}", type=ErrorType.TOOL_INPUT, non_retryable=True)

    def checked(self, args: dict[str, Any]) -> dict[str, Any]:
        """The typed arguments of a call. Raises ApplicationError if they don't fit the signature or the tool's check refuses them.

        That includes any other error of the check or of a type's validator: both depend only on the arguments, so a retry would raise it again. An
        approver's changed arguments must not fail the run that way.
        """
        try:
            arguments = self.signature.load_arguments(args)
            if self.check is not None:
                self.check(**arguments)
        except Exception as error:
            why = message_of(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            raise ApplicationError(f"{self.name}: {why}", type=ErrorType.TOOL_INPUT, non_retryable=True) from None
        return arguments

    def _dumped(self, result: Any) -> Any:
        """The result as JSON. Raises ApplicationError if it does not fit or is too long."""
        try:
            value, size = self.signature.dump_result(result)
        except ValueError as error:
            raise self._unfit(error) from None
        if (wrong := too_long("its result", size)) is not None:
            raise ApplicationError(f"{self.name}: {wrong}", type=ErrorType.TOOL_OUTPUT, non_retryable=True)
        return value

    def _unfit(self, error: ValueError) -> ApplicationError:
        return ApplicationError(
            f"{self.name}: the result does not fit its annotation: {message_of(error)}",
            type=ErrorType.TOOL_OUTPUT,
            non_retryable=True,
        )

    def __repr__(self) -> str:
        return f"<Tool {self.name}>"


def tool(
    *,
    title: str,
    risk: Risk | RiskName = Risk.WRITE,
    timeout: timedelta | None = None,
    retries: int = 3,
    local: bool = False,
    idempotent: bool = False,
    heartbeat: timedelta | None = None,
    tags: tuple[str, ...] = (),
    name: str | None = None,
    check: Callable[..., None] | None = None,
    reach: tuple[str, ...] = (),
    undoable: bool | None = None,
    asks: str | None = None,
) -> Callable[[Callable[P, Awaitable[R]]], Tool[P, R]]:
    """Turn an async function into a tool.

    title: shown to approvers and operators. risk: `read`, `write` or `destructive`; destructive tools require approval unless a rule overrides it.
    timeout: maximum duration of one attempt; required. retries: attempts after the first. local: run as a local activity in the workflow's own
    worker; only for risk `read` or `idempotent` tools, because a crash runs it again. idempotent: has only one effect per `idempotency_key()`.
    heartbeat: maximum time between calls of `activity.heartbeat`. check: a plain function with the tool's parameters that raises ValueError for
    arguments that have valid types but are still wrong. It runs in the worker before an approval is requested and before each attempt, including
    calls whose arguments an approver changed; so it must be fast and depend only on the arguments.
    reach: what a call does and to whom, in at most six short phrases for approvers: `("Moves money out", "One customer")`. undoable: whether its
    effect can be undone. asks: the title of its approvals, with argument names in braces: `Refund {amount_cents} on ticket {ticket_id}`.

    `agentgrid check` and worker start report all mistakes at once.
    """

    def register(fn: Callable[P, Awaitable[R]]) -> Tool[P, R]:
        return Tool(
            fn,
            title=title,
            risk=risk,
            timeout=timeout,
            retries=retries,
            local=local,
            idempotent=idempotent,
            heartbeat=heartbeat,
            tags=tuple(tags),
            name=name,
            check=check,
            reach=reach,
            undoable=undoable,
            asks=asks,
        )

    return register


def idempotency_key() -> str:
    """The idempotency key of the current call: the same across all its attempts and reschedules. Never empty.

    Pass it to the external system, so that an attempt repeated after a crash has only one effect. When a test or a script calls a tool directly,
    each call gets a new key; `agentgrid.testing.keyed` sets one. Raises NoIdempotencyKey outside a call.
    """
    key = current_key.get()
    if not key:
        raise NoIdempotencyKey
    return key
