"""The OpenAPI document: FastAPI's output plus the security schemes and the problem responses that any route may return."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import JSONResponse

from agentgrid.api.access import ACCESS
from agentgrid.api.cookies import name_of
from agentgrid.api.errors import MEDIA_TYPE
from agentgrid.api.schemas.common import Problem
from agentgrid.api.schemas.events import stream_schemas
from agentgrid.settings import Settings

PATH = "/api/openapi.json"
DEFAULT_URL: str = Settings.model_fields["api_url"].default

DESCRIPTION = """A control plane for governed agent work. Errors are `application/problem+json` with a stable `code`. Lists are paged with an
opaque `next_cursor`. Every change is a command, listed at `/api/v1/commands` even if it was refused. A web page that shows the signed-in principal
sends its name as `AgentGrid-Principal` with every change and gets `409` `principal_changed` if the browser is now signed in as someone else."""

PROBLEMS = {
    "401": "Credentials are missing or invalid.",
    "403": "The principal is not allowed to do this.",
    "404": "The resource does not exist.",
    "409": "The current state does not allow the request, or the Idempotency-Key was used with a different body.",
    "410": "No longer stored; `detail` says why.",
    "413": "The body is over 2 MiB.",
    "415": "The body is not JSON in UTF-8.",
    "422": "The request does not match its schema; `faults` lists each problem.",
    "429": "Too many requests; retry after `Retry-After` seconds.",
    "503": "Temporal or the database is unavailable; retry after `Retry-After` seconds.",
    "504": "Temporal did not answer in time: the outcome is unknown, and the command is retried until it is known.",
}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document; cached after the first call."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    openapi = get_openapi(
        title=app.title, version=app.version, description=DESCRIPTION, routes=app.router.routes, openapi_version="3.1.0"
    )
    schemas = openapi.setdefault("components", {}).setdefault("schemas", {})
    problem = Problem.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    for name, schema in stream_schemas().items():
        schemas.setdefault(name, schema)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    openapi["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key: `ag_<id>_<secret>`."},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": name_of(DEFAULT_URL),
            "description": "A browser session, for the console's own pages only. The number is the port of AGENTGRID_API_URL; with https the name begins "
            "with `__Host-`.",
        },
    }
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            _complete(f"{method.upper()} {path}", method, path, operation)
    app.openapi_schema = openapi
    return openapi


def _complete(route: str, method: str, path: str, operation: dict[str, Any]) -> None:
    access = ACCESS[route]
    responses = operation["responses"]
    statuses = ["422", "503"]
    if not access.public:
        operation["security"] = [{kind: []} for kind in ("key", "session") if access.only in (None, kind)]
        statuses += ["401", "429"]
        if access.permission is not None:
            operation["x-permission"] = access.permission.value
        if access.permission is not None or access.only is not None:
            statuses.append("403")
    elif access.command is not None:
        statuses += ["401", "403", "429"]
    if "{" in path:
        statuses.append("404")
    statuses += [status for status in ("403", "404") if status in responses]
    if method != "get":
        statuses += ["409", "413", "415"]
    if access.command is not None:
        statuses.append("504")
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status in sorted({*statuses}):
        responses[status] = {"description": PROBLEMS[status], "content": content}
    for status in sorted({*responses} & {*PROBLEMS}):
        responses[status].setdefault("content", content)


def install(app: FastAPI) -> None:
    """Serve the document, without authentication."""

    async def serve(_: Request) -> JSONResponse:
        return JSONResponse(document(app))

    app.router.add_route(PATH, serve, methods=["GET"], include_in_schema=False)
