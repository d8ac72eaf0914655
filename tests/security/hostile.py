"""A workflow author who tries to get several effects from one approval, by presenting its decision on every call that could use it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import (
    Interceptor,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from agentgrid.protocol import HEADER_APPROVAL, HEADER_KEY, HEADER_RUN, SIGNAL_DECIDE, RunHeader, to_payload

RUN = to_payload(RunHeader(tree="w", initiator="mallory"))
REFUND = {"tool": "refund", "args": {"order": "order", "cents": 900}}


class Outbound(WorkflowOutboundInterceptor):
    """Sets headers that the workflow chooses."""

    def start_activity(self, input: StartActivityInput) -> Any:
        headers = {**input.headers, **getattr(workflow.instance(), "headers", {})}
        return super().start_activity(dataclasses.replace(input, headers=headers))

    def start_local_activity(self, input: StartLocalActivityInput) -> Any:
        headers = {**input.headers, **getattr(workflow.instance(), "headers", {})}
        return super().start_local_activity(dataclasses.replace(input, headers=headers))


class Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(Outbound(outbound))


class Headers(Interceptor):
    """The author's own interceptor. Any Temporal worker accepts one."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        return Inbound


@workflow.defn(name="hostile")
class Hostile:
    """Gets one approval, then presents the decision on four concurrent and four sequential calls."""

    def __init__(self) -> None:
        self.headers: dict[str, Payload] = {}
        self.terms: dict[str, Any] | None = None
        self.decision: str | None = None

    @workflow.run
    async def run(self, queue: str, version: str) -> list[str]:
        self.queue, self.call = queue, {**REFUND, "version": version}
        self.headers = {HEADER_RUN: RUN, HEADER_KEY: to_payload("my-own-key")}
        try:
            return [await self.refund()]
        except ActivityError as error:
            self.terms = getattr(error.cause, "details", (None,))[0]
        await workflow.wait_condition(lambda: self.decision is not None)
        assert self.decision is not None
        self.headers |= {HEADER_APPROVAL: to_payload(self.decision)}
        ended = await asyncio.gather(*(self.refund() for _ in range(4)), return_exceptions=True)
        for _ in range(4):
            ended += await asyncio.gather(self.refund(activity_id="the-same"), return_exceptions=True)
        self.headers[HEADER_KEY] = to_payload("an-equal-call")
        ended += await asyncio.gather(self.refund(), return_exceptions=True)
        return [_word(outcome) for outcome in ended]

    async def refund(self, **more: Any) -> str:
        outcome = await workflow.execute_activity(
            "tool.refund",
            self.call,
            task_queue=self.queue,
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_attempts=2),
            **more,
        )
        return str(outcome["result"])

    @workflow.signal(name="take")
    def take(self, decision: str) -> None:
        self.decision = decision

    @workflow.query
    def requested_terms(self) -> dict[str, Any] | None:
        return self.terms


@workflow.defn(name="swapper")
class Swapper:
    """Gets one approval, then presents the decision on the call that the author prefers, and after that on the approved call."""

    def __init__(self) -> None:
        self.headers: dict[str, Payload] = {}
        self.terms: dict[str, Any] | None = None
        self.decision: str | None = None

    @workflow.run
    async def run(self, queue: str, version: str, original: int, sent: list[int]) -> list[str]:
        self.queue, self.version = queue, version
        self.headers = {HEADER_RUN: RUN, HEADER_KEY: to_payload("my-own-key")}
        (refused,) = await asyncio.gather(self.refund(original), return_exceptions=True)
        self.terms = getattr(getattr(refused, "cause", None), "details", (None,))[0]
        await workflow.wait_condition(lambda: self.decision is not None)
        assert self.decision is not None
        self.headers |= {HEADER_APPROVAL: to_payload(self.decision)}
        return [_word(*await asyncio.gather(self.refund(cents), return_exceptions=True)) for cents in sent]

    async def refund(self, cents: int) -> str:
        outcome = await workflow.execute_activity(
            "tool.refund",
            {"tool": "refund", "version": self.version, "args": {"order": "order", "cents": cents}},
            task_queue=self.queue,
            start_to_close_timeout=timedelta(seconds=10),
        )
        return str(outcome["result"])

    @workflow.signal(name="take")
    def take(self, decision: str) -> None:
        self.decision = decision

    @workflow.query
    def requested_terms(self) -> dict[str, Any] | None:
        return self.terms


def _word(ended: Any) -> str:
    cause = getattr(ended, "cause", None)
    return cause.type or "" if isinstance(cause, ApplicationError) else str(ended)


@workflow.defn(name="thief")
class Thief:
    """Runs under the plugin: gets one call approved, then sets that decision and its key as headers of identical calls."""

    def __init__(self) -> None:
        self.headers: dict[str, Payload] = {}
        self.stolen: dict[str, str] = {}

    @workflow.run
    async def run(self, version: str) -> list[str]:
        call = {**REFUND, "version": version}
        options: dict[str, Any] = {"start_to_close_timeout": timedelta(seconds=10)}
        first = await workflow.execute_activity("tool.refund", call, **options)
        await workflow.wait_condition(lambda: bool(self.stolen))
        self.headers = {name: to_payload(value) for name, value in self.stolen.items()}
        calls = [workflow.start_activity("tool.refund", call, **options) for _ in range(3)]
        calls.append(workflow.start_local_activity("tool.refund", call, **options))
        done, _ = await workflow.wait(calls, timeout=2)
        for call in calls:
            call.cancel()
        return [first["result"], *(call.result()["result"] for call in done)]

    @workflow.signal(name="steal")
    def steal(self, headers: dict[str, str]) -> None:
        self.stolen = headers

    @workflow.signal(dynamic=True)
    async def anything(self, name: str, args: Sequence[RawValue]) -> None:
        if name == SIGNAL_DECIDE:
            raise RuntimeError("a decision reached the author's handler")
