"""Serialises a call's arguments once, when the call is made.

Workflow code may change its objects while a call waits for resume, a policy or an approval. So the call sends the payloads made at call time
instead of the objects, and its key is derived from the same payloads. A `RawValue` passes a payload converter unchanged: that is part of the
converter's contract in the SDK, and codecs work on payloads anyway.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.converter import (
    ActivitySerializationContext,
    PayloadConverter,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from temporalio.exceptions import ApplicationError
from temporalio.worker import StartActivityInput, StartChildWorkflowInput, StartLocalActivityInput

from agentgrid.domain.agents import ModelCall
from agentgrid.domain.canonical import sorted_json
from agentgrid.protocol import ErrorType, ToolCall, too_long

MAX_PROMPT_BYTES = 1024 * 1024
"""Limited because the opening marker of an agent call contains the prompt and the agent's version."""

Call = TypeVar("Call", StartActivityInput, StartLocalActivityInput)


def sealed(input: Call) -> tuple[Call, bytes]:
    """The call with its arguments as payloads, and the bytes from which its key is derived."""
    context = _context(input)
    if len(input.args) == 1 and isinstance(input.args[0], ToolCall):
        # The key excludes the tool's version, so that fixed code makes the same call.
        content = _tool_content(input.args[0])
        payloads = _payloads(input.args, context)
    elif len(input.args) == 1 and isinstance(call := input.args[0], ModelCall):
        # The turn identifies the call, so the long conversation need not be hashed.
        content = f"{call.call}/{call.turn}/{call.model}".encode()
        payloads = _conversation(call, context)
        if (wrong := too_long("the conversation", len(payloads[0].data))) is not None:
            raise ApplicationError(f"{call.agent}: {wrong}", type=ErrorType.AGENT_FAILED, non_retryable=True)
    else:
        payloads = _payloads(input.args, context)
        content = b"\0".join(payload.data for payload in payloads)
    return dataclasses.replace(input, args=[RawValue(payload) for payload in payloads]), content


def with_arguments(sealed: Call, call: ToolCall) -> Call:
    """The sealed call of a tool with different arguments."""
    (payload,) = _payloads([call], _context(sealed))
    return dataclasses.replace(sealed, args=[RawValue(payload)])


def _context(input: StartActivityInput | StartLocalActivityInput) -> ActivitySerializationContext:
    info = workflow.info()
    return ActivitySerializationContext(
        namespace=info.namespace,
        workflow_id=info.workflow_id,
        workflow_type=info.workflow_type,
        activity_type=input.activity,
        activity_id=input.activity_id,
        activity_task_queue=(isinstance(input, StartActivityInput) and input.task_queue) or info.task_queue,
        is_local=isinstance(input, StartLocalActivityInput),
    )


def sealed_child(input: StartChildWorkflowInput) -> StartChildWorkflowInput:
    """The start of a child with its arguments and memo as payloads."""
    context = WorkflowSerializationContext(namespace=workflow.info().namespace, workflow_id=input.id)
    args = [RawValue(payload) for payload in _payloads(input.args, context)]
    memo = input.memo and {name: RawValue(_payloads([value], context)[0]) for name, value in input.memo.items()}
    return dataclasses.replace(input, args=args, memo=memo)


def _payloads(values: Sequence[Any], context: SerializationContext) -> list[Payload]:
    converter: PayloadConverter = workflow.payload_converter()
    if isinstance(converter, WithSerializationContext):
        converter = converter.with_context(context)
    return converter.to_payloads(values) if values else []


def prompt_bytes(agent: str, prompt: str) -> bytes:
    """The prompt in UTF-8. Raises ApplicationError, because any other error in workflow code would retry the task forever."""
    try:
        text = prompt.encode()
    except UnicodeEncodeError:
        wrong = "is not valid text: it contains a lone surrogate"
    else:
        if len(text) <= MAX_PROMPT_BYTES:
            return text
        wrong = f"has {len(text):,} bytes; at most {MAX_PROMPT_BYTES:,} are allowed"
    raise ApplicationError(f"{agent}: the prompt {wrong}", type=ErrorType.AGENT_FAILED, non_retryable=True)


def _conversation(call: ModelCall, context: SerializationContext) -> list[Payload]:
    """The payload of a model turn. A session's state may hold values that aren't JSON, which must not retry the workflow task forever."""
    try:
        return _payloads([call], context)
    except (ValueError, TypeError, RecursionError) as error:
        wrong = f"the conversation can't be represented in JSON: {error}"
        raise ApplicationError(f"{call.agent}: {wrong}", type=ErrorType.AGENT_FAILED, non_retryable=True) from None


def _tool_content(call: ToolCall) -> bytes:
    content = sorted_json(call.args)
    if (wrong := too_long("the JSON of its arguments", len(content))) is not None:
        raise ApplicationError(f"{call.tool}: {wrong}", type=ErrorType.TOOL_INPUT, non_retryable=True)
    return content
