"""Builds workflows in the SDK's sandbox, as a worker does on start."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from temporalio import workflow as temporal
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

PASSED_THROUGH = ("agentgrid", "pydantic", "pydantic_core", "annotated_types", "cryptography", "rfc8785", "uuid_utils")
"""Modules that workflow code and interceptors must share. Otherwise each side would have its own copy in the sandbox."""


def build(cls: type[Any], *, shared_modules: Sequence[str]) -> None:
    """Build a workflow in a sandbox that shares these modules. Raises whatever its code raises there. The SDK requires a running event loop."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH, *shared_modules)
    runner = SandboxedWorkflowRunner(restrictions=restrictions)

    async def prepare() -> None:
        runner.prepare_workflow(temporal._Definition.must_from_class(cls))

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(prepare())
    else:
        runner.prepare_workflow(temporal._Definition.must_from_class(cls))
