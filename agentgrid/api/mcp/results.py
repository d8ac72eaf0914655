"""The API's responses as results of MCP tools, bounded in size."""

from __future__ import annotations

import json
from typing import Any

import mcp_types as types

from agentgrid.api import errors
from agentgrid.api.access import V1
from agentgrid.api.mcp.inner import RouteResponse
from agentgrid.api.mcp.route_tools import PREFIX
from agentgrid.domain.runs import RunStatus, WaitingOn
from agentgrid.errors import AgentGridError

MAX_RESULT_BYTES = 64 * 1024
"""A longer result is truncated and says where the whole result is; otherwise it would fill the model's context."""
BEGINNING_BYTES = 16 * 1024

WORKING = "working"
WAITING = {
    WaitingOn.APPROVAL: "The call is waiting for a person's approval in AgentGrid; it can't be approved from here.",
    WaitingOn.WORKER: "The call is waiting for a worker.",
}
ASK_AGAIN = f"Get its result with {PREFIX}run_result and this run_id; calling the tool again would start another call."

OUTCOME = {
    "type": "object",
    "properties": {
        "run_id": {"type": "string", "description": "The run that makes the call."},
        "status": {"type": "string", "description": f"`{WORKING}` while the run is open, otherwise how it ended."},
        "result": {"description": "The tool's result, once the run is `completed`."},
        "message": {"type": "string"},
    },
    "required": ["run_id", "status"],
}
"""The output schema of calls of the grid's tools."""


def outcome(answer: RouteResponse) -> types.CallToolResult:
    """A run after the wait: its result, its error, or `working`."""
    if not answer.ok:
        return problem(answer)
    run = answer.value
    body: dict[str, Any] = {"run_id": run["run_id"], "status": run["status"]}
    if run["open"]:
        waiting = WAITING.get(run["waiting_on"], f"The run is {run['status']}.")
        body |= {"status": WORKING, "message": f"{waiting} {ASK_AGAIN}"}
        return _result(body, f"{body['message']} run_id: {run['run_id']}")
    if run["status"] != RunStatus.COMPLETED:
        error = run["error"] or {}
        parts = [f"The run {run['run_id']} {run['status'].replace('_', ' ')}", run["error_type"], error.get("message")]
        body["message"] = ": ".join(part for part in parts if part)
        return _result(body, body["message"], is_error=True)
    if not run["payloads_visible"]:
        body["message"] = "The run has completed. This key may not read results."
        return _result(body, body["message"])
    stored = run["result"] or {"value": None}
    if "value" not in stored:
        # The database stores only its beginning, or only a codec elsewhere can decode it.
        beginning = stored.get("preview") or "The result can't be shown here."
        return _cut(body, beginning, stored["size"])
    body["result"] = stored["value"]
    return _result(body, _json(stored["value"]))


def plain(answer: RouteResponse) -> types.CallToolResult:
    """A route's response."""
    if not answer.ok:
        return problem(answer)
    return _result(answer.value, _json(answer.value))


def refusal(error: AgentGridError) -> types.CallToolResult:
    """A refusal that doesn't come from a route."""
    return _refused(errors.problem(error).model_dump(mode="json", exclude_none=True))


def problem(answer: RouteResponse, *, within: str = "") -> types.CallToolResult:
    """A route's refusal, for the model to read. within: a prefix removed from the faults' pointers."""
    return _refused(answer.value, within)


def _refused(body: dict[str, Any], within: str = "") -> types.CallToolResult:
    faults = [f"{fault['pointer'].removeprefix(within) or '/'}: {fault['message']}" for fault in body.get("faults", ())]
    text = "\n".join([f"{body.get('detail') or body['title']} ({body['code']})", *faults])
    return failure(text, body)


def failure(text: str, body: dict[str, Any] | None = None) -> types.CallToolResult:
    """An error that the model can react to."""
    return _result(body, text, is_error=True)


def _cut(body: dict[str, Any], text: str, size: int, *, is_error: bool = False) -> types.CallToolResult:
    """The beginning of a result that is too long, and where the whole is."""
    where = (
        f"available from GET {V1}/runs/{body['run_id']}/history"
        if "run_id" in body
        else "available in pages: request fewer items at once"
    )
    message = f"{size:,} bytes are too many to return here; the whole result is {where}"
    kept = {name: body[name] for name in ("run_id", "status") if name in body}
    beginning = text.encode()[:BEGINNING_BYTES].decode(errors="ignore")
    return _result(kept | {"message": message}, f"{beginning}\n[{message}]", is_error=is_error)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _result(body: dict[str, Any] | None, text: str, *, is_error: bool = False) -> types.CallToolResult:
    size = max(len(text.encode()), 0 if body is None else len(_json(body).encode()))
    if size > MAX_RESULT_BYTES:
        return _cut(body or {}, text, size, is_error=is_error)
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)], structured_content=body, is_error=is_error
    )
