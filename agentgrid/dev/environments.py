"""The environment variables of the processes that `agentgrid dev` runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentgrid.control.private import write_private
from agentgrid.dev.prepare import Prepared
from agentgrid.servers.child import clean_environment

AGENTGRID_VARIABLES = (
    "AGENTGRID_DATABASE_URL",
    "AGENTGRID_API_",
    "AGENTGRID_HOME",
    "AGENTGRID_PROFILE",
    "AGENTGRID_SIGNING_KEY_FILE",
)
NOT_INHERITED = (
    *AGENTGRID_VARIABLES,
    "AGENTGRID_TEMPORAL_",
    "AGENTGRID_LOG_FORMAT",
    "APP_DATABASE_URL",
    "TEMPORAL_",
    "PG",
)


@dataclass(frozen=True, kw_only=True)
class Places:
    """The addresses of all processes."""

    home: Path
    api_url: str
    temporal_address: str


@dataclass(frozen=True, kw_only=True)
class Environments:
    """Builds each process's environment."""

    places: Places
    prepared: Prepared
    project_variables: Mapping[str, str]
    """Those that the project's file sets for its own code."""

    def control_plane(self) -> dict[str, str]:
        """The environment of the API and the projector."""
        # Temporal runs without its UI here; a UI started separately is configured through this variable.
        ui = {name: os.environ[name] for name in ("AGENTGRID_TEMPORAL_UI_URL",) if name in os.environ}
        return (
            self._shared()
            | ui
            | {
                "AGENTGRID_DATABASE_URL": self.prepared.database_url,
                "AGENTGRID_SIGNING_KEY_FILE": str(self.prepared.signing_key_file),
                "AGENTGRID_API_URL": self.places.api_url,
                "AGENTGRID_HOME": str(self.places.home),
            }
        )

    def worker(self) -> dict[str, str]:
        """The environment of processes that run the project's code, with only the keys and passwords they need."""
        return (
            self._shared()
            | dict(self.project_variables)
            | {
                "AGENTGRID_DATABASE_URL": self.prepared.worker_url,
                "APP_DATABASE_URL": self.prepared.app_url,
                "AGENTGRID_HOME": str(self.places.home / "worker"),
            }
        )

    def _shared(self) -> dict[str, str]:
        return inherited_environment() | {
            "AGENTGRID_TEMPORAL_ADDRESS": self.places.temporal_address,
            "AGENTGRID_TEMPORAL_NAMESPACE": "default",
            "AGENTGRID_LOG_FORMAT": "json",
            "PYTHONUNBUFFERED": "1",
        }

    def write_file(self) -> None:
        """Write the settings of the API and the projector, to be sourced when running one by hand."""
        settings = {
            name: value
            for name, value in self.control_plane().items()
            if name.startswith("AGENTGRID_") and name != "AGENTGRID_LOG_FORMAT"
        }
        lines = [f"export {name}='{value}'" for name, value in sorted(settings.items())]
        write_private(self.places.home / "env", "\n".join(lines) + "\n")


def without_signing_key(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that does not sign."""
    return {name: value for name, value in environment.items() if name != "AGENTGRID_SIGNING_KEY_FILE"}


def inherited_environment() -> dict[str, str]:
    """The part of this process's environment that every child gets."""
    return clean_environment(*NOT_INHERITED)
