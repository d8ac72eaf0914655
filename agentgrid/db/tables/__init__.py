"""Every table of the control-plane database, as SQLModel classes.

Only `projector/store/` writes columns derived from history; only `control` writes intent (`commands`, the insert of
a queued run, policies, principals, keys); workers report through a few functions (`db/sql`). Identifiers are text in the canonical
lower-case UUID form. Payload columns are `json`, not `jsonb`: they keep the exact text, including `\\u0000`.
"""

from __future__ import annotations

from agentgrid.db.tables.approvals import Approval, Control, DecisionRow
from agentgrid.db.tables.catalog import (
    Agent,
    AgentChoice,
    AgentVersionRow,
    McpServer,
    Tool,
    ToolVersion,
    Workflow,
    WorkflowBuild,
    WorkflowVersion,
)
from agentgrid.db.tables.changes import History, RunChange, Touch
from agentgrid.db.tables.control import (
    ApiKey,
    Command,
    DeltaChannel,
    Event,
    Lock,
    Policy,
    PolicySnapshot,
    PrincipalRow,
    ProjectorState,
    Read,
    SessionRow,
    SignInCode,
    SigningKey,
    Switch,
    View,
    WorkerBudget,
    WorkerLogin,
)
from agentgrid.db.tables.projection import Execution, Run, RunSearch, Step
from agentgrid.db.tables.telemetry import Job, Log

__all__ = [
    "Agent",
    "AgentChoice",
    "AgentVersionRow",
    "ApiKey",
    "Approval",
    "Command",
    "Control",
    "DecisionRow",
    "DeltaChannel",
    "Event",
    "Execution",
    "History",
    "Job",
    "Lock",
    "Log",
    "McpServer",
    "Policy",
    "PolicySnapshot",
    "PrincipalRow",
    "ProjectorState",
    "Read",
    "Run",
    "RunChange",
    "RunSearch",
    "SessionRow",
    "SignInCode",
    "SigningKey",
    "Step",
    "Switch",
    "Tool",
    "ToolVersion",
    "Touch",
    "View",
    "WorkerBudget",
    "WorkerLogin",
    "Workflow",
    "WorkflowBuild",
    "WorkflowVersion",
]
