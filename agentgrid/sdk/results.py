"""What a registered workflow gives back, judged against its own annotation before the execution completes with it."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ApplicationError

from agentgrid.protocol import ErrorType, too_long
from agentgrid.sdk.schema import SCALARS, UNSAYABLE, adapter_of, said_of

JSON = b"json/plain"
NOTHING = b"binary/null"
"""The encoding of None, which a converter reads as None whatever type it is asked for."""


def check_result(run: Callable[..., Any], result: Any) -> None:
    """Return where a caller of the workflow can read its result as what its run method is annotated with, and Temporal can take it.

    Raises ApplicationError, which ends the execution: it would be judged the same however often it was tried.
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
        return f"its result does not fit its annotation: {said_of(error)}"
    return None


def _read(converter: PayloadConverter, payload: Payload, annotation: Any) -> None:
    """Read the result as its callers will: by the user's own converter, except for what that reads as anything."""
    encoding = payload.metadata.get("encoding")
    if encoding == NOTHING:
        try:
            adapter_of(annotation).validate_python(None)
        except UNSAYABLE:
            return  # a type of the user's own, which the user's converter carries
    elif encoding == JSON and any(annotation is scalar for scalar in SCALARS):
        adapter_of(annotation).validate_json(payload.data)
    elif annotation is not Any:
        converter.from_payload(payload, annotation)
