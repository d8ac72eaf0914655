"""Every table of the control-plane database, as SQLModel classes.

Only `projector/store/` writes columns derived from history; only `control` writes intent (`commands`, the insert of
a queued run, policies, principals, keys); workers report through a few functions (`db/sql`). Identifiers are text in the canonical
lower-case UUID form. Payload columns are `json`, not `jsonb`, to keep the exact text, including `\\u0000`.
"""

from __future__ import annotations

from agentgrid.db.tables.approvals import Approval, Control, DecisionRow
from agentgrid.db.tables.catalog import (
    AgentChoice,
    AgentRow,
    AgentVersionRow,
    McpServer,
    ToolRow,
    ToolVersion,
    Workflow,
    WorkflowBuild,
    WorkflowVersion,
)
from agentgrid.db.tables.control import (
    ApiKey,
    Command,
    DeltaChannel,
    EventRow,
    Lock,
    PolicyRow,
    PolicySnapshot,
    PrincipalRow,
    ProjectorState,
    ReadRow,
    SessionRow,
    SignInCode,
    SigningKey,
    Switch,
    View,
    WorkerBudget,
    WorkerLogin,
)
from agentgrid.db.tables.projection import ExecutionRow, Run, RunSearch, Step
from agentgrid.db.tables.queue import History, RunChange, Touch
from agentgrid.db.tables.telemetry import Job, Log

__all__ = [
    "AgentChoice",
    "AgentRow",
    "AgentVersionRow",
    "ApiKey",
    "Approval",
    "Command",
    "Control",
    "DecisionRow",
    "DeltaChannel",
    "EventRow",
    "ExecutionRow",
    "History",
    "Job",
    "Lock",
    "Log",
    "McpServer",
    "PolicyRow",
    "PolicySnapshot",
    "PrincipalRow",
    "ProjectorState",
    "ReadRow",
    "Run",
    "RunChange",
    "RunSearch",
    "SessionRow",
    "SignInCode",
    "SigningKey",
    "Step",
    "Switch",
    "ToolRow",
    "ToolVersion",
    "Touch",
    "View",
    "WorkerBudget",
    "WorkerLogin",
    "Workflow",
    "WorkflowBuild",
    "WorkflowVersion",
]
