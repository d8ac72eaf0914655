"""AgentGrid: a control plane for governed agent work, on Temporal.

What developers use: `Grid`, `workflow`, `tool`, `approval`, `log`, and `AgentGridPlugin` or `run_worker` to run it.
Importing this package loads no database driver and no web framework; the worker's part is loaded when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentgrid.errors import AgentGridError, RegistrationError, RegistrationErrors, ToolError
from agentgrid.sdk.approvals import ApprovalExpired, ApprovalRejected, Approved, approval
from agentgrid.sdk.grid import Grid
from agentgrid.sdk.log import log
from agentgrid.sdk.tools import Tool, idempotency_key, tool
from agentgrid.sdk.workflows import workflow

if TYPE_CHECKING:
    from agentgrid.worker.main import run_worker
    from agentgrid.worker.plugin import AgentGridPlugin

__all__ = [
    "AgentGridError",
    "AgentGridPlugin",
    "ApprovalExpired",
    "ApprovalRejected",
    "Approved",
    "Grid",
    "RegistrationError",
    "RegistrationErrors",
    "Tool",
    "ToolError",
    "approval",
    "idempotency_key",
    "log",
    "run_worker",
    "tool",
    "workflow",
]


def __getattr__(name: str) -> Any:
    # The worker brings drivers along; workflow code, which imports this package in the sandbox, must not.
    if name == "AgentGridPlugin":
        from agentgrid.worker.plugin import AgentGridPlugin

        return AgentGridPlugin
    if name == "run_worker":
        from agentgrid.worker.main import run_worker

        return run_worker
    raise AttributeError(f"module 'agentgrid' has no attribute {name!r}")
