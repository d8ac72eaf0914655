"""AgentGrid: a control plane for governed agent work, on Temporal.

Developers use `Grid`, `workflow`, `tool`, `openapi`, `mcp`, `agent`, `approval`, `secret` and `log`; `AgentGridPlugin` or `run_worker` to run
them; and `Rule` and `Effect` in tests.
Names are imported lazily: Temporal's SDK alone takes most of a second to import, which a command line that only calls an API doesn't need, and
workflow code never imports a database driver or a web framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentgrid.domain.effects import Effect
    from agentgrid.domain.policies import Rule
    from agentgrid.errors import AgentGridError, RegistrationError, RegistrationErrors, ToolError
    from agentgrid.sdk.agent_sessions import AgentSession
    from agentgrid.sdk.agents import Agent, Budget, agent
    from agentgrid.sdk.approvals import ApprovalExpired, ApprovalRejected, Approved, approval
    from agentgrid.sdk.grid import Grid
    from agentgrid.sdk.log import log
    from agentgrid.sdk.secrets import secret
    from agentgrid.sdk.tools import Tool, idempotency_key, tool
    from agentgrid.sdk.toolsets import Toolset
    from agentgrid.sdk.units import unit
    from agentgrid.sdk.workflows import workflow
    from agentgrid.sources.mcp_servers import mcp
    from agentgrid.sources.openapi import openapi
    from agentgrid.worker.main import run_worker
    from agentgrid.worker.plugin import AgentGridPlugin

__all__ = [
    "Agent",
    "AgentGridError",
    "AgentGridPlugin",
    "AgentSession",
    "ApprovalExpired",
    "ApprovalRejected",
    "Approved",
    "Budget",
    "Effect",
    "Grid",
    "RegistrationError",
    "RegistrationErrors",
    "Rule",
    "Tool",
    "ToolError",
    "Toolset",
    "agent",
    "approval",
    "idempotency_key",
    "log",
    "mcp",
    "openapi",
    "run_worker",
    "secret",
    "tool",
    "unit",
    "workflow",
]

_HOMES = {
    "Agent": "agentgrid.sdk.agents",
    "AgentGridError": "agentgrid.errors",
    "AgentGridPlugin": "agentgrid.worker.plugin",
    "AgentSession": "agentgrid.sdk.agent_sessions",
    "ApprovalExpired": "agentgrid.sdk.approvals",
    "ApprovalRejected": "agentgrid.sdk.approvals",
    "Approved": "agentgrid.sdk.approvals",
    "Budget": "agentgrid.sdk.agents",
    "Effect": "agentgrid.domain.policies",
    "Grid": "agentgrid.sdk.grid",
    "RegistrationError": "agentgrid.errors",
    "RegistrationErrors": "agentgrid.errors",
    "Rule": "agentgrid.domain.policies",
    "Tool": "agentgrid.sdk.tools",
    "ToolError": "agentgrid.errors",
    "Toolset": "agentgrid.sdk.toolsets",
    "agent": "agentgrid.sdk.agents",
    "approval": "agentgrid.sdk.approvals",
    "idempotency_key": "agentgrid.sdk.tools",
    "log": "agentgrid.sdk.log",
    "mcp": "agentgrid.sources.mcp_servers",
    "openapi": "agentgrid.sources.openapi",
    "run_worker": "agentgrid.worker.main",
    "secret": "agentgrid.sdk.secrets",
    "tool": "agentgrid.sdk.tools",
    "unit": "agentgrid.sdk.units",
    "workflow": "agentgrid.sdk.workflows",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'agentgrid' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
