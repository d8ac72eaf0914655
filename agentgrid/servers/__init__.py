"""The embedded servers of `agentgrid dev` and of the tests: real ones, started as child processes from installed packages."""

from __future__ import annotations

from agentgrid.servers.base import EmbeddedServer
from agentgrid.servers.child import ServerError
from agentgrid.servers.postgres import PostgresServer
from agentgrid.servers.temporal import TemporalServer

__all__ = ["EmbeddedServer", "PostgresServer", "ServerError", "TemporalServer"]
