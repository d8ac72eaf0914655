"""Checks a workflow's result against its annotation before the execution completes."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ApplicationError

from agentgrid.protocol import ErrorType, too_long
from agentgrid.sdk.schema import SCALARS, SCHEMA_ERRORS, adapter_of, message_of

JSON = b"json/plain"
NOTHING = b"binary/null"
"""The encoding of None, which converters decode as None for any type."""


def check_result(run: Callable[..., Any], result: Any) -> None:
    """Check that callers can decode the result as the run method's return annotation, and that Temporal can store it.

    Raises a non-retryable ApplicationError, which fails the execution, because a retry would give the same result.
    """
    fault = _fault(run, result)
    if fault is not None:
        what = f"{workflow.info().workflow_type}: {fault}"
        raise ApplicationError(what, type=ErrorType.WORKFLOW_OUTPUT, non_retryable=True)


def _fault(run: Callable[..., Any], result: Any) -> str | None:
    converter = workflow.payload_converter()
    try:
        payload = converter.to_payload(result)
    except Exception as error:
        return f"its result can't be stored: {error}"
    if (wrong := too_long("its result", len(payload.data))) is not None:
        return wrong
    annotation = typing.get_type_hints(run, include_extras=True).get("return", Any)
    try:
        _read(converter, payload, annotation)
    except Exception as error:
        return f"its result does not fit its annotation: {message_of(error)}"
    return None


def _read(converter: PayloadConverter, payload: Payload, annotation: Any) -> None:
    """Decode the result as callers will, with the user's converter, except for types that it doesn't check."""
    encoding = payload.metadata.get("encoding")
    if encoding == NOTHING:
        try:
            adapter_of(annotation).validate_python(None)
        except SCHEMA_ERRORS:
            return  # a custom type, which the user's converter handles
    elif encoding == JSON and any(annotation is scalar for scalar in SCALARS):
        adapter_of(annotation).validate_json(payload.data)
    elif annotation is not Any:
        converter.from_payload(payload, annotation)
