"""Every table of the control-plane database, as SQLModel classes.

Who writes what: `projector/store/` alone writes the columns derived from history; `control` alone writes intent (`commands`, the insert of
a queued run, policies, principals, keys); workers write through three functions that only insert. Identifiers are text in the canonical
lower-case UUID form. Payload columns are `json`, not `jsonb`: they keep the exact text, and `\\u0000` with it.
"""

from __future__ import annotations

from agentgrid.db.tables.catalog import Tool, Workflow, WorkflowBuild, WorkflowVersion
from agentgrid.db.tables.control import (
    ApiKey,
    Command,
    Event,
    Policy,
    PolicySnapshot,
    PrincipalRow,
    ProjectorState,
    Read,
    SigningKey,
    WorkflowPolicy,
)
from agentgrid.db.tables.projection import Approval, DecisionRow, Execution, History, Run, RunChange, RunSearch, Step
from agentgrid.db.tables.telemetry import Job, Log

__all__ = [
    "ApiKey",
    "Approval",
    "Command",
    "DecisionRow",
    "Event",
    "Execution",
    "History",
    "Job",
    "Log",
    "Policy",
    "PolicySnapshot",
    "PrincipalRow",
    "ProjectorState",
    "Read",
    "Run",
    "RunChange",
    "RunSearch",
    "SigningKey",
    "Step",
    "Tool",
    "Workflow",
    "WorkflowBuild",
    "WorkflowPolicy",
    "WorkflowVersion",
]
