"""The build id of a governed worker. It shows in history which executions began under the plugin, without a marker.

If the user set a build id, a deployment or worker versioning, the worker keeps it and writes the marker instead.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.common import WorkerDeploymentVersion
from temporalio.worker import WorkerConfig, WorkerDeploymentConfig

from agentgrid.protocol import BUILD_GATE
from agentgrid.sdk.grid import Grid


def name_build(config: WorkerConfig, grid: Grid | None) -> None:
    """Set the build id in the worker's configuration, unless the user did. Routing is unaffected."""
    if config.get("deployment_config") or config.get("build_id") or config.get("use_worker_versioning"):
        return
    workflows = config.get("workflows") or ()
    if grid is not None:
        version = WorkerDeploymentVersion(deployment_name=grid.name, build_id=BUILD_GATE + grid.digest)
        config["deployment_config"] = WorkerDeploymentConfig(version=version, use_worker_versioning=False)
    elif workflows:
        # No deployment: there is no version to show.
        config["build_id"] = BUILD_GATE + _digest(workflows)


def _digest(workflows: Iterable[type]) -> str:
    """A digest of the modules that define these workflows. It changes with each deploy, so that Temporal's reset by build id works."""
    text = hashlib.sha256()
    for name in sorted({cls.__module__ for cls in workflows}):
        text.update(name.encode() + b"\n")
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None and Path(file).is_file():
            text.update(Path(file).read_bytes())
    return text.hexdigest()[:12]


async def are_recorded(client: Client) -> bool:
    """Whether the server records in history which build completed a task. Simple test servers don't. Raises RPCError."""
    answer = await client.workflow_service.get_system_info(GetSystemInfoRequest(), retry=True)
    return answer.capabilities.build_id_based_versioning
