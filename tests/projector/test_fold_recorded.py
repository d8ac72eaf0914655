"""Real histories, folded, against what a person says they mean; and cut at every event, which must change nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agentgrid.domain.commands import CommandStatus
from agentgrid.domain.runs import ExecutionKind, ExecutionStatus
from agentgrid.projector import chain
from agentgrid.projector.chain import Link
from agentgrid.projector.events import Closed, Started, Unknown, UpdateAccepted
from agentgrid.projector.fold.passing import when
from agentgrid.projector.fold.state import State
from agentgrid.projector.fold.summary import summarise
from tests.projector.folding import Recorded, Rows, folded, names, one_pass, recorded, through_json

Shape = list[tuple[Any, ...]]


def shape(rows: Rows) -> Shape:
    return [
        (key, row["kind"], row["name"], row["status"], row.get("attempts", 0), bool(row.get("inherited")))
        for key, row in sorted(rows.steps.items())
    ]


STEPS: dict[str, list[Shape]] = {
    "sequence": [[(5, "activity", "echo", "completed", 1, False)]],
    "mixed": [
        [
            (7, "activity", "flaky", "completed", 3, False),
            (13, "activity", "broken", "failed", 1, False),
            (19, "timer", "timer", "completed", 0, False),
            (24, "child", "Sequence", "completed", 0, False),
        ]
    ],
    "reset_in_flight": [
        [
            (5, "activity", "slow", "abandoned", 0, False),
            (6, "activity", "echo", "completed", 1, False),
            (12, "activity", "echo", "completed", 1, False),
            (18, "activity", "echo", "completed", 1, False),
        ],
        [
            (5, "activity", "slow", "completed", 1, False),
            (6, "activity", "echo", "completed", 1, True),
            (15, "activity", "echo", "completed", 1, False),
            (21, "activity", "echo", "completed", 1, False),
        ],
    ],
    "local": [
        [
            (5, "activity", "echo", "completed", 1, False),
            (6, "activity", "flaky", "completed", 3, False),
            (19, "activity", "broken", "failed", 1, False),
        ]
    ],
    "messages": [
        [
            (3, "signal", "note", "completed", 0, False),
            (6, "update", "ask", "completed", 0, False),
            (7, "timer", "timer", "completed", 0, False),
            (16, "update", "ask", "failed", 0, False),
            (17, "timer", "timer", "completed", 0, False),
            (23, "signal", "note", "completed", 0, False),
        ]
    ],
    "cancelled": [[(5, "activity", "slow", "abandoned", 0, False), (6, "timer", "timer", "cancelled", 0, False)]],
    "terminated": [[(5, "activity", "slow", "abandoned", 0, False), (6, "timer", "timer", "abandoned", 0, False)]],
    "timed_out": [[(5, "activity", "slow", "abandoned", 0, False), (6, "timer", "timer", "abandoned", 0, False)]],
    "poisoned": [[(5, "signal", "note", "completed", 0, False), (6, "signal", "note", "completed", 0, False)]],
    "parent": [
        [
            (5, "child", "Failing", "failed", 0, False),
            (14, "signal", "note", "completed", 0, False),
            (19, "signal", "cancel", "completed", 0, False),
            (24, "signal", "note", "failed", 0, False),
        ]
    ],
    "gated_approved": [[(7, "tool", "refund", "completed", 1, False)]],
    "gated_rejected": [[(7, "tool", "refund", "failed", 0, False)]],
    "gated_expired": [[(7, "tool", "refund", "timed_out", 0, False)]],
    "gated_cancelled": [[(7, "tool", "refund", "cancelled", 0, False)]],
    "gated_terminated": [[(7, "tool", "refund", "abandoned", 0, False)]],
    "gated_explicit": [[(7, "approval", "Send the reply", "completed", 0, False)]],
    "gated_explicit_again": [[(7, "approval", "Send the reply", "completed", 0, False)]],
    "gated_explicit_rejected": [[(7, "approval", "Send the reply", "failed", 0, False)]],
    "gated_local": [[(7, "tool", "lookup", "completed", 1, False)]],
    "gated_plain": [[(7, "activity", "plain", "completed", 1, False)]],
    "gated_policy_wait": [[(7, "tool", "refund", "completed", 1, False)]],
    "gated_policy_wait_explicit": [[(7, "approval", "Send the reply", "completed", 0, False)]],
    "gated_forged": [[(7, "tool", "refund", "completed", 1, False), (43, "tool", "refund", "completed", 1, False)]],
    "gated_paused": [[(7, "tool", "refund", "completed", 1, False), (33, "tool", "refund", "completed", 1, False)]],
    "gated_reset_in_flight": [
        [(7, "tool", "slow_refund", "abandoned", 0, False), (20, "signal", "wake", "completed", 0, False)],
        [(7, "tool", "slow_refund", "completed", 1, False), (20, "signal", "wake", "completed", 0, True)],
    ],
}


@pytest.mark.parametrize("name", sorted(STEPS))
def test_steps_are_what_a_person_reads_from_the_history(name: str) -> None:
    for execution, expected in zip(recorded(name), STEPS[name], strict=False):
        assert shape(one_pass(execution)[1])[: len(expected)] == expected


ENDS = {
    "sequence": ["completed"],
    "mixed": ["completed", "completed"],
    "reset": ["completed", "completed", "completed"],
    "reset_in_flight": ["terminated", "completed"],
    "continued": ["continued_as_new", "continued_as_new", "completed"],
    "retried": ["failed", "failed", "completed"],
    "cron": ["completed", "completed", "terminated"],
    "cancelled": ["canceled"],
    "terminated": ["terminated"],
    "timed_out": ["timed_out"],
    "parent": ["completed", "failed", "canceled"],
    "gated_rejected": ["completed"],
    "gated_expired": ["failed"],
    "gated_cancelled": ["canceled"],
}


@pytest.mark.parametrize("name", sorted(ENDS))
def test_executions_end_as_temporal_says(name: str) -> None:
    ends = [one_pass(execution)[0].status for execution in recorded(name)]
    assert ends == ENDS[name]


OPAQUE = {"typescript_calls": [50]}
"""Events with something that can't be shown: bytes that are no text."""


@pytest.mark.parametrize("name", names())
def test_nothing_in_a_real_history_is_unknown(name: str) -> None:
    for execution in recorded(name):
        found = [event.event_id for event in execution.events if isinstance(event, Unknown) or event.opaque]
        assert found == OPAQUE.get(name, [])


@pytest.mark.parametrize("name", names())
def test_a_history_cut_anywhere_gives_the_same_rows_and_state(name: str) -> None:
    for execution in recorded(name):
        events = execution.events
        state, rows = one_pass(execution)
        for cut in range(1, len(events)):
            cut_state, cut_rows = folded(execution.execution_id, [events[:cut], events[cut:]])
            assert cut_rows.plain() == rows.plain(), f"cut at {cut}"
            assert cut_state.dump() == state.dump(), f"cut at {cut}"


@pytest.mark.parametrize("name", names())
def test_a_history_folded_event_by_event_gives_the_same_rows_and_state(name: str) -> None:
    for execution in recorded(name):
        state, rows = one_pass(execution)
        slow_state, slow_rows = folded(execution.execution_id, [[event] for event in execution.events])
        assert slow_rows.plain() == rows.plain()
        assert slow_state.dump() == state.dump()


@pytest.mark.parametrize("name", names())
def test_the_state_of_an_ended_execution_is_small(name: str) -> None:
    for execution in recorded(name):
        state = one_pass(execution)[0]
        assert not state.steps
        assert not state.gates
        assert len(str(state.dump())) < 1500


# --- what an open execution waits on -------------------------------------------------------------------------------


def standing_at(execution: Recorded, event_id: int) -> tuple[str, str | None]:
    state = folded(execution.execution_id, [execution.events[:event_id]])[0]
    summary = summarise(state)
    return summary.status.value, summary.waiting_on.value if summary.waiting_on is not None else None


@pytest.mark.parametrize(
    ("name", "index", "event_id", "expected"),
    [
        ("sequence", 0, 2, ("running", None)),
        ("sequence", 0, 5, ("running", None)),
        ("mixed", 0, 19, ("waiting", "timer")),
        ("mixed", 0, 25, ("waiting", "child")),
        ("messages", 0, 22, ("waiting", "signal")),
        ("local", 0, 7, ("waiting", "retry")),
        ("retried", 1, 1, ("waiting", "retry")),
        ("cron", 0, 1, ("waiting", "timer")),
        ("poisoned", 0, 6, ("waiting", "retry")),
        ("cancelled", 0, 9, ("cancelling", None)),
        ("gated_approved", 0, 13, ("waiting", "approval")),
        ("gated_paused", 0, 14, ("paused", None)),
        ("gated_policy_wait", 0, 13, ("waiting", "policy")),
        ("gated_policy_wait_explicit", 0, 8, ("waiting", "policy")),
        ("gated_policy_wait_explicit", 0, 14, ("waiting", "approval")),
    ],
)
def test_an_open_execution_says_what_it_waits_on(
    name: str, index: int, event_id: int, expected: tuple[str, str | None]
) -> None:
    assert standing_at(recorded(name)[index], event_id) == expected


def test_a_pending_approval_is_what_the_run_is_at_until_it_expires() -> None:
    execution = recorded("gated_approved")[0]
    state = folded(execution.execution_id, [execution.events[:13]])[0]
    summary = summarise(state)
    assert summary.current_step in ("Refund an order", "refund")
    assert summary.next_at is not None


# --- approvals -----------------------------------------------------------------------------------------------------

APPROVALS = {
    "gated_approved": [("approved", "reviewer")],
    "gated_rejected": [("rejected", "reviewer")],
    "gated_expired": [("expired", None)],
    "gated_cancelled": [("cancelled", None)],
    "gated_terminated": [("cancelled", None)],
    "gated_branch_cut": [("cancelled", None)],
    "gated_explicit": [("approved", "reviewer")],
    "gated_explicit_again": [("approved", "reviewer"), ("approved", "reviewer")],
    "gated_explicit_rejected": [("rejected", "reviewer")],
    "gated_local": [("approved", "reviewer")],
    "gated_plain": [("approved", "reviewer")],
    "gated_forged": [("approved", "reviewer"), ("approved", "reviewer")],
    "gated_paused": [("approved", "reviewer"), ("approved", "reviewer")],
}


@pytest.mark.parametrize("name", sorted(APPROVALS))
def test_approvals_end_as_the_history_records(name: str) -> None:
    rows = one_pass(recorded(name)[0])[1]
    ended = sorted(rows.approvals.values(), key=lambda row: row["opened_event_id"])
    said = [(row["status"], rows.claims.get(row.get("decision_event_id", 0))) for row in ended]
    assert [(status, claim.principal if claim else None) for status, claim in said] == APPROVALS[name]
    assert not any(row.get("decided_by") for row in ended), "history alone confirms no name"
    assert not any(row.get("decidable") for row in ended)


def test_a_pause_and_a_resume_are_stored_with_their_claimed_sender() -> None:
    state, rows = one_pass(recorded("gated_paused")[0])
    assert [row["action"] for _, row in sorted(rows.controls.items())] == ["pause", "resume"]
    assert all(rows.claims[key].kind.value == f"run.{row['action']}" for key, row in rows.controls.items())
    assert not state.paused


def test_every_forged_decision_is_refused_with_its_reason_and_duplicates_are_superseded() -> None:
    rows = one_pass(recorded("gated_forged")[0])[1]
    judged = [(row["judged"], row["reason"]) for _, row in sorted(rows.decisions.items())]
    assert sorted(judged[:5], key=str) == sorted(
        [
            ("refused", "the signature does not hold"),
            ("refused", "for other arguments"),
            ("refused", "for an approval that is not open here"),
            ("refused", "not a signed decision"),
            ("refused", "2 payloads instead of one"),
        ],
        key=str,
    )
    assert [each[0] for each in judged[5:]].count("counted") == 2
    assert ("superseded", "the approval was already approved") in judged


def test_what_an_explicit_approval_shows_is_kept_whole_and_not_in_the_state() -> None:
    execution = recorded("gated_explicit")[0]
    rows = one_pass(execution)[1]
    (approval,) = rows.approvals.values()
    assert approval["payload"]["value"] == {"text": "Dear customer"}
    assert approval["kind"] == "explicit"
    assert "Dear customer" not in str(folded(execution.execution_id, [execution.events[:8]])[0].dump())


def test_a_reset_voids_the_open_gate_and_the_call_is_asked_about_again_as_the_same_step() -> None:
    base, fork, *_ = recorded("gated_reset")
    base_rows, fork_rows = one_pass(base)[1], one_pass(fork)[1]
    (before,) = base_rows.approvals.values()
    assert before["status"] == "approved"
    copied, again = sorted(fork_rows.approvals.values(), key=lambda row: row["opened_event_id"])
    assert (copied["approval_id"], copied["status"], copied["inherited"]) == (
        before["approval_id"],
        "cancelled",
        True,
    )
    assert (again["status"], again["step_event_id"]) == ("approved", copied["step_event_id"])
    assert not again.get("inherited")
    assert shape(fork_rows)[0] == (7, "tool", "refund", "completed", 1, False)


@pytest.mark.parametrize(
    ("status", "continued_to", "settled"),
    [
        (ExecutionStatus.CONTINUED_AS_NEW, "next", True),
        (ExecutionStatus.FAILED, "retried", True),
        (ExecutionStatus.COMPLETED, "cron", True),
        (ExecutionStatus.FAILED, None, False),
    ],
)
def test_an_update_that_was_never_answered_is_superseded_by_the_next_execution(
    status: ExecutionStatus, continued_to: str | None, settled: bool
) -> None:
    """Nothing else would settle it before the run ends; where the run has ended, the store does."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    history = [
        Started(
            event_id=1, at=at, workflow="w", task_queue="q", first_execution_id="e", kind=ExecutionKind.FIRST, input={}
        ),
        UpdateAccepted(event_id=2, at=at, update_id="u", name="nudge"),
        Closed(event_id=3, at=at, status=status, continued_to=continued_to),
    ]
    _, rows = folded("e", [history])
    found = [(each.command_id, each.status) for each in rows.settlements]
    assert found == ([("u", CommandStatus.SUPERSEDED)] if settled else [])


def test_settlements_name_only_decisions_of_this_very_execution() -> None:
    for execution in recorded("gated_reset"):
        state, rows = one_pass(execution)
        for settlement in rows.settlements:
            decision = next(
                (row for key, row in rows.decisions.items() if rows.claims[key].request_id == settlement.command_id),
                None,
            )
            if decision is not None and decision["judged"] == "counted":
                assert decision["event_id"] > (rows.fork.event_id if rows.fork else 0)
        assert state.governed


# --- chains --------------------------------------------------------------------------------------------------------


def links(name: str) -> list[Link]:
    made = []
    for execution in recorded(name):
        state, rows = one_pass(execution)
        started = execution.events[0]
        made.append(
            Link(
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
    return made


def test_a_run_shows_the_newest_execution_of_a_chain() -> None:
    for name, status in (("continued", "completed"), ("retried", "completed"), ("cron", "terminated")):
        chained = links(name)
        derived = chain.derive(list(reversed(chained)))
        assert derived.tip.execution_id == chained[-1].execution_id, name
        assert derived.columns["status"] == status
        assert derived.left_behind == {}


def test_a_closed_execution_that_something_follows_does_not_end_its_run() -> None:
    for name in ("continued", "retried", "cron"):
        chained = links(name)
        for length in range(1, len(chained)):
            derived = chain.derive(chained[:length])
            assert derived.columns["status"] == "running", (name, length)
            assert derived.columns["closed_at"] is None


def test_a_reset_leaves_its_base_behind_and_counts_each_thing_once() -> None:
    base, fork, again = links("reset")
    derived = chain.derive([base, fork, again])
    assert derived.tip.execution_id == again.execution_id
    assert derived.left_behind == {base.execution_id: fork.execution_id, fork.execution_id: again.execution_id}
    # Only those of the second fork, including the copied ones: as many as are listed.
    listed = one_pass(recorded("reset")[2])[1].steps
    assert derived.columns["step_count"] == derived.columns["steps_done"] == len(listed) == 4


def test_a_terminated_base_whose_reset_is_known_from_describe_alone_does_not_end_the_run() -> None:
    (base, _) = links("reset_in_flight")
    closed = chain.derive([base])
    assert closed.columns["status"] == "terminated"
    known = Link(**{**vars(base), "reset_to": "somewhere"})
    assert chain.derive([known]).columns["status"] == "running"


def _reason(status: str, error: dict[str, Any]) -> str | None:
    (link,) = links("sequence")
    reason: str | None = chain.derive([Link(**{**vars(link), "status": status, "error": error})]).columns[
        "status_reason"
    ]
    return reason


def test_the_reason_of_a_failed_run_is_the_innermost_cause_and_what_failed() -> None:
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


def test_a_queued_execution_without_a_worker_is_shown_as_waiting_for_one_once_temporal_said_so() -> None:
    execution = recorded("sequence")[0]
    state = folded(execution.execution_id, [execution.events[:2]])[0]
    link = links("sequence")[0]
    opened = Link(
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
    assert isinstance(opened.state, State)
