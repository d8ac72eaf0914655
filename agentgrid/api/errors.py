"""Errors as problem+json (RFC 9457): one status for each code, and no internal details."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agentgrid.api.mounts import policy_of
from agentgrid.api.schemas.common import FaultOut, Problem
from agentgrid.db import away
from agentgrid.domain.pointers import pointer
from agentgrid.errors import (
    AgentGridError,
    Conflict,
    InvalidInput,
    InvalidPlace,
    RateLimited,
    Unauthenticated,
    Unavailable,
)

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 20
MAX_TEXT = 500

STATUS: dict[str, int] = {
    "invalid_input": 422,
    "payload_too_large": 413,
    "unauthenticated": 401,
    "sign_in_code_spent": 401,
    "forbidden": 403,
    "second_administrator_needed": 403,
    "not_found": 404,
    "no_value": 404,
    "gone": 410,
    "conflict": 409,
    "principal_changed": 409,
    "update_rejected": 409,
    "query_failed": 409,
    "idempotency_conflict": 409,
    "rate_limited": 429,
    "unavailable": 503,
    "update_expired": 503,
}

DATABASE_RETRY_SECONDS = 2.0

NOT_AN_OBJECT = "Input should be an object"
NOT_AN_OBJECT_TYPES = ("model_type", "model_attributes_type")
"""Pydantic's error types for a value that should be an object but isn't."""


class WireError(AgentGridError):
    """The request is invalid at the HTTP level."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code  # type: ignore[misc]


class StorageFull(Unavailable):
    """The database's storage is full."""

    code = "storage_full"


def faults_of(errors: RequestValidationError | ValidationError, *, within: tuple[int | str, ...] = ()) -> InvalidInput:
    """Pydantic's errors as one error with a pointer for each. within: the path of the validated value in the request."""
    faults = [
        InvalidPlace(pointer=_pointer((*within, *fault["loc"])), message=_message(fault)[:MAX_TEXT])
        for fault in errors.errors()[:MAX_FAULTS]
    ]
    return InvalidInput("the request does not match its schema", faults)


def _message(fault: Mapping[str, Any]) -> str:
    """Pydantic's message, without this program's class names."""
    return NOT_AN_OBJECT if fault["type"] in NOT_AN_OBJECT_TYPES else str(fault["msg"])


def _pointer(location: tuple[int | str, ...]) -> str:
    source, *path = location or ("",)
    if source == "body":
        return pointer(path)
    return ".".join(str(part) for part in path) or str(source)


def status_of(error: AgentGridError) -> int:
    """The HTTP status for the error."""
    if isinstance(error, WireError):
        return error.status
    if isinstance(error, Unavailable):
        return 504 if error.outcome_unknown else 503
    return STATUS.get(error.code, 500)


def problem(error: AgentGridError) -> Problem:
    """The error as a response body."""
    status = status_of(error)
    return Problem(
        type=f"urn:agentgrid:problem:{error.code}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=error.code,
        detail=_clean(error.message),
        faults=[
            FaultOut(pointer=_clean(fault.pointer), message=_clean(fault.message))
            for fault in (error.faults if isinstance(error, InvalidInput) else ())[:MAX_FAULTS]
        ],
        current_status=error.status if isinstance(error, Conflict) else None,
        outcome_unknown=True if isinstance(error, Unavailable) and error.outcome_unknown else None,
        command_id=error.command_id,
    )


def _clean(text: str) -> str:
    """Text from a request, shortened and made valid UTF-8 for quoting."""
    shortened = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
    return shortened.encode("utf-8", "replace").decode("utf-8")


def response(error: AgentGridError) -> Response:
    """The error as a response."""
    headers = {}
    if isinstance(error, Unavailable | RateLimited):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="agentgrid"'
    body = problem(error)
    return JSONResponse(
        body.model_dump(exclude_none=True), status_code=body.status, headers=headers, media_type=MEDIA_TYPE
    )


def database_error(error: Exception) -> AgentGridError:
    """The error to report for a database fault."""
    state = getattr(getattr(error, "orig", error), "sqlstate", None) or ""
    if state.startswith("22") or state in ("23502", "23514"):
        # Earlier checks should have caught this, but the cause is still a value from the caller.
        return InvalidInput("a value in the request can't be stored or compared")
    if state.startswith("53") and state != "53300":
        return StorageFull("the database's storage is full; ask an operator to free up space", retry_after_seconds=30)
    return Unavailable("the database is unavailable; try again later", retry_after_seconds=DATABASE_RETRY_SECONDS)


QUERY_FAULTS = (DBAPIError, PoolTimeout, *away.DATABASE_FAULTS)


def translated(error: Exception) -> AgentGridError | None:
    """The error as an AgentGridError, or None if it is a bug."""
    if isinstance(error, AgentGridError):
        return error
    if isinstance(error, RequestValidationError):
        return faults_of(error)
    if isinstance(error, QUERY_FAULTS):
        return database_error(error)
    if isinstance(error, RecursionError):
        # The depth of request bodies is limited; that of schemas and other data registered by workers is not.
        return Conflict("stored data is nested too deeply to be read")
    return None


def install(app: FastAPI) -> None:
    """Turn every error of the application into a problem response."""

    async def known(_: Request, error: Exception) -> Response:
        reported = translated(error)
        if reported is None:
            raise error
        if isinstance(error, RecursionError):
            # Only the last frames: formatting a thousand would take seconds.
            log.error("request_too_deep", where="".join(traceback.format_tb(error.__traceback__, limit=-3)))
        if isinstance(reported, Unavailable):
            log.warning("request_unavailable", reason=f"{type(error).__name__}: {error}"[:300])
        return response(reported)

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        phrase = HTTPStatus(error.status_code).phrase
        code = phrase.lower().replace(" ", "_").replace("-", "_")
        answer = response(WireError(error.status_code, code, str(error.detail)))
        answer.headers.update(error.headers or {})
        return answer

    async def unknown(request: Request, error: Exception) -> Response:
        log.error("request_failed", exc_info=error)
        answer = response(WireError(500, "internal_error", "internal error; see the server's log"))
        # This response is created outside all middleware, and so outside `door.py`.
        policy_of(request.scope["path"]).apply(answer.headers, answer.status_code)
        return answer

    for kind in (AgentGridError, RequestValidationError, RecursionError, *QUERY_FAULTS):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unknown)
