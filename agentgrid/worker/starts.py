"""Sets the initiator of a schedule's runs: the worker copies it from the schedule's signed memo into the run's header.

The API sends this header with the runs that it starts. Temporal starts a schedule's runs, so their worker adds it. This happens outside the
workflow, because keys change and a replay must not depend on them; a replay compares no command that contains a header's content.
"""

from __future__ import annotations

from datetime import UTC

from pydantic import ValidationError
from temporalio import workflow
from temporalio.bridge.proto.workflow_activation import InitializeWorkflow, WorkflowActivation
from temporalio.converter import PayloadConverter

from agentgrid.domain.memos import ScheduledStart, ScheduleMemo, is_schedule_memo, verified_schedule
from agentgrid.protocol import HEADER_RUN, MEMO, SCHEDULED_BY, RunHeader, to_payload
from agentgrid.temporal import payloads
from agentgrid.worker.governor import SnapshotSource


class ScheduledStarts:
    """Adds the run header to the first activation of a schedule's run."""

    def __init__(self, policy: SnapshotSource, converter: PayloadConverter) -> None:
        self._policy = policy
        self._converter = converter

    def attribute(self, act: WorkflowActivation, info: workflow.Info) -> None:
        """Add the header to an activation that begins a run with a schedule's memo. Never raises.

        If the worker knows any signing keys, only a memo that is valid for this start counts. A worker that knows none yet uses what the memo
        claims: an initiator in a header grants no rights, it only bars that person from deciding.
        """
        init = next((job.initialize_workflow for job in act.jobs if job.HasField("initialize_workflow")), None)
        if init is None or MEMO not in init.memo.fields or init.HasField("parent_workflow_info"):
            return  # a child has its parent's header
        if init.continued_from_execution_run_id and HEADER_RUN in init.headers:
            return  # it has the previous execution's header
        claimed = payloads.memo_values(init.memo, self._converter).get(MEMO)
        if not isinstance(claimed, dict) or not is_schedule_memo(claimed):
            return
        if (memo := self._read(claimed, init, info)) is not None:
            header = RunHeader(tree=init.first_execution_run_id, initiator=memo.initiator, issuers=memo.issuers)
            init.headers[HEADER_RUN].CopyFrom(to_payload(header))

    def _read(self, claimed: dict[str, object], init: InitializeWorkflow, info: workflow.Info) -> ScheduleMemo | None:
        snapshot = self._policy.snapshot
        if snapshot is None or not snapshot.keys_that_count:
            try:
                return ScheduleMemo.model_validate(claimed)
            except ValidationError:
                return None
        start = ScheduledStart(
            namespace=info.namespace,
            scheduled_by=payloads.search_attribute(init.search_attributes, SCHEDULED_BY, self._converter),
            workflow_id=init.workflow_id,
            workflow=init.workflow_type,
            task_queue=info.task_queue,
            input_digest=payloads.input_digest(init.arguments),
            started_at=init.start_time.ToDatetime(UTC),
            child=False,
        )
        return verified_schedule(claimed, start, snapshot.keys_that_count)
