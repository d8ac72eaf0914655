"""The routes, one module per noun."""

from __future__ import annotations

from agentgrid.api.routes import (
    agent_policies,
    agents,
    approvals,
    bulk,
    commands,
    events,
    handlers,
    keys,
    mcp,
    policies,
    principals,
    reads,
    results,
    runs,
    service,
    sessions,
    signing_keys,
    tools,
    workers,
    workflows,
)

ROUTERS = (
    service.router,
    workflows.router,
    runs.router,
    bulk.router,
    results.router,
    handlers.router,
    approvals.router,
    tools.router,
    agents.router,
    agent_policies.router,
    policies.router,
    workers.router,
    principals.router,
    keys.router,
    sessions.router,
    signing_keys.router,
    commands.router,
    reads.router,
    events.router,
    mcp.router,
)
