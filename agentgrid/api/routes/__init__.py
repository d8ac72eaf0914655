"""The routes, a module for each noun."""

from __future__ import annotations

from agentgrid.api.routes import approvals, commands, events, runs, service, tools, workers, workflows

ROUTERS = (
    service.router,
    workflows.router,
    runs.router,
    approvals.router,
    tools.router,
    workers.router,
    commands.router,
    events.router,
)
