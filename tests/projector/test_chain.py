"""A run derived from its chain of executions: which one it shows, how it ended, and why."""

from __future__ import annotations

from typing import Any

from agentgrid.projector import chain
from agentgrid.projector.chain import ChainLink
from agentgrid.projector.fold.passing import when
from agentgrid.projector.fold.state import FoldState
from tests.projector.folding import folded, one_pass, recorded, through_json


def links(name: str) -> list[ChainLink]:
    chained = []
    for execution in recorded(name):
        state, rows = one_pass(execution)
        started = execution.events[0]
        chained.append(
            ChainLink(
                execution_id=execution.execution_id,
                status=state.status,
                started_at=when(state.started_at),
                closed_at=rows.closed.at if rows.closed else None,
                continued_from=started.continued_from,
                continued_to=rows.closed.continued_to if rows.closed else None,
                reset_from=rows.fork.base_execution_id if rows.fork else None,
                workflow=state.workflow,
                task_queue=state.task_queue,
                error=rows.closed.error if rows.closed else None,
                state=through_json(state),
            )
        )
    return chained


def test_a_run_shows_the_newest_execution_of_a_chain() -> None:
    for name, status in (("continued", "completed"), ("retried", "completed"), ("cron", "terminated")):
        chained = links(name)
        derived = chain.derive(list(reversed(chained)))
        assert derived.tip.execution_id == chained[-1].execution_id, name
        assert derived.columns["status"] == status
        assert derived.left_behind == {}


def test_a_closed_execution_with_a_successor_does_not_end_its_run() -> None:
    for name in ("continued", "retried", "cron"):
        chained = links(name)
        for length in range(1, len(chained)):
            derived = chain.derive(chained[:length])
            assert derived.columns["status"] == "running", (name, length)
            assert derived.columns["closed_at"] is None


def test_a_reset_leaves_its_base_behind_and_counts_each_step_once() -> None:
    base, fork, second_fork = links("reset")
    derived = chain.derive([base, fork, second_fork])
    assert derived.tip.execution_id == second_fork.execution_id
    assert derived.left_behind == {base.execution_id: fork.execution_id, fork.execution_id: second_fork.execution_id}
    # Only the steps of the second fork, including copies: the same number as is listed.
    listed = one_pass(recorded("reset")[2])[1].steps
    assert derived.columns["step_count"] == derived.columns["steps_done"] == len(listed) == 4


def test_a_terminated_base_whose_reset_only_describe_shows_does_not_end_the_run() -> None:
    (base, _) = links("reset_in_flight")
    closed = chain.derive([base])
    assert closed.columns["status"] == "terminated"
    described = ChainLink(**{**vars(base), "reset_to": "somewhere"})
    assert chain.derive([described]).columns["status"] == "running"


def _reason(status: str, error: dict[str, Any]) -> str | None:
    (link,) = links("sequence")
    reason: str | None = chain.derive([ChainLink(**{**vars(link), "status": status, "error": error})]).columns[
        "status_reason"
    ]
    return reason


def test_the_reason_of_a_failed_run_is_the_innermost_cause_with_the_name_of_what_failed() -> None:
    cause = {"type": "PolicyDenied", "message": "refund is denied by the rule r@1"}
    wrapped = {"type": "ActivityError", "message": "Activity task failed", "failed": "refund", "cause": cause}
    outermost = {"type": "ChildWorkflowError", "message": "Child failed", "failed": "refund_order", "cause": wrapped}
    assert _reason("failed", outermost) == "refund: PolicyDenied: refund is denied by the rule r@1"
    assert _reason("failed", cause) == "PolicyDenied: refund is denied by the rule r@1"
    assert (
        _reason("failed", {**outermost, "cause": cause})
        == "refund_order: PolicyDenied: refund is denied by the rule r@1"
    )
    assert _reason("failed", {"type": "ValueError", "message": ""}) == "ValueError"
    assert _reason("terminated", {"type": "TerminatedError", "message": "by hand"}) == "by hand"


def test_the_reason_of_a_failed_run_names_the_innermost_line_of_the_project() -> None:
    def at(line: int, function: str) -> str:
        return f'  File "/home/ada/shop/flows.py", line {line}, in {function}\n  File "/x/site-packages/y.py", line 1, in y\n'

    cause = {"type": "KeyError", "message": "'missing'", "stack": at(12, "pay")}
    wrapped = {"type": "ActivityError", "message": "failed", "failed": "pay", "stack": at(3, "run"), "cause": cause}
    assert _reason("failed", wrapped) == "pay: KeyError: 'missing' (at ada/shop/flows.py:12 in pay)"
    denied = {"type": "PolicyDenied", "message": "no"}
    assert _reason("failed", wrapped | {"cause": denied}) == "pay: PolicyDenied: no (at ada/shop/flows.py:3 in run)"
    long = _reason("failed", cause | {"message": "x" * 9_000})
    assert long is not None
    assert long.endswith("x (at ada/shop/flows.py:12 in pay)")
    assert len(long) == 500


def test_an_execution_waits_for_a_worker_once_temporal_reports_that_none_takes_its_task() -> None:
    execution = recorded("sequence")[0]
    state = folded(execution.execution_id, [execution.events[:2]])[0]
    link = links("sequence")[0]
    opened = ChainLink(
        **{
            **vars(link),
            "status": "running",
            "closed_at": None,
            "error": None,
            "state": state,
            "live_task_attempt": 1,
            "live_problem": "no worker takes workflow tasks from q",
        }
    )
    derived = chain.derive([opened]).columns
    assert (derived["status"], derived["waiting_on"]) == ("waiting", "worker")
    assert isinstance(opened.state, FoldState)
