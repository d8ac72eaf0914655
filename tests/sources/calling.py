"""A workflow that calls a tool of an OpenAPI document. Runs without a sandbox, which would import this module again without the test's toolset."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError

import agentgrid as ag

crm = ag.openapi("crm", "nothing.json")
"""Tests replace it."""


@ag.workflow(title="Calls the CRM")
class CallsCrm:
    @workflow.run
    async def run(self, customer: str) -> str:
        try:
            return str(await crm["getCustomer"]({"id": customer}))
        except ActivityError as error:
            return str(error.cause)
