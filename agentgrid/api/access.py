"""Access control for every route. A route that is not listed here can't be created.

A permission of `None` means that any valid credential is enough; public routes need none. A public change is authenticated by its body, and is
open only to the API's own pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentgrid.domain.commands import CommandKind
from agentgrid.domain.principals import Permission


@dataclass(frozen=True, kw_only=True)
class Access:
    """The permission that one route requires and, for a change, its kind of command."""

    permission: Permission | None = None
    public: bool = False
    command: CommandKind | None = None
    target: str | None = None
    """For a change, the path parameter that names its target, or `NEW`. The audit log shows it even if the request is refused, in the column
    of the command's kind (`Target`).
    """
    message: str | None = None
    """For a change that sends a message to a run: the path parameter that names its handler, unless the body does."""
    reads: str | None = None
    """The path parameter that names the resource under which responses with payloads are recorded. Lists are recorded without one."""
    asks: bool = False
    """A POST that changes nothing itself: its body is a query. Every other POST is a change and has a command."""
    only: Literal["key", "session"] | None = None
    """The only kind of credential accepted."""
    tagged: bool = False
    """Whether responses have an `ETag`. A client that sends it back in `If-None-Match` gets 304 while the response is unchanged."""
    everywhere: bool = False
    """Whether the route is limited to principals that see every workflow, because its response can't be filtered by workflow."""


NEW = ""
"""As `target`: the path names nothing that exists, so a refusal has no target."""

PUBLIC = Access(public=True)
AUTHENTICATED = Access()
READ = Access(permission=Permission.READ)
READ_CATALOG = Access(permission=Permission.READ, tagged=True)
READ_RUN = Access(permission=Permission.READ, reads="run_id")
READ_PAYLOADS = Access(permission=Permission.READ_PAYLOADS, reads="run_id")
QUERY_RUN = Access(permission=Permission.READ_PAYLOADS, reads="run_id", asks=True)
ADMINISTER = Access(permission=Permission.ADMINISTER)


def _govern(command: CommandKind, target: str) -> Access:
    return Access(permission=Permission.GOVERN, command=command, target=target)


def _edit(command: CommandKind) -> Access:
    # An agent may be used in every workflow, so a principal that sees only some may not edit it.
    return Access(permission=Permission.EDIT, command=command, target="name", everywhere=True)


def _administer(command: CommandKind, target: str) -> Access:
    return Access(permission=Permission.ADMINISTER, command=command, target=target)


def _control(command: CommandKind, *, message: str | None = None) -> Access:
    return Access(permission=Permission.CONTROL, command=command, target="run_id", message=message, reads="run_id")


V1 = "/api/v1"

ACCESS: dict[str, Access] = {
    "GET /healthz": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /metrics": Access(permission=Permission.READ, everywhere=True),
    f"GET {V1}/me": AUTHENTICATED,
    f"GET {V1}/me/keys": AUTHENTICATED,
    f"GET {V1}/overview": READ,
    f"GET {V1}/search": READ,
    f"GET {V1}/workflows": READ_CATALOG,
    f"GET {V1}/workflows/{{name}}": READ_CATALOG,
    f"GET {V1}/workflows/{{name}}/versions/{{version}}": READ_CATALOG,
    f"GET {V1}/workflows/{{name}}/usage": READ,
    f"GET {V1}/workflows/{{name}}/figures": READ,
    f"POST {V1}/workflows/{{name}}/disable": _govern(CommandKind.WORKFLOW_DISABLE, "name"),
    f"POST {V1}/workflows/{{name}}/enable": _govern(CommandKind.WORKFLOW_ENABLE, "name"),
    f"POST {V1}/workflows/{{name}}/runs": Access(
        permission=Permission.START, command=CommandKind.RUN_START, target="name"
    ),
    f"GET {V1}/runs": READ,
    f"GET {V1}/runs/counts": READ,
    f"GET {V1}/runs/facets": READ,
    f"POST {V1}/runs/bulk": Access(permission=Permission.START, command=CommandKind.RUN_START, target=NEW),
    f"GET {V1}/runs/{{run_id}}": READ_RUN,
    f"GET {V1}/runs/{{run_id}}/steps": READ_RUN,
    f"GET {V1}/runs/{{run_id}}/steps/{{execution_id}}/{{event_id}}": READ_RUN,
    f"GET {V1}/runs/{{run_id}}/steps/{{execution_id}}/{{event_id}}/{{side}}": READ_PAYLOADS,
    f"GET {V1}/runs/{{run_id}}/input/download": READ_PAYLOADS,
    f"GET {V1}/runs/{{run_id}}/result/download": READ_PAYLOADS,
    f"GET {V1}/runs/{{run_id}}/timeline": READ_RUN,
    f"GET {V1}/runs/{{run_id}}/jobs": READ_RUN,
    f"GET {V1}/runs/{{run_id}}/logs": READ_RUN,
    f"GET {V1}/runs/{{run_id}}/logs/download": READ_PAYLOADS,
    f"GET {V1}/runs/{{run_id}}/approvals": READ,
    f"GET {V1}/runs/{{run_id}}/result": READ_RUN,
    f"GET {V1}/runs/{{run_id}}/history": READ_PAYLOADS,
    f"GET {V1}/runs/{{run_id}}/events": READ,
    f"POST {V1}/runs/{{run_id}}/cancel": _control(CommandKind.RUN_CANCEL),
    f"POST {V1}/runs/{{run_id}}/terminate": _control(CommandKind.RUN_TERMINATE),
    f"POST {V1}/runs/{{run_id}}/pause": _control(CommandKind.RUN_PAUSE),
    f"POST {V1}/runs/{{run_id}}/resume": _control(CommandKind.RUN_RESUME),
    f"POST {V1}/runs/{{run_id}}/interrupt": _control(CommandKind.RUN_INTERRUPT),
    f"POST {V1}/runs/{{run_id}}/signal": _control(CommandKind.RUN_SIGNAL),
    f"POST {V1}/runs/{{run_id}}/queries/{{name}}": QUERY_RUN,
    f"POST {V1}/runs/{{run_id}}/updates/{{name}}": _control(CommandKind.RUN_UPDATE, message="name"),
    f"GET {V1}/runs/{{run_id}}/updates/{{command_id}}": READ_PAYLOADS,
    f"GET {V1}/approvals": READ,
    f"GET {V1}/approvals/counts": READ,
    f"GET {V1}/approvals/{{approval_id}}": Access(permission=Permission.READ, reads="approval_id"),
    f"POST {V1}/approvals/{{approval_id}}/decisions": Access(
        permission=Permission.DECIDE, command=CommandKind.APPROVAL_DECIDE, target="approval_id", reads="approval_id"
    ),
    f"GET {V1}/tools": READ_CATALOG,
    f"GET {V1}/tools/{{name}}": READ_CATALOG,
    f"PUT {V1}/tools/{{name}}/policy": _govern(CommandKind.TOOL_POLICY, "name"),
    f"POST {V1}/tools/{{name}}/disable": _govern(CommandKind.TOOL_DISABLE, "name"),
    f"POST {V1}/tools/{{name}}/enable": _govern(CommandKind.TOOL_ENABLE, "name"),
    f"GET {V1}/mcp-servers": READ_CATALOG,
    f"GET {V1}/agents": READ_CATALOG,
    f"GET {V1}/agents/{{name}}": READ_CATALOG,
    f"GET {V1}/agents/{{name}}/usage": READ,
    f"PUT {V1}/agents/{{name}}": _edit(CommandKind.AGENT_PUT),
    f"POST {V1}/agents/{{name}}/use": _edit(CommandKind.AGENT_USE),
    f"PUT {V1}/agents/{{name}}/policy": _govern(CommandKind.AGENT_POLICY, "name"),
    f"POST {V1}/agents/{{name}}/disable": _govern(CommandKind.AGENT_DISABLE, "name"),
    f"POST {V1}/agents/{{name}}/enable": _govern(CommandKind.AGENT_ENABLE, "name"),
    # Rules are not secret: they tell people why a call waits and which calls need approval.
    f"GET {V1}/policies": READ_CATALOG,
    f"POST {V1}/policies/test": Access(permission=Permission.READ, asks=True),
    f"POST {V1}/policies/preview": Access(permission=Permission.READ, asks=True),
    f"GET {V1}/policies/{{rule_id}}": READ_CATALOG,
    f"PUT {V1}/policies/{{rule_id}}": _govern(CommandKind.POLICY_PUT, "rule_id"),
    f"DELETE {V1}/policies/{{rule_id}}": _govern(CommandKind.POLICY_WITHDRAW, "rule_id"),
    f"GET {V1}/views": READ_CATALOG,
    f"GET {V1}/views/{{name}}": READ,
    # A shared view also requires `edit`: see `control/views.py`.
    f"PUT {V1}/views/{{name}}": Access(permission=Permission.READ, command=CommandKind.VIEW_PUT, target="name"),
    f"DELETE {V1}/views/{{name}}": Access(permission=Permission.READ, command=CommandKind.VIEW_DELETE, target="name"),
    f"GET {V1}/workers": READ,
    f"GET {V1}/task-queues": READ,
    f"GET {V1}/principals": ADMINISTER,
    f"GET {V1}/principals/{{name}}": ADMINISTER,
    f"PUT {V1}/principals/{{name}}": _administer(CommandKind.PRINCIPAL_PUT, "name"),
    f"POST {V1}/principals/{{name}}/disable": _administer(CommandKind.PRINCIPAL_DISABLE, "name"),
    f"POST {V1}/principals/{{name}}/enable": _administer(CommandKind.PRINCIPAL_ENABLE, "name"),
    f"GET {V1}/keys": ADMINISTER,
    f"POST {V1}/keys": _administer(CommandKind.KEY_CREATE, NEW),
    f"POST {V1}/keys/{{key_id}}/revoke": _administer(CommandKind.KEY_REVOKE, "key_id"),
    f"GET {V1}/session/methods": PUBLIC,
    f"POST {V1}/session": Access(public=True, command=CommandKind.SESSION_OPEN, target=NEW),
    f"DELETE {V1}/session": Access(command=CommandKind.SESSION_CLOSE, target=NEW, only="session"),
    # A leaked cookie must not be usable to open more sessions.
    f"POST {V1}/session/codes": Access(command=CommandKind.SESSION_CODE, target=NEW, only="key"),
    f"GET {V1}/sessions": AUTHENTICATED,
    f"POST {V1}/sessions/{{session_id}}/end": Access(command=CommandKind.SESSION_END, target="session_id"),
    f"GET {V1}/signing-keys": ADMINISTER,
    f"POST {V1}/signing-keys/{{key_id}}/retire": _administer(CommandKind.SIGNING_KEY_RETIRE, "key_id"),
    f"POST {V1}/signing-keys/{{key_id}}/revoke": _administer(CommandKind.SIGNING_KEY_REVOKE, "key_id"),
    f"GET {V1}/commands": AUTHENTICATED,
    f"GET {V1}/commands/export": AUTHENTICATED,
    f"GET {V1}/commands/unattributed": READ,
    f"GET {V1}/commands/{{command_id}}": Access(reads="command_id"),
    f"POST {V1}/commands/{{command_id}}/confirm": _administer(CommandKind.COMMAND_CONFIRM, "command_id"),
    f"POST {V1}/commands/{{command_id}}/withdraw": _administer(CommandKind.COMMAND_WITHDRAW, "command_id"),
    f"GET {V1}/reads": Access(permission=Permission.AUDIT, everywhere=True),
    f"GET {V1}/events": READ,
    "POST /mcp": Access(permission=Permission.READ, asks=True, only="key"),
}
"""Without the permission `audit`, callers see only their own commands; administrators also see proposals."""
