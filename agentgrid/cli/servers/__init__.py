"""The embedded servers of `agentgrid dev` and of the tests: real ones, started as child processes from installed packages."""

from __future__ import annotations

from agentgrid.cli.servers.base import EmbeddedServer
from agentgrid.cli.servers.child import ServerError
from agentgrid.cli.servers.postgres import PostgresServer
from agentgrid.cli.servers.temporal import TemporalServer

__all__ = ["EmbeddedServer", "PostgresServer", "ServerError", "TemporalServer"]
