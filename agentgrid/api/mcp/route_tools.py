"""What an MCP client may do with the control plane: one table of the API's routes. Names, texts and schemas come from the routes.

Deliberately excluded, for every caller: decisions, because a model with a person's key must not approve its own calls; policies, kill switches,
principals and keys; and everything that stops or changes a run. The caller's permissions determine which routes are listed and what they return.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from agentgrid.api import openapi
from agentgrid.api.access import ACCESS, V1
from agentgrid.api.mcp.inner import RouteRequest
from agentgrid.control.api_keys import LOOKS_LIKE_A_KEY
from agentgrid.domain.principals import Principal
from agentgrid.errors import InvalidInput, InvalidPlace

PREFIX = "agentgrid_"
"""The prefix of their names. A route hides a grid's tool of the same name."""

RESULT = f"GET {V1}/runs/{{run_id}}/result"
START = f"POST {V1}/workflows/{{name}}/runs"

ROUTES: dict[str, str] = {
    "agentgrid_overview": f"GET {V1}/overview",
    "agentgrid_list_workflows": f"GET {V1}/workflows",
    "agentgrid_get_workflow": f"GET {V1}/workflows/{{name}}",
    "agentgrid_list_tools": f"GET {V1}/tools",
    "agentgrid_get_tool": f"GET {V1}/tools/{{name}}",
    "agentgrid_list_runs": f"GET {V1}/runs",
    "agentgrid_get_run": f"GET {V1}/runs/{{run_id}}",
    "agentgrid_list_steps": f"GET {V1}/runs/{{run_id}}/steps",
    "agentgrid_run_result": RESULT,
    "agentgrid_list_approvals": f"GET {V1}/approvals",
    "agentgrid_get_approval": f"GET {V1}/approvals/{{approval_id}}",
    "agentgrid_start_run": START,
}

TEXTS = {
    RESULT: "The result of a run, including a run started by a tool call. If the status is `working`, ask again later. If it waits for an "
    "approval, only a person can give it, in AgentGrid.",
    START: "Start a run of a workflow. Returns its id immediately; get its result afterwards.",
}
"""Descriptions that replace the routes' own, which mention HTTP."""

SCALAR = (str, int, float, bool)


@dataclass(frozen=True, kw_only=True)
class RouteTool:
    name: str
    route: str
    title: str
    description: str
    schema: dict[str, Any]
    """The schema of the arguments: the route's path and query parameters, and the fields of its body."""
    in_path: frozenset[str]
    has_body: bool

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.route.startswith("GET ")

    def open_to(self, principal: Principal) -> bool:
        """Whether the caller has the permission that the route requires."""
        needed = ACCESS[self.route].permission
        return needed is None or principal.may(needed)

    def call(self, arguments: Mapping[str, Any], *, idempotency_key: str | None = None) -> RouteRequest:
        """The request for these arguments, which the route itself validates. Raises InvalidInput for arguments that can't be put into a request."""
        missing = sorted(name for name in self.in_path if not isinstance(arguments.get(name), str))
        if missing:
            raise InvalidInput(
                "invalid arguments", [InvalidPlace(pointer=f"/{name}", message="must be a string") for name in missing]
            )
        rest = {name: value for name, value in arguments.items() if name not in self.in_path}
        path = {name: arguments[name] for name in self.in_path}
        query = () if self.has_body else _query(rest)
        if any(LOOKS_LIKE_A_KEY.search(value) for value in (*path.values(), *(value for _, value in query))):
            # As `door.py` refuses keys in URLs: the audit log and other logs would store them.
            raise InvalidInput(
                "an argument contains an API key: revoke the key, and send keys as `Authorization: Bearer`"
            )
        return RouteRequest(
            route=self.route,
            path=path,
            query=query,
            body=rest if self.has_body else None,
            idempotency_key=None if self.reads else idempotency_key,
        )


def _query(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for name, value in values.items():
        for item in value if isinstance(value, list) else [] if value is None else [value]:
            if not isinstance(item, SCALAR):
                fault = InvalidPlace(
                    pointer=f"/{name[:100]}", message="must be a string, a number, a boolean, or a list of these"
                )
                raise InvalidInput("invalid arguments", [fault])
            pairs.append((name, str(item).lower() if isinstance(item, bool) else str(item)))
    return tuple(pairs)


def route_tools_of(app: FastAPI) -> dict[str, RouteTool]:
    """All routes in the table as tools, by name, built from the application's OpenAPI document."""
    document = openapi.document(app)
    return {name: _route_tool(document, name, route) for name, route in ROUTES.items()}


def _route_tool(document: dict[str, Any], name: str, route: str) -> RouteTool:
    method, _, pattern = route.partition(" ")
    operation = document["paths"][pattern][method.lower()]
    parameters = [parameter for parameter in operation.get("parameters", ()) if parameter["in"] in ("path", "query")]
    properties = {parameter["name"]: _described(parameter) for parameter in parameters}
    required = [parameter["name"] for parameter in parameters if parameter["required"]]
    body = operation.get("requestBody")
    if body is not None:
        fields = _inlined(document, body["content"]["application/json"]["schema"])
        properties |= fields["properties"]
        required += fields.get("required", [])
    return RouteTool(
        name=name,
        route=route,
        title=operation["summary"],
        description=TEXTS.get(route) or f"{operation['summary']}. {operation.get('description', '')}".strip(),
        schema={
            "type": "object",
            "properties": {key: _inlined(document, value) for key, value in properties.items()},
            "required": required,
            "additionalProperties": False,
        },
        in_path=frozenset(parameter["name"] for parameter in parameters if parameter["in"] == "path"),
        has_body=body is not None,
    )


def _described(parameter: dict[str, Any]) -> dict[str, Any]:
    return {"description": parameter.get("description", ""), **parameter["schema"]}


def _inlined(document: dict[str, Any], schema: Any) -> Any:
    """The schema without references and titles. None of the request schemas used here is recursive."""
    if isinstance(schema, list):
        return [_inlined(document, item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        return _inlined(document, {**target, **{key: value for key, value in schema.items() if key != "$ref"}})
    return {
        key: _inlined(document, value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str)) and value != ""
    }
