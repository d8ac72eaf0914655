"""The routes, a module for each noun."""

from __future__ import annotations

from agentgrid.api.routes import runs, workflows

ROUTERS = (workflows.router, runs.router)
